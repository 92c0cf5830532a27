//! Serves a subprocess tracer's child from its start to its exit.
//!
//! A single loop waits for the next event, whichever it is, so that nothing a child does or fails to do delays
//! anything else: it is polled while it floods stdout, its stderr is read while stdout is silent, and its exit is
//! noticed while the collector is slow. While a batch waits for room in the collector's queue, stdout is not read, so
//! the pipe fills up and the child waits.
//!
//! ```text
//!   child                  session loop
//!   stdin  ◀────────────── StdinWriter: init, event (a poll), stop
//!   stdout ──────────────▶ StdoutParser ──▶ batch ──▶ collector
//!                          (not read while a batch waits)
//!   stderr ──────────────▶ StderrLog ──▶ the agent's log
//!   exit   ── pidfd ─────▶ reads the rest, kills the process group, reaps
//! ```
//!
//! A child is ended in steps, each of which it may pre-empt by exiting:
//!
//! ```text
//!   Running ────────▶ Leaving ────────────▶ Terminating ──────▶ Killed
//!      │  `stop` sent, or     after kill_timeout:     after 1 s:
//!      │  `stopped` read      SIGTERM                 SIGKILL
//!      └── silent longer than `heartbeat`: SIGTERM ──▶ Terminating
//! ```

use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Closed, LoopCtx};
use futures::future::BoxFuture;
use nix::sys::signal::Signal;

use crate::backlog;
use crate::control::{Control, PROGRESS_INTERVAL};
use crate::pipe::{Pipe, PollResult};
use crate::process::{self, Pipes, Process, StartError};
use crate::protocol;
use crate::settings::SubprocessSettings;
use crate::state::SubprocessState;
use crate::stderr::StderrLog;
use crate::stdin_writer::StdinWriter;
use crate::stdout_parser::StdoutParser;
use crate::wiring::Wiring;

/// Time from SIGTERM to SIGKILL, and from `stopped` to SIGTERM.
pub(crate) const TERM_GRACE: Duration = Duration::from_secs(1);
/// Bytes read at once: the usual capacity of a pipe.
const CHUNK: usize = 64 * 1024;

/// Result of a session.
pub(crate) enum End {
    /// The child was asked to stop, and did.
    Asked,
    /// The child ended by itself after it sent `stopped`.
    Finished,
    /// The child exited without being asked, or had to be ended; with the cause.
    Failed(String),
    /// The child could not be started.
    Refused(StartError),
    /// The collector takes no records any more.
    CollectorGone,
}

/// Progress of ending a child, with the time of the next step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Running,
    /// The child got `stop`, or sent `stopped`; SIGTERM is next.
    Leaving(Instant),
    /// The child got SIGTERM; SIGKILL is next.
    Terminating(Instant),
    Killed,
}

/// Event that the session's loop waits for.
enum Event {
    Stdout,
    Stderr,
    Wrote,
    Sent(Result<(), Closed>),
    Ended,
    Halted,
    Time,
}

pub(crate) struct Session<'a> {
    settings: &'a SubprocessSettings,
    ctx: &'a LoopCtx<SubprocessState>,
    control: &'a Control<SubprocessState>,
    wiring: &'a Wiring,
    process: Process,
    stdout: Pipe,
    stdout_open: bool,
    stderr: StderrLog,
    stdin: StdinWriter,
    parser: StdoutParser,
    sending: Option<BoxFuture<'static, Result<(), Closed>>>,
    phase: Phase,
    /// True once the child was asked to stop.
    asked: bool,
    ended: bool,
    collector_gone: bool,
    /// Bytes that may still be read from an exited child's pipe: at most its capacity, in case a grandchild goes on
    /// writing.
    unread: usize,
    next_poll: Instant,
    /// Time of the child's last output, or of the last moment at which this loop was not reading because of the
    /// collector.
    last_output: Instant,
    /// Reason why the child had to be ended although it should run.
    fault: Option<String>,
    buffer: Box<[u8]>,
}

/// Starts the child and serves it until it has exited.
pub(crate) async fn run(
    settings: &SubprocessSettings,
    control: &Control<SubprocessState>,
    wiring: &Wiring,
) -> End {
    let ctx = &control.ctx;
    let starting = control.switch().start();
    let start = Process::start(&wiring.launcher, &settings.command, &settings.section, true);
    let (process, pipes) = match ctx.progress().marking(start).await {
        Ok(started) => started,
        Err(refused) => return End::Refused(refused),
    };
    let _attached = control.switch().attach();
    drop(starting);
    let pid = process.pid();
    tracing::info!(tracer = %settings.name, pid, "child started");
    ctx.update(|state| {
        state.pid = Some(pid);
        state.starts += 1;
    });
    let end = Session::new(settings, control, wiring, process, pipes).run_loop().await;
    ctx.update(|state| state.pid = None);
    end
}

