//! `start`: runs the agent until it is told to stop, or its time is up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actors::clock;
use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::Agent;
use crate::config::{Loaded, Sources, Warning};
use crate::exit::{Failure, Outcome};
use crate::hangup::Hangups;
use crate::live::Screen;
use crate::logging::{self, LogFormat};
use crate::reload;
use crate::status::{Status, TracerPhase};
use crate::workdir::Workdir;

/// How often the live lines are drawn anew.
const LIVE_INTERVAL: Duration = Duration::from_millis(500);
/// How often the agent is looked at while its tracers start.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);
/// Tracers that have not started by then are reported as they are.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// What `start` was asked for.
pub(crate) struct Start {
    /// What the configuration is made from, for when it is read again.
    pub(crate) sources: Sources,
    /// The configuration.
    pub(crate) loaded: Arc<Loaded>,
    /// The work folder.
    pub(crate) workdir: PathBuf,
    /// End by itself after this long.
    pub(crate) duration: Option<Duration>,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
    /// Not on a terminal, even if there is one.
    pub(crate) quiet: bool,
}

/// Runs the agent.
pub(crate) fn run(start: Start) -> Outcome {
    let screen = Screen::detect(!start.quiet);
    logging::init(start.log_format, &screen).map_err(Failure::Usage)?;
    // The work folder is free before anything is printed: who waits for that does not wait for a terminal.
    match run_on(&start, &screen)? {
        Some(store) if !start.quiet => super::brief::print_table(&store),
        _ => Ok(()),
    }
}

/// Runs the agent on its work folder until the end; returns where the store is.
fn run_on(start: &Start, screen: &Screen) -> Result<Option<PathBuf>, Failure> {
    let _all_is_said = screen.until_the_end();
    reload::warn(&start.loaded);
    let workdir = Workdir::claim(&start.workdir)?;
    actix::System::new().block_on(serve(start, &workdir, screen))
}

/// Tells what of a configuration of duetector's could not be kept.
pub(crate) fn tell_left_out(left_out: &[Warning]) {
    for warning in left_out {
        let setting = warning.to_string();
        tracing::warn!(setting, "not kept of duetector's configuration");
    }
    if !left_out.is_empty() {
        tracing::info!("`duetector-actors config import` makes it a configuration of ours, once and for all");
    }
}

/// Serves until the end; returns where the store is.
async fn serve(start: &Start, workdir: &Workdir, screen: &Screen) -> Result<Option<PathBuf>, Failure> {
    // Asked for first, so that a signal during start is not lost.
    let (mut signals, mut hangups) = (Signals::listen()?, Hangups::listen()?);
    let agent = Agent::start(&start.sources, &start.loaded, workdir.path(), screen.is_live()).await?;
    let settled = settle(&agent, &mut signals).await;
    report(&settled);
    let traces = settled.traces();
    if traces {
        let served = tokio::select! {
            ended = wait_for_end(start, &agent, &mut signals) => ended,
            () = hangups.serve(&agent) => Ok(()),
            broken = agent.broken() => Err(broken),
            () = show(&agent, screen) => Ok(()),
        };
        screen.clear();
        stop(&agent, &mut signals).await?;
        served?;
    } else {
        stop(&agent, &mut signals).await?;
    }
    if traces { Ok(agent.store()) } else { Err(nothing_traced(&settled)) }
}

/// Waits until each tracer is attached or has said why not.
async fn settle(agent: &Agent, signals: &mut Signals) -> Status {
    let start = clock::now();
    loop {
        let status = agent.status();
        if status.is_settled() || start.elapsed() > SETTLE_PATIENCE {
            return status;
        }
        tokio::select! {
            () = clock::sleep(SETTLE_INTERVAL) => {}
            _ = signals.peek() => return status,
        }
    }
}

/// What the supervisor has not told: who is still starting, and how many record.
fn report(status: &Status) {
    for tracer in status.tracers.iter().filter(|tracer| tracer.phase == TracerPhase::Starting) {
        tracing::warn!(tracer = tracer.tracer, kind = tracer.kind, "has not started yet");
    }
    let attached = status.tracers.iter().filter(|tracer| tracer.records).count();
    tracing::info!(attached, of = status.tracers.len(), workdir = status.workdir, "recording");
}

/// Why there is nothing to do, tracer by tracer.
pub(crate) fn nothing_traced(status: &Status) -> Failure {
    if status.tracers.is_empty() {
        return Failure::NothingTraced(anyhow::anyhow!("nothing to trace: every tracer is disabled"));
    }
    let mut words = String::from("nothing can be traced:");
    for tracer in &status.tracers {
        let cause = tracer.cause.as_deref().unwrap_or("unknown");
        words.push_str(&format!("\n  {}: {}", tracer.tracer, cause.replace('\n', "\n    ")));
    }
    words.push_str("\n`duetector-actors check` says what is missing and how to grant it");
    Failure::NothingTraced(anyhow::anyhow!(words))
}

async fn wait_for_end(start: &Start, agent: &Agent, signals: &mut Signals) -> Result<(), Failure> {
    let time_is_up = async {
        match start.duration {
            Some(duration) => clock::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        name = signals.next() => name,
        () = time_is_up => "its time is up",
        () = agent.stop_requested() => "asked over the control socket",
    };
    tracing::info!(why, "stopping");
    Ok(())
}

/// Draws the live lines for ever.
async fn show(agent: &Agent, screen: &Screen) {
    if !screen.is_live() {
        return std::future::pending().await;
    }
    loop {
        screen.show(&agent.status());
        clock::sleep(LIVE_INTERVAL).await;
    }
}

/// Stops everybody; a second signal cuts that short.
async fn stop(agent: &Agent, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        () = agent.stop() => Ok(()),
        name = signals.next() => {
            Err(Failure::failed(format!("{name} while stopping: what was not yet flushed is lost")))
        }
    }
}

/// The signals that end the agent.
struct Signals {
    streams: [(&'static str, Signal); 2],
    pending: Option<&'static str>,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind, name| -> anyhow::Result<_> {
            Ok((name, signal(kind).with_context(|| format!("listening for {name}"))?))
        };
        Ok(Self {
            streams: [
                listen(SignalKind::interrupt(), "SIGINT")?,
                listen(SignalKind::terminate(), "SIGTERM")?,
            ],
            pending: None,
        })
    }

    /// The next signal's name.
    async fn next(&mut self) -> &'static str {
        if let Some(name) = self.pending.take() {
            return name;
        }
        let [(interrupt_name, interrupt), (terminate_name, terminate)] = &mut self.streams;
        tokio::select! {
            _ = interrupt.recv() => interrupt_name,
            _ = terminate.recv() => terminate_name,
        }
    }

    /// Waits for a signal and leaves it for [`Signals::next`].
    async fn peek(&mut self) -> &'static str {
        let name = self.next().await;
        self.pending = Some(name);
        name
    }
}

/// Parses `10s`, `5m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<model::Period>().map(|period| period.0).map_err(|cause| cause.to_string())
}

/// Where the log of a daemon goes.
pub(crate) fn daemon_log(workdir: &Path) -> PathBuf {
    workdir.join("duetector-actors.log")
}
