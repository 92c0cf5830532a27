//! The `child` command: runs tracers as the child process of a host, that is, of another program that speaks duetector's
//! subprocess protocol 0.1.0 over stdin and stdout: Python duetector or another duetector-actors agent. The only sink is
//! the host.
//!
//! ```text
//! host                                   child
//!   │ ── init (kill_timeout, config) ────► │
//!   │ ◄─────────────── init (our version) ─│  tracers start
//!   │ ── event (a poll) ─────────────────► │
//!   │ ◄──────────────────────── event … ───│  one line per row
//!   │ ── stop, SIGTERM or end of file ───► │  flush what is left
//!   │ ◄───────────────────────── stopped ──│  exit
//! ```
//!
//! Where the protocol leaves something open, the child does what loses nothing with the real Python host: the first line
//! answers `init`; no event is sent before the first poll; a child that ends by itself sends `stopped` and then waits for
//! `stop`, because that host can't handle a child that has exited; log lines are never JSON. How rows are written to the
//! pipe is described in the collector's host sink.

mod choose;
mod listen;
mod log;

use std::os::fd::AsFd as _;
use std::time::Duration;

use actors::clock;
use anyhow::Context as _;
use collector::SinkSpec;
use collector::sink::host::{HostConfig, HostPipe, HostReads, same_pipe};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::Agent;
use crate::config::{Config, Warning};
use crate::exit::{Failure, Outcome};
use crate::reload::report_left_out;
use crate::startup::nothing_traced;
use listen::{HostMessage, HostReader};

pub(crate) use choose::{choose, host_reads};

/// Version in the answer to `init`.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Longest wait for the host to read the lines before a protocol line.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for the last line, which perhaps nobody reads any more.
const LAST_WORD: Duration = Duration::from_millis(300);
/// Default of duetector's `kill_timeout`, used if `init` has none.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a child that ends by itself waits for `stop`.
const LEAVE: Duration = Duration::from_secs(5);
/// Interval between checks whether any tracer runs, and whether the host still reads our stdout.
const CHECK_INTERVAL: Duration = Duration::from_millis(200);

/// Settings of the `child` command.
pub(crate) struct ChildRun {
    /// The configuration with only the selected tracers, or the reason why it could not be loaded.
    pub(crate) config: Result<Config, Failure>,
    /// Settings of a Python duetector configuration that were not translated.
    pub(crate) left_out: Vec<Warning>,
    /// Prefix of the `tracer_name` of each event.
    pub(crate) name_prefix: String,
    /// When the host reads its pipe.
    pub(crate) reads: HostReads,
    /// A host that sends nothing for this long counts as dead.
    pub(crate) host_timeout: Duration,
}

