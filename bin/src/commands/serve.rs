//! `serve`: answers questions over HTTP, as a process of its own without privileges.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use server::{ActorState, Address, Agent, AgentStatus, Server, Tokens, TracerState, privileges};

use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::status::Status;
use crate::{logging, output, read, workdir};

/// Options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on: HOST:PORT of this machine, or unix:PATH. Default: the setting server.listen, 127.0.0.1:8120
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Let the address be one that other machines can reach. Only for a proxy that encrypts: the server does not, and its tokens
    /// and answers could be read on the way
    #[arg(long)]
    behind_proxy: bool,
}

/// Serves until a signal.
pub(crate) fn run(common: &Common, args: &ServeArgs) -> Outcome {
    let config = common.load_trusted_and_warn()?.config;
    let folder = common.workdir()?;
    let files = config.collector.files_to_read(&folder);
    let settings = config.server;
    let address = args.listen.as_deref().unwrap_or(&settings.listen);
    let address = Address::parse(address).map_err(|why| usage(format!("the address {address:?} {why}")))?;
    if !address.is_local() && !args.behind_proxy {
        return Err(usage(format!(
            "other machines could reach {address}, and nothing is encrypted: listen on 127.0.0.1 or unix:PATH, or, behind a proxy \
             that encrypts, add --behind-proxy"
        )));
    }
    if !folder.exists() {
        workdir::make(&folder)?;
    }
    // As whoever starts the server: files of tokens, and the socket.
    let tokens = Tokens::load(&settings.tokens, &folder, settings.rate).map_err(Failure::failed)?;
    let listener = address.bind().with_context(|| format!("listening on {address}"))?;
    privileges::drop_all(&settings.user, &config.store.group)
        .map_err(|cause| Failure::Failed(cause.into()))?;
    logging::init_plain(std::io::stderr, "info")?;
    let bound = listener.address().unwrap_or(address);
    output::complain(&format!("serving {} on {bound}", folder.display()));
    if let Some(file) = tokens.default_file() {
        output::complain(&format!("the token is in {}", file.display()));
    }
    let agent = Arc::new(ReadSocket(folder));
    let server = Server { settings, tokens, files, labels: config.label, agent };
    Ok(server.run(listener).context("serving")?)
}

fn usage(text: String) -> Failure {
    Failure::Usage(anyhow::Error::msg(text))
}

/// The agent of a work folder, over its read socket.
struct ReadSocket(PathBuf);

impl Agent for ReadSocket {
    fn status(&self) -> Result<AgentStatus, String> {
        let folder: &Path = &self.0;
        read::status(folder).map(of_status).map_err(|cause| cause.to_string())
    }
}

fn of_status(status: Status) -> AgentStatus {
    let tracers = status.tracers.into_iter().map(|tracer| TracerState {
        name: tracer.tracer,
        phase: tracer.phase.as_str().to_owned(),
        restarts: tracer.restarts,
        account: tracer.account,
        in_flight: tracer.in_flight,
    });
    let actors = status.actors.into_iter().map(|actor| ActorState {
        name: actor.name,
        phase: phase(&actor.status),
        restarts: actor.status.restarts,
    });
    AgentStatus {
        version: status.version,
        uptime_s: status.uptime_s,
        tracers: tracers.collect(),
        actors: actors.collect(),
        followers: status.live.followers as u64,
    }
}

/// Returns the name of a phase as `status` has it.
fn phase(actor: &actors::ChildStatus) -> String {
    let name = serde_json::to_value(actor.phase).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}
