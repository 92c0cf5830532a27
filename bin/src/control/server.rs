//! Answers on the control socket. An actor: if it falls, the agent records on and it comes back.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt as _, AsyncContext as _, Context, Handler, WrapFuture as _};
use actors::{Exit, Link, Shutdown, clock};
use futures::future::BoxFuture;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{Answer, MAX_REQUEST, Request, short_path, socket_path};

/// Callers served at the same time; more wait in the socket's backlog.
const MAX_CALLERS: usize = 16;
/// A caller that sends or reads nothing for this long is hung up on.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers a request.
pub(crate) type Ask = Arc<dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync>;

/// What the server shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ControlState {
    /// Requests answered.
    pub(crate) answered: u64,
    /// Callers turned away: other users.
    pub(crate) refused: u64,
}

/// The actor.
pub(crate) struct ControlServer {
    link: Link<ControlState>,
    listener: Arc<UnixListener>,
    ask: Ask,
}

/// Binds the socket of a work folder that this process has locked, so that an old socket there is a dead agent's.
pub(crate) fn bind(workdir: &Path) -> io::Result<Arc<UnixListener>> {
    match std::fs::remove_file(socket_path(workdir)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let (path, _folder) = short_path(workdir)?;
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Arc::new(listener))
}

impl ControlServer {
    /// Serves on `listener`, which outlives it.
    pub(crate) fn new(link: Link<ControlState>, listener: Arc<UnixListener>, ask: Ask) -> Self {
        Self { link, listener, ask }
    }
}

impl Actor for ControlServer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (link, listener, ask) = (self.link.clone(), self.listener.clone(), self.ask.clone());
        let serve = async move {
            let callers = Arc::new(Semaphore::new(MAX_CALLERS));
            loop {
                let Ok(place) = callers.clone().acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (link, ask) = (link.clone(), ask.clone());
                        actix::spawn(async move {
                            let _place = place;
                            serve_caller(stream, &link, &ask).await;
                        });
                    }
                    Err(cause) => {
                        // Out of descriptors, most likely: a pause keeps this from spinning.
                        tracing::warn!(%cause, "accepting on the control socket failed");
                        clock::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        };
        ctx.spawn(serve.into_actor(self).map(|(), _, _| ()));
    }
}

impl Handler<Shutdown> for ControlServer {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.link.end(Exit::Stopped);
    }
}

async fn serve_caller(mut stream: UnixStream, link: &Link<ControlState>, ask: &Ask) {
    let own = nix::unistd::geteuid().as_raw();
    let allowed = stream.peer_cred().is_ok_and(|caller| caller.uid() == 0 || caller.uid() == own);
    let exchange = async {
        if !allowed {
            link.update(|state| state.refused += 1);
            return reply(&mut stream, &Answer::Error("only root or the agent's own user may ask".into()))
                .await;
        }
        let mut line = Vec::new();
        let request =
            async { BufReader::new(&mut stream).take(MAX_REQUEST).read_until(b'\n', &mut line).await };
        within(PATIENCE, request).await?;
        let answer = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => answer(ask, request).await,
            Err(cause) => Answer::Error(format!("no request: {cause}")),
        };
        link.update(|state| state.answered += 1);
        reply(&mut stream, &answer).await
    };
    if let Err(cause) = exchange.await {
        tracing::debug!(%cause, "a caller on the control socket went away");
    }
}

async fn answer(ask: &Ask, request: Request) -> Answer {
    let patience = request.patience();
    tokio::select! {
        answer = ask(request) => answer,
        () = clock::sleep(patience) => Answer::Error(format!("not done within {} s", patience.as_secs())),
    }
}

async fn within<T>(limit: Duration, exchange: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::select! {
        done = exchange => done,
        () = clock::sleep(limit) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn reply(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    within(PATIENCE, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    })
    .await
}
