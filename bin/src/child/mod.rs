//! `child`: the same agent as a child of another program that speaks duetector's subprocess protocol 0.1.0 on
//! stdin and stdout: Python duetector, or another agent. Its only sink is its host.
//!
//! What the protocol leaves open is done so that nothing gets lost in the real Python host; the collector's host sink
//! says how. The rest is here: the first line answers `init`; there is no event before the host's first poll; whoever
//! leaves of itself says `stopped` and waits to be asked to stop, because that host can't cope with a child that is
//! not there any more; log lines are never JSON.

mod choose;
mod listen;
mod log;

use std::os::fd::AsFd as _;
use std::time::Duration;

use actors::{WhenFull, clock};
use anyhow::Context as _;
use collector::sink::host::{Host, HostPipe, HostReads, NAME, same_pipe};
use collector::{OwnSink, Pace};
use model::SinkName;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::Agent;
use crate::commands::start::{nothing_traced, tell_left_out};
use crate::config::{Config, Warning};
use crate::exit::{Failure, Outcome};
use listen::{Ear, Heard};

pub(crate) use choose::{choose, host_reads};

/// What is told of us in the answer to `init`.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// How long a line of the protocol may wait for the host to read what is before it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same of the last one, which nobody may read any more.
const LAST_WORD: Duration = Duration::from_millis(300);
/// duetector's `kill_timeout`, until `init` says another.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one that leaves of itself waits to be asked to stop.
const LEAVE: Duration = Duration::from_secs(5);
/// How often the tracers are looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How many batches may wait for the host. Few: what waits when the host stops is lost, because it reads no more.
const QUEUE: u32 = 2;

/// What `child` was asked for.
pub(crate) struct ChildRun {
    /// The configuration, with only the tracers that are to run; or why there is none.
    pub(crate) config: Result<Config, Failure>,
    /// What of a configuration of duetector's could not be kept.
    pub(crate) left_out: Vec<Warning>,
    /// What each event's `tracer_name` begins with.
    pub(crate) name_prefix: String,
    /// How the host reads.
    pub(crate) reads: HostReads,
    /// A host that says nothing for so long is taken for dead.
    pub(crate) host_timeout: Duration,
}

