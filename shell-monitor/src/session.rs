//! One life of a subprocess tracer's child, from its start to its last words.
//!
//! A single loop waits for whatever comes next, so that nothing a child does or leaves undone holds up anything
//! else: it is polled though it floods, its stderr is read though it is silent, and its end is seen though the
//! collector is slow. While a batch waits for the collector stdout is not read: the pipe fills, the child waits.

use std::process::Stdio;
use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Closed, Link};
use futures::future::BoxFuture;
use nix::sys::signal::Signal;

use crate::duty::{Duty, MARK};
use crate::intake::Intake;
use crate::pending;
use crate::pipe::{Look, Pipe};
use crate::process::{self, Pipes, Process, StartError};
use crate::protocol;
use crate::settings::SubprocessSettings;
use crate::stderr::StderrLog;
use crate::subprocess::SubprocessState;
use crate::talk::Talk;
use crate::wiring::Wiring;

/// From SIGTERM to SIGKILL, and from `stopped` to SIGTERM.
pub(crate) const TERM_GRACE: Duration = Duration::from_secs(1);
/// As much as a pipe usually holds.
const CHUNK: usize = 64 * 1024;

/// How a child's life ended.
pub(crate) enum End {
    /// As it was asked to.
    Asked,
    /// By its own will: it said `stopped`.
    Finished,
    /// By itself, which it should not have.
    Fell(String),
    /// It never began.
    Refused(StartError),
    /// Nobody takes its records any more.
    Unheard,
}

/// What is being done about a child's end, until when.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Running,
    /// It was told `stop`, or said `stopped`; next is SIGTERM.
    Leaving(Instant),
    /// It got SIGTERM; next is SIGKILL.
    Terminating(Instant),
    Killed,
}

/// What came next.
enum Turn {
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
    link: &'a Link<SubprocessState>,
    duty: &'a Duty,
    wiring: &'a Wiring,
    process: Process,
    stdout: Pipe,
    stdout_open: bool,
    stderr: StderrLog,
    talk: Talk,
    intake: Intake,
    sending: Option<BoxFuture<'static, Result<(), Closed>>>,
    phase: Phase,
    /// It was told to stop, or said that it does.
    asked: bool,
    ended: bool,
    unheard: bool,
    /// What may still be read of an ended child's pipe: as much as it holds, in case a grandchild writes on.
    left: usize,
    next_poll: Instant,
    /// When it last said something, or was not listened to.
    heard: Instant,
    /// Why it had to be ended though it was wanted.
    fault: Option<String>,
    buffer: Box<[u8]>,
}

/// Starts the child and lives its life.
pub(crate) async fn run(
    settings: &SubprocessSettings,
    link: &Link<SubprocessState>,
    duty: &Duty,
    wiring: &Wiring,
) -> End {
    let (process, pipes) = match Process::start(&settings.command, &settings.section, Stdio::piped()) {
        Ok(started) => started,
        Err(refused) => return End::Refused(refused),
    };
    let _attached = duty.switch().attach();
    let pid = process.pid();
    tracing::info!(tracer = %settings.name, pid, "child started");
    link.update(|state| {
        state.pid = Some(pid);
        state.starts += 1;
    });
    let end = Session::new(settings, link, duty, wiring, process, pipes).live().await;
    link.update(|state| state.pid = None);
    end
}

impl<'a> Session<'a> {
    fn new(
        settings: &'a SubprocessSettings,
        link: &'a Link<SubprocessState>,
        duty: &'a Duty,
        wiring: &'a Wiring,
        process: Process,
        pipes: Pipes,
    ) -> Self {
        let before = link.read();
        let intake = Intake::new(
            settings.name.clone(),
            wiring.reserved.clone(),
            wiring.accounts.clone(),
            settings.line_limit,
            before.stdout,
        );
        Self {
            settings,
            link,
            duty,
            wiring,
            process,
            left: pipes.stdout.capacity(),
            stdout: pipes.stdout,
            stdout_open: true,
            stderr: StderrLog::new(pipes.stderr, before.stderr),
            talk: Talk::new(pipes.stdin, protocol::init(settings)),
            intake,
            sending: None,
            phase: Phase::Running,
            asked: false,
            ended: false,
            unheard: false,
            next_poll: clock::now(),
            heard: clock::now(),
            fault: None,
            buffer: vec![0; CHUNK].into_boxed_slice(),
        }
    }

    async fn live(mut self) -> End {
        loop {
            self.send_next();
            if self.ended && self.sending.is_none() {
                if self.read_last() {
                    continue;
                }
                break;
            }
            let turn = self.next_turn().await;
            self.link.progress().mark();
            self.take(turn);
            // A child that always has more to say must not keep this thread from its mailbox.
            tokio::task::yield_now().await;
        }
        self.last_words().await
    }

    async fn next_turn(&mut self) -> Turn {
        let wait = self.next_time().saturating_duration_since(clock::now());
        let may_read = self.stdout_open && self.sending.is_none();
        let Self { process, stdout, stderr, talk, sending, duty, .. } = self;
        tokio::select! {
            () = stdout.readable(), if may_read => Turn::Stdout,
            sent = async { match sending { Some(sending) => sending.await, None => Ok(()) } },
                if sending.is_some() => Turn::Sent(sent),
            () = stderr.readable(), if stderr.is_open() => Turn::Stderr,
            () = talk.write(), if talk.has_work() => Turn::Wrote,
            () = process.ended(), if !self.ended => Turn::Ended,
            () = duty.halted(), if !self.asked => Turn::Halted,
            () = clock::sleep(wait) => Turn::Time,
        }
    }

