//! Runs the server until it is asked to stop.

use std::any::Any;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Extensions;
use actix_web::middleware::from_fn;
use actix_web::rt::System;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use analyzer::Labels;
use nix::sys::socket::{setsockopt, sockopt};

use crate::address::Listener;
use crate::agent::Agent;
use crate::health::{self, Ready};
use crate::settings::ServerSettings;
use crate::state::State;
use crate::stores::LONGEST;
use crate::tokens::Tokens;
use crate::{api, duetector, gate};

/// Time that answers under way have when the server stops, in seconds.
const STOPPING: u64 = 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// A server that is ready to run.
pub struct Server {
    /// Settings of the section `server`.
    pub settings: ServerSettings,
    /// Tokens that clients may use.
    pub tokens: Tokens,
    /// The files of the store.
    pub files: Vec<PathBuf>,
    /// The labels of the configuration.
    pub labels: Labels,
    /// The way to the agent.
    pub agent: Arc<dyn Agent>,
}

impl Server {
    /// Serves until SIGTERM or SIGINT; then lets the answers under way end.
    ///
    /// # Errors
    /// The system refuses a thread or the socket.
    pub fn run(self, listener: Listener) -> io::Result<()> {
        let patience = self.settings.slow_client.0;
        let connections = self.settings.max_connections as usize;
        let state = Data::new(State::new(&self.settings, self.tokens, (self.files, self.labels), self.agent));
        let (ready, parallel) = (Data::new(Ready::default()), state.parallel);
        let stores = state.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(state.clone())
                .app_data(ready.clone())
                .wrap(from_fn(gate::surround))
                .configure(health::configure)
                .configure(api::configure)
                .configure(duetector::configure)
        })
        .workers(1)
        // Some may still hand on the last part of an answer.
        .worker_max_blocking_threads(2 * parallel)
        .max_connections(connections)
        .backlog(BACKLOG)
        .client_request_timeout(patience)
        .client_disconnect_timeout(Duration::from_secs(1))
        .keep_alive(Duration::from_secs(30))
        .h1_allow_half_closed(false)
        .shutdown_timeout(STOPPING)
        .on_connect(move |connection, _: &mut Extensions| limit(connection, patience));
        let server = match listener {
            Listener::Tcp(listener) => server.listen(listener)?,
            Listener::Unix(listener) => server.listen_uds(listener)?,
        };
        System::new().block_on(async move {
            actix_web::rt::spawn(async move {
                loop {
                    tokio::time::sleep(LONGEST).await;
                    stores.questions.stores().close_old();
                }
            });
            server.run().await
        })
    }
}

/// Makes the system end a connection whose other end takes nothing. On a unix socket only the question that writes notices that.
fn limit(connection: &dyn Any, patience: Duration) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    if let Err(cause) = setsockopt(stream, sockopt::TcpUserTimeout, &millis) {
        tracing::debug!(%cause, "a connection has no limit of time");
    }
}
