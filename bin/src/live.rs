//! What `start` shows on a terminal: the log, and below it one calm line for each tracer. A thread of its own writes
//! there, so that a terminal that is stopped (Ctrl-S), slow or gone holds up nobody else.

use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use flume::{Receiver, Sender};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::status::{Status, TracerStatus};

/// How many log lines wait for the terminal; what is logged while it takes none is counted, and told when it does.
const WAITING: usize = 4096;
/// How long the end waits for a terminal that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The terminal on stderr, if it is one. Clones share it.
#[derive(Clone)]
pub(crate) struct Screen {
    thread: Option<Sender<Said>>,
    unsaid: Arc<AtomicU64>,
    live: bool,
}

/// What the thread is told.
enum Said {
    /// A log line, with its newline.
    Log(Vec<u8>),
    /// The live lines, as they are now.
    Lines(Vec<String>),
    /// Takes the live lines away and drops the sender: all that was said before is on the terminal then.
    Clear(Sender<()>),
}

impl Screen {
    /// The terminal on stderr, or none: then logs are written as they come. Live lines are shown if `wanted`.
    pub(crate) fn detect(wanted: bool) -> Self {
        let unsaid = Arc::default();
        let thread = io::stderr().is_terminal().then(|| start(Arc::clone(&unsaid))).flatten();
        Self { live: wanted && thread.is_some(), thread, unsaid }
    }

    /// Whether somebody watches.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Writes a log line, above the live lines. Whether it was written nobody can be told: stderr is where one would.
    pub(crate) fn log(&self, line: &[u8]) {
        match &self.thread {
            None => drop(io::stderr().lock().write_all(line)),
            Some(thread) if thread.try_send(Said::Log(line.to_vec())).is_err() => {
                self.unsaid.fetch_add(1, Relaxed);
            }
            Some(_) => {}
        }
    }

    /// Shows the agent as it stands, unless the terminal has not yet taken what came before.
    pub(crate) fn show(&self, status: &Status) {
        if let Some(thread) = self.thread.as_ref().filter(|thread| self.live && thread.is_empty()) {
            let width = status.tracers.iter().map(|tracer| tracer.tracer.len()).max().unwrap_or(0);
            let lines = status.tracers.iter().map(|tracer| line(tracer, width)).collect();
            // Full just now: there will be newer ones.
            let _ = thread.try_send(Said::Lines(lines));
        }
    }

    /// Takes the live lines away when all that was said before is on the terminal, without waiting for it.
    pub(crate) fn clear(&self) {
        if let Some(thread) = &self.thread {
            // Too full for that: the end clears too.
            let _ = thread.try_send(Said::Clear(flume::bounded(0).0));
        }
    }

    /// However the caller ends, all that was said until then comes before whatever it says next; a terminal that takes
    /// nothing is waited for a second.
    pub(crate) fn until_the_end(&self) -> impl Drop {
        LastWords(self.clone())
    }
}

/// Waits for the terminal when dropped.
struct LastWords(Screen);

impl Drop for LastWords {
    fn drop(&mut self) {
        let (done, cleared) = flume::bounded(0);
        if let Some(thread) = &self.0.thread
            && thread.send_timeout(Said::Clear(done), PATIENCE).is_ok()
        {
            let _ = cleared.recv_timeout(PATIENCE);
        }
    }
}

/// Starts the thread that writes to the terminal; it ends with the last screen.
fn start(unsaid: Arc<AtomicU64>) -> Option<Sender<Said>> {
    let (thread, said) = flume::bounded(WAITING);
    // Twice a second is lively enough for numbers that people read.
    let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(2));
    let terminal = Terminal { lines, bars: Vec::new(), unsaid };
    std::thread::Builder::new().name("terminal".to_owned()).spawn(move || terminal.serve(&said)).ok()?;
    Some(thread)
}

/// What the thread has.
struct Terminal {
    lines: MultiProgress,
    bars: Vec<ProgressBar>,
    unsaid: Arc<AtomicU64>,
}

impl Terminal {
    fn serve(mut self, said: &Receiver<Said>) {
        let mut there = true;
        while let Ok(said) = said.recv() {
            // Once it has gone, so has who would read this. One that goes at this very moment makes the library panic.
            there = there
                && io::stderr().is_terminal()
                && catch_unwind(AssertUnwindSafe(|| self.take(said))).is_ok();
        }
    }

    fn take(&mut self, said: Said) {
        match said {
            Said::Log(line) => self.log(&line),
            Said::Lines(lines) => self.show(lines),
            Said::Clear(_done) => self.clear(),
        }
    }

    fn log(&self, line: &[u8]) {
        let unsaid = self.unsaid.swap(0, Relaxed);
        self.lines.suspend(|| {
            let mut out = io::stderr().lock();
            let _ = out.write_all(line);
            if unsaid > 0 {
                let _ = writeln!(out, "({unsaid} log lines are missing: the terminal took no more)");
            }
        });
    }

    fn show(&mut self, lines: Vec<String>) {
        while self.bars.len() < lines.len() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.bars.push(self.lines.add(bar));
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            bar.set_message(line);
        }
    }

    fn clear(&mut self) {
        // The terminal may go at this moment; then there is nothing to clear.
        let _ = self.lines.clear();
        for bar in self.bars.drain(..) {
            self.lines.remove(&bar);
        }
    }
}

/// One tracer's line.
fn line(tracer: &TracerStatus, width: usize) -> String {
    let name = &tracer.tracer;
    let account = &tracer.account;
    let mut line = format!(
        "{name:<width$}  {:<10} seen {:>10}  stored {:>10}  filtered {:>10}  lost {:>6}",
        tracer.phase.as_str(),
        account.seen,
        account.stored,
        account.filtered,
        account.lost.total()
    );
    if let Some(cause) = &tracer.cause {
        let first = cause.lines().next().unwrap_or_default();
        line.push_str(&format!("  {first}"));
    }
    line
}