impl<'a> Session<'a> {
    fn new(
        settings: &'a SubprocessSettings,
        control: &'a Control<SubprocessState>,
        wiring: &'a Wiring,
        process: Process,
        pipes: Pipes,
    ) -> Self {
        let (ctx, before) = (&control.ctx, control.ctx.read());
        let parser = StdoutParser::new(
            settings.name.clone(),
            wiring.reserved.clone(),
            wiring.accounts.clone(),
            settings.line_limit,
            before.stdout,
        );
        Self {
            settings,
            ctx,
            control,
            wiring,
            process,
            unread: pipes.stdout.capacity(),
            stdout: pipes.stdout,
            stdout_open: true,
            stderr: StderrLog::new(pipes.stderr, before.stderr),
            stdin: StdinWriter::new(pipes.stdin, protocol::init(settings)),
            parser,
            sending: None,
            phase: Phase::Running,
            asked: false,
            ended: false,
            collector_gone: false,
            next_poll: clock::now(),
            last_output: clock::now(),
            fault: None,
            buffer: vec![0; CHUNK].into_boxed_slice(),
        }
    }

    async fn run_loop(mut self) -> End {
        loop {
            self.send_next();
            if self.ended && self.sending.is_none() {
                if self.read_remaining() {
                    continue;
                }
                break;
            }
            let event = self.next_event().await;
            self.ctx.progress().mark();
            self.handle(event);
            // A child that always has more output must not keep this thread from its mailbox.
            tokio::task::yield_now().await;
        }
        self.finish().await
    }

    async fn next_event(&mut self) -> Event {
        let wait = self.next_time().saturating_duration_since(clock::now());
        let has_room = self.parser.pending().has_room();
        if !has_room {
            // The child waits for the agent.
            self.last_output = clock::now();
        }
        let wait = if has_room { wait } else { wait.min(backlog::INTERVAL) };
        let may_read = self.stdout_open && self.sending.is_none() && has_room;
        let Self { process, stdout, stderr, stdin, sending, control, .. } = self;
        tokio::select! {
            () = stdout.readable(), if may_read => Event::Stdout,
            sent = async { match sending { Some(sending) => sending.await, None => Ok(()) } },
                if sending.is_some() => Event::Sent(sent),
            () = stderr.readable(), if stderr.is_open() => Event::Stderr,
            () = stdin.write(), if stdin.has_work() => Event::Wrote,
            () = process.ended(), if !self.ended => Event::Ended,
            () = control.halted(), if !self.asked => Event::Halted,
            () = clock::sleep(wait) => Event::Time,
        }
    }

