//! One run of a shell tracer's command: bounded in time and in output, and nothing of it left behind.

use std::process::Stdio;
use std::time::Duration;

use actors::Progress;
use actors::clock::{self, Instant};
use nix::sys::signal::Signal;

use crate::duty::{Duty, MARK};
use crate::pipe::{Look, Pipe};
use crate::process::{self, Process, StartError};
use crate::settings::ShellSettings;

/// From SIGTERM to SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(1);
/// So much of stderr is kept for the log.
const STDERR_KEPT: usize = 4096;
/// As much as a pipe usually holds.
const CHUNK: usize = 64 * 1024;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) output: Kept,
    pub(crate) stderr: Kept,
    /// Its exit code, if it ended by itself and by no signal.
    pub(crate) code: Option<i32>,
    /// How it ended, in words.
    pub(crate) status: String,
    pub(crate) why: Why,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Itself,
    TimedOut,
    /// The tracer was to leave off.
    Halted,
}

/// Bytes up to a limit; the rest is read and counted only.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    pub(crate) cut: u64,
    /// Line ends in what is cut: so many lines are not whole, or not there at all.
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

/// One of the command's two pipes.
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
            Look::Bytes(count) => self.kept.take(&buffer[..count]),
            Look::Empty => {}
            Look::End => self.open = false,
        }
    }

    /// Takes what an ended command has left; not more than the pipe holds, in case a grandchild writes on.
    fn drain(&mut self, buffer: &mut [u8]) {
        let mut left = self.pipe.capacity();
        while left > 0 {
            let room = left.min(buffer.len());
            let Look::Bytes(count) = self.pipe.read_now(&mut buffer[..room]) else { return };
            self.kept.take(&buffer[..count]);
            left -= count;
        }
    }
}

/// Runs the command to its end, or to what ends it.
pub(crate) async fn run(
    settings: &ShellSettings,
    duty: &Duty,
    progress: &Progress,
) -> Result<Run, StartError> {
    let (mut process, pipes) = Process::start(&settings.command, &settings.section, Stdio::null())?;
    let mut stdout = Stream::new(pipes.stdout, settings.output_limit);
    let mut stderr = Stream::new(pipes.stderr, STDERR_KEPT);
    let mut buffer = vec![0; CHUNK];
    let mut end = Ending { why: Why::Itself, next: Some((clock::now() + settings.timeout, Signal::SIGTERM)) };
    loop {
        let next = end.next.map_or(MARK, |(at, _)| at.saturating_duration_since(clock::now()).min(MARK));
        progress.mark();
        tokio::select! {
            () = stdout.pipe.readable(), if stdout.open => stdout.read(&mut buffer),
            () = stderr.pipe.readable(), if stderr.open => stderr.read(&mut buffer),
            () = process.ended() => break,
            () = duty.halted(), if end.why == Why::Itself => end.hurry(&process, Why::Halted),
            () = clock::sleep(next) => end.look_at_time(&process),
        }
    }
    stdout.drain(&mut buffer);
    stderr.drain(&mut buffer);
    let status = process.reap().await;
    let code = status.as_ref().ok().and_then(std::process::ExitStatus::code);
    let status = process::describe(status);
    Ok(Run { output: stdout.kept, stderr: stderr.kept, code, status, why: end.why })
}

/// How the command is brought to its end, if it has to be.
struct Ending {
    why: Why,
    next: Option<(Instant, Signal)>,
}

impl Ending {
    fn look_at_time(&mut self, process: &Process) {
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