/// Why it ends.
enum End {
    /// The host asked for it, or a signal did.
    Asked(&'static str),
    /// There is no host any more.
    HostGone(&'static str),
    /// It can't go on.
    Failed(Failure),
}

/// Serves the host to the end.
pub(crate) fn run(run: ChildRun) -> Outcome {
    let out = std::io::stdout().as_fd().try_clone_to_owned().context("using standard output")?;
    let merged = same_pipe(std::io::stdout(), std::io::stderr());
    let pipe = HostPipe::new(out, run.reads).context("using standard output")?;
    log::init(merged.then(|| pipe.clone())).map_err(Failure::Usage)?;
    tell_left_out(&run.left_out);
    actix::System::new().block_on(async {
        let mut guest = Guest { ear: Ear::open(pipe.clone()), pipe, signals: Signals::listen()?, run };
        guest.serve().await
    })
}

/// One at work for a host.
struct Guest {
    run: ChildRun,
    pipe: HostPipe,
    ear: Ear,
    signals: Signals,
}

impl Guest {
    async fn serve(&mut self) -> Outcome {
        let kill_timeout = match self.wait_for_init().await {
            Ok(kill_timeout) => kill_timeout,
            Err(End::Asked(why)) => {
                tracing::info!(why, "ended before the host's init");
                return Ok(());
            }
            Err(End::HostGone(why)) => return Err(Failure::failed(format!("no init: {why}"))),
            Err(End::Failed(failure)) => return Err(failure),
        };
        let payload = serde_json::json!({"name": "duetector-actors", "version": VERSION});
        if !self.say("init", payload, PATIENCE) {
            return Err(Failure::failed("the host does not read the answer to its init"));
        }
        let config = match &self.run.config {
            Ok(config) => config.clone(),
            Err(failure) => {
                let failure = failure.clone_words();
                return self.leave(failure).await;
            }
        };
        let agent = match Agent::start_as_child(&config, self.sink()).await {
            Ok(agent) => agent,
            Err(failure) => return self.leave(failure).await,
        };
        let end = self.wait_for_end(&agent).await;
        self.finish(&agent, end, kill_timeout).await
    }

    /// Waits for the host's first word; gives its `kill_timeout`.
    async fn wait_for_init(&mut self) -> Result<Duration, End> {
        loop {
            tokio::select! {
                name = self.signals.next() => return Err(End::Asked(name)),
                heard = self.ear.next(self.run.host_timeout) => match heard {
                    Heard::Init { kill_timeout } => return Ok(kill_timeout.unwrap_or(KILL_TIMEOUT)),
                    Heard::Stop => return Err(End::Asked("the host asked for it")),
                    Heard::Gone(why) => return Err(End::HostGone(why)),
                    Heard::Poll => {}
                },
            }
        }
    }

    async fn wait_for_end(&mut self, agent: &Agent) -> End {
        loop {
            tokio::select! {
                biased;
                heard = self.ear.next(self.run.host_timeout) => match heard {
                    Heard::Stop => return End::Asked("the host asked for it"),
                    Heard::Gone(why) => return End::HostGone(why),
                    Heard::Init { .. } | Heard::Poll => {}
                },
                name = self.signals.next() => return End::Asked(name),
                failure = agent.broken() => return End::Failed(failure),
                failure = traces_nothing(agent) => return End::Failed(failure),
            }
        }
    }

    /// Tells the host what is left, and that that was all, before it loses patience.
    async fn finish(&mut self, agent: &Agent, end: End, kill_timeout: Duration) -> Outcome {
        let (why, outcome) = match end {
            End::Asked(why) => (why, Ok(())),
            End::HostGone(why) => (why, Ok(())),
            End::Failed(failure) => ("nothing is left to do", Err(failure)),
        };
        tracing::info!(why, "stopping");
        // A part of it is for what is between us and the process's end.
        let deadline = clock::now() + kill_timeout * 4 / 5;
        self.pipe.end_by(deadline);
        let in_time = tokio::time::timeout_at(deadline, agent.stop()).await.is_ok();
        if !in_time {
            tracing::warn!("not all could be flushed before the host's patience is at an end");
        }
        report(agent);
        if let Err(failure) = outcome {
            return self.leave(failure).await;
        }
        self.say("stopped", serde_json::json!({}), LAST_WORD);
        Ok(())
    }

    /// Leaves of itself: says so, and stays until the host has taken leave too.
    async fn leave(&mut self, failure: Failure) -> Outcome {
        tracing::error!(cause = failure.words(), "can't trace");
        self.say("stopped", serde_json::json!({}), PATIENCE);
        let deadline = clock::now() + LEAVE;
        loop {
            tokio::select! {
                heard = self.ear.next(LEAVE) => if !matches!(heard, Heard::Poll | Heard::Init { .. }) { break },
                _ = self.signals.next() => break,
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        Err(failure)
    }

    /// A line of the protocol that is no event; false if the host would not read it.
    fn say(&self, kind: &str, payload: serde_json::Value, patience: Duration) -> bool {
        let message =
            serde_json::json!({"proto": "duetector", "version": "0.1.0", "type": kind, "payload": payload});
        self.pipe.say(format!("{message}\n").as_bytes(), patience)
    }

    fn sink(&self) -> OwnSink {
        let (pipe, prefix) = (self.pipe.clone(), self.run.name_prefix.clone());
        OwnSink {
            name: SinkName::new(NAME),
            queue: (QUEUE, WhenFull::Block),
            // Each batch as it comes: the host is the one that takes its time.
            pace: Pace { batch: 1, flush_interval: Duration::ZERO, retry_for: Duration::ZERO },
            make: Box::new(move || Box::new(Host::new(pipe.clone(), &prefix))),
        }
    }
}

/// Ends when every tracer has said that it can't run.
async fn traces_nothing(agent: &Agent) -> Failure {
    loop {
        let status = agent.status();
        if status.is_settled() && !status.traces() {
            return nothing_traced(&status);
        }
        clock::sleep(LOOK).await;
    }
}

/// What became of everything, for the host's log.
fn report(agent: &Agent) {
    for tracer in agent.status().tracers {
        let books = &tracer.books;
        let (seen, told, filtered) = (books.seen, books.stored, books.filtered);
        let lost = books.lost.total();
        let tracer = tracer.tracer;
        if lost > 0 {
            tracing::warn!(tracer, seen, told, filtered, lost, "the host was not told all");
        } else {
            tracing::info!(tracer, seen, told, filtered, "told the host all");
        }
    }
}

/// The signals that mean the same as `stop`. Python duetector sends one right behind it.
struct Signals([(&'static str, Signal); 3]);

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind, name| -> anyhow::Result<_> {
            Ok((name, signal(kind).with_context(|| format!("listening for {name}"))?))
        };
        Ok(Self([
            listen(SignalKind::interrupt(), "SIGINT")?,
            listen(SignalKind::terminate(), "SIGTERM")?,
            listen(SignalKind::hangup(), "SIGHUP")?,
        ]))
    }

    async fn next(&mut self) -> &'static str {
        let [first, second, third] = &mut self.0;
        tokio::select! {
            _ = first.1.recv() => first.0,
            _ = second.1.recv() => second.0,
            _ = third.1.recv() => third.0,
        }
    }
}