    /// Returns when the loop must wake up although no event arrives, at the latest to report progress.
    fn next_time(&mut self) -> Instant {
        let mut next = clock::now() + PROGRESS_INTERVAL;
        if self.phase == Phase::Running {
            next = next.min(self.next_poll);
            next = self.settings.heartbeat.map_or(next, |heartbeat| next.min(self.last_output + heartbeat));
        }
        if let Phase::Leaving(deadline) | Phase::Terminating(deadline) = self.phase {
            next = next.min(deadline);
        }
        if self.sending.is_none() {
            next = self.parser.pending().due().map_or(next, |due| next.min(due));
        }
        next
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Stdout => match self.stdout.read(&mut self.buffer) {
                PollResult::Bytes(count) => self.read(count),
                PollResult::Empty => {}
                PollResult::End => {
                    self.stdout_open = false;
                    self.ctx.update(|state| state.stdout_closed += 1);
                }
            },
            Event::Stderr => {
                self.last_output = clock::now();
                self.stderr.read(self.settings.name.as_str(), &mut self.buffer);
                let counts = self.stderr.counts;
                self.ctx.update(|state| state.stderr = counts);
            }
            Event::Wrote => {}
            Event::Sent(sent) => {
                self.sending = None;
                // The child may have waited for the agent meanwhile.
                self.last_output = clock::now();
                if sent.is_err() {
                    self.collector_gone = true;
                    self.kill();
                }
            }
            Event::Ended => self.ended = true,
            Event::Halted => self.ask_to_stop(),
            Event::Time => self.on_timer(),
        }
    }

    fn read(&mut self, count: usize) {
        self.last_output = clock::now();
        let stopped_before = self.parser.counts().stopped;
        self.parser.feed(&self.buffer[..count]);
        let counts = self.parser.counts();
        self.ctx.update(|state| state.stdout = counts);
        if counts.stopped > stopped_before {
            self.on_stopped();
        }
    }

    /// Starts sending the next batch to the collector, if there is one and no other is being sent.
    fn send_next(&mut self) {
        if self.sending.is_some() || self.collector_gone {
            return;
        }
        if let Some(batch) = self.parser.pending().next() {
            let outbox = self.wiring.outbox.clone();
            self.sending = Some(Box::pin(async move { outbox.send(batch).await }));
        }
    }

    fn on_timer(&mut self) {
        let now = clock::now();
        self.parser.pending().ripen(false);
        match self.phase {
            Phase::Running if self.is_silent(now) => self.end_silent(now),
            Phase::Running if now >= self.next_poll => self.poll(now),
            Phase::Leaving(deadline) if now >= deadline => {
                tracing::warn!(tracer = %self.settings.name, "child did not end by itself, terminating it");
                self.process.signal(Signal::SIGTERM);
                self.phase = Phase::Terminating(now + TERM_GRACE);
            }
            Phase::Terminating(deadline) if now >= deadline => {
                tracing::warn!(tracer = %self.settings.name, "child ignores SIGTERM, killing its group");
                self.kill();
            }
            _ => {}
        }
    }

    fn poll(&mut self, now: Instant) {
        let sent = self.stdin.send_if_idle(protocol::EVENT);
        self.ctx.update(|state| if sent { state.polls += 1 } else { state.polls_skipped += 1 });
        self.next_poll = now + self.settings.poll_interval;
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.sending.is_none()
            && self.settings.heartbeat.is_some_and(|heartbeat| now >= self.last_output + heartbeat)
    }

    /// Ends a child that has written nothing for longer than the heartbeat, because it is probably stuck; the
    /// supervisor starts another.
    fn end_silent(&mut self, now: Instant) {
        let silence = now.duration_since(self.last_output).as_secs_f64();
        tracing::warn!(tracer = %self.settings.name, silence, "child is silent, terminating it");
        self.fault = Some(format!("child said nothing for {silence:.1} s"));
        self.ctx.update(|state| state.silent += 1);
        self.process.signal(Signal::SIGTERM);
        self.phase = Phase::Terminating(now + TERM_GRACE);
    }

    fn ask_to_stop(&mut self) {
        self.asked = true;
        self.stdin.send_last(protocol::STOP);
        if self.phase == Phase::Running {
            self.phase = Phase::Leaving(clock::now() + self.settings.kill_timeout);
        }
    }

    /// Expects the child to exit soon, after it has sent `stopped`.
    fn on_stopped(&mut self) {
        let soon = clock::now() + TERM_GRACE;
        match self.phase {
            Phase::Running => self.phase = Phase::Leaving(soon),
            Phase::Leaving(deadline) => self.phase = Phase::Leaving(deadline.min(soon)),
            Phase::Terminating(_) | Phase::Killed => {}
        }
    }

    fn kill(&mut self) {
        self.process.signal(Signal::SIGKILL);
        self.phase = Phase::Killed;
    }

    /// Reads the rest that an exited child has left in its pipe; returns false when all is read.
    fn read_remaining(&mut self) -> bool {
        if self.unread == 0 || self.collector_gone {
            return false;
        }
        let room = self.unread.min(self.buffer.len());
        match self.stdout.read_now(&mut self.buffer[..room]) {
            PollResult::Bytes(count) => {
                self.unread -= count;
                self.read(count);
                true
            }
            PollResult::Empty | PollResult::End => false,
        }
    }

    /// Sends the last batches, kills the rest of the process group, reaps the child, and returns how it ended.
    async fn finish(mut self) -> End {
        self.parser.finish();
        self.stderr.drain(self.settings.name.as_str(), &mut self.buffer);
        let status = process::describe(self.process.reap().await);
        let (stdout, stderr) = (self.parser.counts(), self.stderr.counts);
        self.ctx.update(|state| {
            state.stdout = stdout;
            state.stderr = stderr;
            state.last_exit = Some(status.clone());
        });
        tracing::info!(tracer = %self.settings.name, status, "child ended");
        while let Some(batch) = self.parser.pending().next() {
            if self.ctx.progress().marking(self.wiring.outbox.send(batch)).await.is_err() {
                self.collector_gone = true;
            }
        }
        if self.collector_gone {
            End::CollectorGone
        } else if self.asked {
            End::Asked
        } else if let Some(fault) = self.fault {
            End::Failed(format!("{fault}, {status}{}", self.stderr.last_line()))
        } else if matches!(self.phase, Phase::Running) {
            End::Failed(format!("child {status}{}", self.stderr.last_line()))
        } else {
            End::Finished
        }
    }
}
