//! Runs a shell tracer's command once: with limits on time and output, and without leaving any process behind.

use std::time::Duration;

use actors::State;
use actors::clock::{self, Instant};
use nix::sys::signal::Signal;

use crate::control::{Control, PROGRESS_INTERVAL};
use crate::pipe::{Pipe, PollResult};
use crate::process::{self, Pipes, Process};
use crate::settings::ShellSettings;

/// Time from SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// Bytes of stderr kept for the log.
const STDERR_KEPT: usize = 4096;
/// Bytes read at once: the usual capacity of a pipe.
const CHUNK: usize = 64 * 1024;

/// Result of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) output: Kept,
    pub(crate) stderr: Kept,
    /// Exit code, unless a signal ended the command.
    pub(crate) code: Option<i32>,
    /// Description of how the command ended.
    pub(crate) status: String,
    pub(crate) why: Why,
}

/// Reasons why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Itself,
    TimedOut,
    /// The tracer had to stop.
    Halted,
}

/// Keeps bytes up to a limit; the rest is read and only counted.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    pub(crate) cut: u64,
    /// Number of line ends in the part that was cut: the number of lines that are incomplete or missing.
    pub(crate) cut_lines: u64,
    limit: usize,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), cut: 0, cut_lines: 0, limit }
    }

    fn take(&mut self, chunk: &[u8]) {
        let room = chunk.len().min(self.limit - self.bytes.len());
        self.bytes.extend_from_slice(&chunk[..room]);
        let cut = &chunk[room..];
        self.cut += cut.len() as u64;
        self.cut_lines += memchr::memchr_iter(b'\n', cut).count() as u64;
    }
}

/// Read end of the command's stdout or stderr, and what was read from it.
struct Stream {
    pipe: Pipe,
    open: bool,
    kept: Kept,
}

impl Stream {
    fn new(pipe: Pipe, limit: usize) -> Self {
        Self { pipe, open: true, kept: Kept::new(limit) }
    }

    fn read(&mut self, buffer: &mut [u8]) {
        match self.pipe.read(buffer) {
            PollResult::Bytes(count) => self.kept.take(&buffer[..count]),
            PollResult::Empty => {}
            PollResult::End => self.open = false,
        }
    }

    /// Reads what a command that has exited has left; at most the pipe's capacity, in case a grandchild goes on
    /// writing.
    fn drain(&mut self, buffer: &mut [u8]) {
        let mut left = self.pipe.capacity();
        while left > 0 {
            let room = left.min(buffer.len());
            let PollResult::Bytes(count) = self.pipe.read_now(&mut buffer[..room]) else { return };
            self.kept.take(&buffer[..count]);
            left -= count;
        }
    }
}

/// Runs the command, which was just started, until it exits or is ended by its timeout or a stop.
pub(crate) async fn run<S: State>(
    (mut process, pipes): (Process, Pipes),
    settings: &ShellSettings,
    control: &Control<S>,
) -> Run {
    let mut stdout = Stream::new(pipes.stdout, settings.output_limit);
    let mut stderr = Stream::new(pipes.stderr, STDERR_KEPT);
    let mut buffer = vec![0; CHUNK];
    let mut end = Ending { why: Why::Itself, next: Some((clock::now() + settings.timeout, Signal::SIGTERM)) };
    loop {
        let next = end.next.map_or(PROGRESS_INTERVAL, |(at, _)| {
            at.saturating_duration_since(clock::now()).min(PROGRESS_INTERVAL)
        });
        control.ctx.progress().mark();
        tokio::select! {
            () = stdout.pipe.readable(), if stdout.open => stdout.read(&mut buffer),
            () = stderr.pipe.readable(), if stderr.open => stderr.read(&mut buffer),
            () = process.ended() => break,
            () = control.halted(), if end.why == Why::Itself => end.hurry(&process, Why::Halted),
            () = clock::sleep(next) => end.on_timer(&process),
        }
    }
    stdout.drain(&mut buffer);
    stderr.drain(&mut buffer);
    let status = process.reap().await;
    let code = status.as_ref().ok().and_then(std::process::ExitStatus::code);
    let status = process::describe(status);
    Run { output: stdout.kept, stderr: stderr.kept, code, status, why: end.why }
}

/// Signals that end the command if necessary.
struct Ending {
    why: Why,
    next: Option<(Instant, Signal)>,
}

impl Ending {
    fn on_timer(&mut self, process: &Process) {
        let Some((at, signal)) = self.next else { return };
        if clock::now() < at {
            return;
        }
        if signal == Signal::SIGKILL {
            process.signal(signal);
            self.next = None;
        } else {
            let why = if self.why == Why::Itself { Why::TimedOut } else { self.why };
            self.hurry(process, why);
        }
    }

    fn hurry(&mut self, process: &Process, why: Why) {
        self.why = why;
        process.signal(Signal::SIGTERM);
        self.next = Some((clock::now() + TERM_GRACE, Signal::SIGKILL));
    }
}