    /// When something is to be done though nothing came: at the latest to mark that this lives.
    fn next_time(&mut self) -> Instant {
        let mut next = clock::now() + MARK;
        if self.phase == Phase::Running {
            next = next.min(self.next_poll);
            next = self.settings.heartbeat.map_or(next, |heartbeat| next.min(self.heard + heartbeat));
        }
        if let Phase::Leaving(deadline) | Phase::Terminating(deadline) = self.phase {
            next = next.min(deadline);
        }
        if self.sending.is_none() {
            next = self.intake.pending().due().map_or(next, |due| next.min(due));
        }
        next
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Stdout => match self.stdout.read(&mut self.buffer) {
                Look::Bytes(count) => self.read(count),
                Look::Empty => {}
                Look::End => {
                    self.stdout_open = false;
                    self.link.update(|state| state.stdout_closed += 1);
                }
            },
            Turn::Stderr => {
                self.heard = clock::now();
                self.stderr.read(self.settings.name.as_str(), &mut self.buffer);
                let counts = self.stderr.counts;
                self.link.update(|state| state.stderr = counts);
            }
            Turn::Wrote => {}
            Turn::Sent(sent) => {
                self.sending = None;
                // Meanwhile it may have waited for us.
                self.heard = clock::now();
                if sent.is_err() {
                    self.unheard = true;
                    self.kill();
                }
            }
            Turn::Ended => self.ended = true,
            Turn::Halted => self.ask_to_stop(),
            Turn::Time => self.look_at_time(),
        }
    }

    fn read(&mut self, count: usize) {
        self.heard = clock::now();
        let said_stopped = self.intake.counts().stopped;
        self.intake.feed(&self.buffer[..count]);
        let counts = self.intake.counts();
        self.link.update(|state| state.stdout = counts);
        if counts.stopped > said_stopped {
            self.heard_stopped();
        }
    }

    /// Hands the next batch to the collector, if there is one and none is on its way.
    fn send_next(&mut self) {
        if self.sending.is_some() || self.unheard {
            return;
        }
        if let Some(batch) = self.intake.pending().next() {
            let outbox = self.wiring.outbox.clone();
            self.sending = Some(Box::pin(async move { outbox.send(batch).await }));
        }
    }

    fn look_at_time(&mut self) {
        let now = clock::now();
        self.intake.pending().ripen(false);
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
        let said = self.talk.say_if_free(protocol::EVENT);
        self.link.update(|state| if said { state.polls += 1 } else { state.polls_skipped += 1 });
        self.next_poll = now + self.settings.poll_interval;
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.sending.is_none()
            && self.settings.heartbeat.is_some_and(|heartbeat| now >= self.heard + heartbeat)
    }

    /// A child that says nothing for so long is taken for stuck: it is ended, and its supervisor starts another.
    fn end_silent(&mut self, now: Instant) {
        let silence = now.duration_since(self.heard).as_secs_f64();
        tracing::warn!(tracer = %self.settings.name, silence, "child is silent, terminating it");
        self.fault = Some(format!("child said nothing for {silence:.1} s"));
        self.link.update(|state| state.silent += 1);
        self.process.signal(Signal::SIGTERM);
        self.phase = Phase::Terminating(now + TERM_GRACE);
    }

    fn ask_to_stop(&mut self) {
        self.asked = true;
        self.talk.say_last(protocol::STOP);
        if self.phase == Phase::Running {
            self.phase = Phase::Leaving(clock::now() + self.settings.kill_timeout);
        }
    }

    /// It has said `stopped`: what is left is to end.
    fn heard_stopped(&mut self) {
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

    /// Reads on what an ended child has left in its pipe; false when that is all.
    fn read_last(&mut self) -> bool {
        if self.left == 0 || self.unheard {
            return false;
        }
        let room = self.left.min(self.buffer.len());
        match self.stdout.read_now(&mut self.buffer[..room]) {
            Look::Bytes(count) => {
                self.left -= count;
                self.read(count);
                true
            }
            Look::Empty | Look::End => false,
        }
    }

    /// Hands over what is left, kills what is left of the group, reaps, and says how it was.
    async fn last_words(mut self) -> End {
        self.intake.finish();
        self.stderr.drain(self.settings.name.as_str(), &mut self.buffer);
        let status = process::describe(self.process.reap().await);
        let (stdout, stderr) = (self.intake.counts(), self.stderr.counts);
        self.link.update(|state| {
            state.stdout = stdout;
            state.stderr = stderr;
            state.last_exit = Some(status.clone());
        });
        tracing::info!(tracer = %self.settings.name, status, "child ended");
        while let Some(batch) = self.intake.pending().next() {
            if pending::send(&self.wiring.outbox, batch, self.link.progress()).await.is_err() {
                self.unheard = true;
            }
        }
        if self.unheard {
            End::Unheard
        } else if self.asked {
            End::Asked
        } else if let Some(fault) = self.fault {
            End::Fell(format!("{fault}, {status}{}", self.stderr.last_words()))
        } else if matches!(self.phase, Phase::Running) {
            End::Fell(format!("child {status}{}", self.stderr.last_words()))
        } else {
            End::Finished
        }
    }
}