/// The reason why the child ends.
enum End {
    /// The host sent `stop`, or a signal arrived.
    Asked(&'static str),
    /// The host has exited or is silent.
    HostGone(&'static str),
    /// The host has closed the reading end of our stdout, so nothing can be handed to it any more.
    OutputClosed,
    /// No tracer can run, or an essential actor has been given up.
    Failed(Failure),
}

/// Runs the child until it ends.
pub(crate) fn run(run: ChildRun) -> Outcome {
    let out = std::io::stdout().as_fd().try_clone_to_owned().context("using standard output")?;
    let merged = same_pipe(std::io::stdout(), std::io::stderr());
    let pipe = HostPipe::new(out, run.reads).context("using standard output")?;
    log::init(merged.then(|| pipe.clone())).map_err(Failure::Usage)?;
    report_left_out(&run.left_out);
    actix::System::new().block_on(async {
        let host = HostReader::start(pipe.clone());
        let mut session = ChildSession { host, pipe, signals: Signals::listen()?, run };
        session.serve().await
    })
}

/// The session with one host, from `init` to `stopped`.
struct ChildSession {
    run: ChildRun,
    pipe: HostPipe,
    host: HostReader,
    signals: Signals,
}

impl ChildSession {
    async fn serve(&mut self) -> Outcome {
        let kill_timeout = match self.wait_for_init().await {
            Ok(kill_timeout) => kill_timeout,
            Err(End::Asked(why)) => {
                tracing::info!(why, "stopping before the host has sent init");
                return Ok(());
            }
            Err(End::HostGone(why)) => {
                return Err(Failure::failed(format!("received no init message: {why}")));
            }
            Err(End::OutputClosed) => return Err(output_closed("received no init message")),
            Err(End::Failed(failure)) => return Err(failure),
        };
        let payload = serde_json::json!({"name": "duetector-actors", "version": VERSION});
        if !self.say("init", payload, PATIENCE) {
            return Err(Failure::failed("the parent program does not read our answer to its init message"));
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

    /// Waits for `init` and returns the host's `kill_timeout`.
    async fn wait_for_init(&mut self) -> Result<Duration, End> {
        loop {
            tokio::select! {
                name = self.signals.next() => return Err(End::Asked(name)),
                () = closed(&self.pipe) => return Err(End::OutputClosed),
                message = self.host.next(self.run.host_timeout) => match message {
                    HostMessage::Init { kill_timeout } => return Ok(kill_timeout.unwrap_or(KILL_TIMEOUT)),
                    HostMessage::Stop => return Err(End::Asked("stop message from the parent program")),
                    HostMessage::Gone(why) => return Err(End::HostGone(why)),
                    HostMessage::Poll => {}
                },
            }
        }
    }

    async fn wait_for_end(&mut self, agent: &Agent) -> End {
        loop {
            tokio::select! {
                biased;
                message = self.host.next(self.run.host_timeout) => match message {
                    HostMessage::Stop => return End::Asked("stop message from the parent program"),
                    HostMessage::Gone(why) => return End::HostGone(why),
                    HostMessage::Init { .. } | HostMessage::Poll => {}
                },
                name = self.signals.next() => return End::Asked(name),
                () = closed(&self.pipe) => return End::OutputClosed,
                failure = agent.broken() => return End::Failed(failure),
                failure = traces_nothing(agent) => return End::Failed(failure),
            }
        }
    }

    /// Sends the host the remaining rows, then `stopped`, before its `kill_timeout` ends.
    async fn finish(&mut self, agent: &Agent, end: End, kill_timeout: Duration) -> Outcome {
        let (why, outcome) = match end {
            End::Asked(why) => (why, Ok(())),
            End::HostGone(why) => (why, Ok(())),
            End::OutputClosed => {
                self.stop(agent, kill_timeout).await;
                let lost = report(agent);
                return Err(output_closed(&format!("{lost} records could not be handed to it")));
            }
            End::Failed(failure) => ("the tracers can't run", Err(failure)),
        };
        tracing::info!(why, "stopping");
        self.stop(agent, kill_timeout).await;
        report(agent);
        if let Err(failure) = outcome {
            return self.leave(failure).await;
        }
        self.say("stopped", serde_json::json!({}), LAST_WORD);
        Ok(())
    }

    async fn stop(&self, agent: &Agent, kill_timeout: Duration) {
        // The rest of the time is for ending the process.
        let deadline = clock::now() + kill_timeout * 4 / 5;
        self.pipe.end_by(deadline);
        let in_time = tokio::time::timeout_at(deadline, agent.stop()).await.is_ok();
        if !in_time {
            tracing::warn!(
                deadline_s = (kill_timeout * 4 / 5).as_secs_f64(),
                "could not send all rows before the parent program kills this process"
            );
        }
    }

    /// Ends without being asked: sends `stopped` and waits until the host sends `stop`, exits, or `LEAVE` has passed.
    async fn leave(&mut self, failure: Failure) -> Outcome {
        tracing::error!(cause = failure.words(), "can't run the tracers");
        self.say("stopped", serde_json::json!({}), PATIENCE);
        let deadline = clock::now() + LEAVE;
        loop {
            tokio::select! {
                message = self.host.next(LEAVE) => {
                    if !matches!(message, HostMessage::Poll | HostMessage::Init { .. }) {
                        break;
                    }
                }
                _ = self.signals.next() => break,
                () = closed(&self.pipe) => break,
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        Err(failure)
    }

    /// Sends a protocol message that is not an event. Returns false if the host does not read it in time.
    fn say(&self, kind: &str, payload: serde_json::Value, patience: Duration) -> bool {
        let message =
            serde_json::json!({"proto": "duetector", "version": "0.1.0", "type": kind, "payload": payload});
        self.pipe.say(format!("{message}\n").as_bytes(), patience)
    }

    fn sink(&self) -> SinkSpec {
        HostConfig { pipe: self.pipe.clone(), prefix: self.run.name_prefix.clone() }.spec()
    }
}

/// Waits until every tracer has reported that it can't run.
async fn traces_nothing(agent: &Agent) -> Failure {
    loop {
        let status = agent.status();
        if status.is_settled() && !status.traces() {
            return nothing_traced(&status);
        }
        clock::sleep(CHECK_INTERVAL).await;
    }
}

/// Waits until the host has closed the reading end of our stdout.
async fn closed(pipe: &HostPipe) {
    while !pipe.is_closed() {
        clock::sleep(CHECK_INTERVAL).await;
    }
}

fn output_closed(result: &str) -> Failure {
    Failure::failed(format!("the parent program has closed our standard output: {result}"))
}

/// Logs for each tracer how many records were read, sent to the host, filtered and lost; returns how many were lost.
fn report(agent: &Agent) -> u64 {
    let mut total = 0;
    for tracer in agent.status().tracers {
        let account = &tracer.account;
        let (seen, sent, filtered) = (account.seen, account.stored, account.filtered);
        let lost = account.lost.total();
        total += lost;
        let tracer = tracer.tracer;
        if lost > 0 {
            tracing::warn!(tracer, seen, sent, filtered, lost, "records were lost");
        } else {
            tracing::info!(tracer, seen, sent, filtered, "all records were sent");
        }
    }
    total
}

/// Signals with the same meaning as `stop`. Python duetector sends one right after it.
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
