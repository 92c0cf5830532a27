//! `start`: runs the agent until it is asked to stop or its `--duration` has passed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actors::clock;
use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::Agent;
use crate::config::{Loaded, Sources};
use crate::exit::{Failure, Outcome};
use crate::hangup::Hangups;
use crate::live::Screen;
use crate::logging::{self, HeldBack, LogFormat};
use crate::status::Status;
use crate::workdir::Workdir;
use crate::{reload, service, startup};

/// Interval at which the live lines are redrawn.
const LIVE_INTERVAL: Duration = Duration::from_millis(500);
/// Interval between checks whether all tracers have started.
const SETTLE_INTERVAL: Duration = Duration::from_millis(20);
/// Longest wait for tracers to start. Those that have not are reported as they are.
const SETTLE_PATIENCE: Duration = Duration::from_secs(30);

/// Settings of the `start` command.
pub(crate) struct Start {
    /// Sources of the configuration, for reloading it.
    pub(crate) sources: Sources,
    /// The configuration, already loaded.
    pub(crate) loaded: Arc<Loaded>,
    /// Path of the work folder.
    pub(crate) workdir: PathBuf,
    /// Time after which the agent stops by itself.
    pub(crate) duration: Option<Duration>,
    /// Format of log lines.
    pub(crate) log_format: LogFormat,
    /// True if no live lines and no summary are shown, even on a terminal.
    pub(crate) quiet: bool,
}

/// Runs the agent until its end, then prints the summary.
pub(crate) fn run(start: Start) -> Outcome {
    let screen = Screen::detect(!start.quiet);
    let held_back = logging::init(start.log_format, &screen).map_err(Failure::Usage)?;
    // The work folder is unlocked before the summary is printed, so that a stopped terminal does not block the next start.
    match run_on(&start, &screen, &held_back)? {
        Some(_) if !start.quiet => {
            super::brief::print_table(&start.loaded.config.collector.files_to_read(&start.workdir))
        }
        _ => Ok(()),
    }
}

/// Locks the work folder and runs the agent until its end. Returns the path of the store.
fn run_on(start: &Start, screen: &Screen, held_back: &HeldBack) -> Result<Option<PathBuf>, Failure> {
    let _flush_log = screen.until_the_end();
    reload::warn(&start.loaded);
    let workdir = Workdir::claim(&start.workdir)?;
    actix::System::new().block_on(serve(start, &workdir, screen, held_back))
}

/// Starts the agent and waits for its end. Returns the path of the store.
async fn serve(
    start: &Start,
    workdir: &Workdir,
    screen: &Screen,
    held_back: &HeldBack,
) -> Result<Option<PathBuf>, Failure> {
    // Installed first, so that a signal during the start is not lost.
    let (mut signals, mut hangups) = (Signals::listen()?, Hangups::listen()?);
    let agent = Agent::start(&start.sources, &start.loaded, workdir.path(), screen.is_live()).await?;
    let settled = settle(&agent, &mut signals).await;
    startup::report(&settled, agent.store().as_deref());
    held_back.end();
    let traces = settled.traces();
    if traces {
        service::ready(&settled);
        let served = tokio::select! {
            ended = wait_for_end(start, &agent, &mut signals) => ended,
            () = hangups.serve(&agent) => Ok(()),
            () = service::watchdog(|| agent.status()) => Ok(()),
            broken = agent.broken() => Err(broken),
            () = show(&agent, screen) => Ok(()),
        };
        screen.clear();
        stop(&agent, &mut signals).await?;
        served?;
    } else {
        stop(&agent, &mut signals).await?;
    }
    if traces { Ok(agent.store()) } else { Err(startup::nothing_traced(&settled)) }
}

/// Waits until each tracer is attached or has reported why it can't.
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

async fn wait_for_end(start: &Start, agent: &Agent, signals: &mut Signals) -> Result<(), Failure> {
    let time_is_up = async {
        match start.duration {
            Some(duration) => clock::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        name = signals.next() => name,
        () = time_is_up => "--duration has passed",
        () = agent.stop_requested() => "stop command",
    };
    tracing::info!(why, "stopping");
    Ok(())
}

/// Redraws the live lines until cancelled.
async fn show(agent: &Agent, screen: &Screen) {
    if !screen.is_live() {
        return std::future::pending().await;
    }
    loop {
        screen.show(&agent.status());
        clock::sleep(LIVE_INTERVAL).await;
    }
}

/// Stops the agent. A second signal ends that at once.
async fn stop(agent: &Agent, signals: &mut Signals) -> Result<(), Failure> {
    service::stopping();
    tokio::select! {
        () = agent.stop() => Ok(()),
        name = signals.next() => {
            Err(Failure::failed(format!("received {name} while stopping: records that were not stored yet are lost")))
        }
    }
}

/// Signals that stop the agent.
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

    /// Waits for a signal and returns its name.
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

    /// Waits for a signal and keeps it for [`Signals::next`].
    async fn peek(&mut self) -> &'static str {
        let name = self.next().await;
        self.pending = Some(name);
        name
    }
}
