//! The output of `start` on stderr: the log, and on a terminal one line for each tracer below it that is updated in place.
//!
//! A thread of its own writes to stderr, so that a terminal that is stopped (Ctrl-S), slow or closed, and a pipe that nobody
//! reads, block nothing else:
//!
//! ```text
//! log lines, live lines ─► queue of 4096 ─► thread ─► stderr
//!        (if the queue is full: counted and dropped)
//! ```

use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use flume::{Receiver, Sender};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::status::{Status, TracerStatus};

/// Log lines that can wait for stderr. Further lines are dropped and counted; the count is printed later.
const WAITING: usize = 4096;
/// Longest wait at the end for a stderr that accepts no output.
const PATIENCE: Duration = Duration::from_secs(1);

/// Stderr, which may be a terminal. Clones share it.
#[derive(Clone)]
pub(crate) struct Screen {
    /// Absent if no thread could be started; then log lines are written directly.
    thread: Option<Sender<Message>>,
    /// Number of dropped log lines that is not printed yet.
    dropped: Arc<AtomicU64>,
    live: bool,
}

/// A message to the thread.
enum Message {
    /// A log line, with its newline.
    Log(Vec<u8>),
    /// The current live lines.
    Lines(Vec<String>),
    /// Removes the live lines, then drops the sender, which signals that everything sent before is written.
    Clear(Sender<()>),
}

impl Screen {
    /// Returns stderr. Live lines are shown if `wanted` and if it is a terminal.
    pub(crate) fn detect(wanted: bool) -> Self {
        let dropped = Arc::default();
        let is_terminal = io::stderr().is_terminal();
        let thread = start(Arc::clone(&dropped), is_terminal);
        Self { live: wanted && is_terminal && thread.is_some(), thread, dropped }
    }

    /// True if live lines are shown.
    pub(crate) fn is_live(&self) -> bool {
        self.live
    }

    /// Writes a log line above the live lines. Errors are ignored: stderr is where they would be reported.
    pub(crate) fn log(&self, line: &[u8]) {
        match &self.thread {
            None => drop(io::stderr().lock().write_all(line)),
            Some(thread) if thread.try_send(Message::Log(line.to_vec())).is_err() => {
                self.dropped.fetch_add(1, Relaxed);
            }
            Some(_) => {}
        }
    }

    /// Updates the live lines, unless the terminal has not yet accepted everything that was sent before.
    pub(crate) fn show(&self, status: &Status) {
        if let Some(thread) = self.thread.as_ref().filter(|thread| self.live && thread.is_empty()) {
            let width = status.tracers.iter().map(|tracer| tracer.tracer.len()).max().unwrap_or(0);
            let lines = status.tracers.iter().map(|tracer| line(tracer, width)).collect();
            // If the queue is full now, a later update will do.
            let _ = thread.try_send(Message::Lines(lines));
        }
    }

    /// Removes the live lines after everything that was sent before. Does not wait for it.
    pub(crate) fn clear(&self) {
        if let Some(thread) = &self.thread {
            // If the queue is full, the guard of `until_the_end` removes them.
            let _ = thread.try_send(Message::Clear(flume::bounded(0).0));
        }
    }

    /// Returns a guard that, when dropped, waits until everything sent so far is written, so that later output comes after it. It
    /// waits at most a second for a stderr that accepts nothing.
    pub(crate) fn until_the_end(&self) -> impl Drop {
        FlushOnDrop(self.clone())
    }
}

/// Waits for the thread when dropped.
struct FlushOnDrop(Screen);

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        let (done, cleared) = flume::bounded(0);
        if let Some(thread) = &self.0.thread
            && thread.send_timeout(Message::Clear(done), PATIENCE).is_ok()
        {
            let _ = cleared.recv_timeout(PATIENCE);
        }
    }
}

/// Starts the thread that writes to stderr. It ends when the last clone of the screen is dropped.
fn start(dropped: Arc<AtomicU64>, is_terminal: bool) -> Option<Sender<Message>> {
    let (thread, messages) = flume::bounded(WAITING);
    // People can't read numbers that change more than twice a second.
    let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(2));
    let terminal = Terminal { lines, bars: Vec::new(), dropped, is_terminal };
    std::thread::Builder::new().name("stderr".to_owned()).spawn(move || terminal.serve(&messages)).ok()?;
    Some(thread)
}

/// The state of the thread.
struct Terminal {
    lines: MultiProgress,
    bars: Vec<ProgressBar>,
    dropped: Arc<AtomicU64>,
    /// Stderr was a terminal at the start.
    is_terminal: bool,
}

impl Terminal {
    fn serve(mut self, messages: &Receiver<Message>) {
        let mut open = true;
        while let Ok(message) = messages.recv() {
            // After the terminal was closed, messages are discarded. If it closes while the library writes, that panics.
            open = open
                && (!self.is_terminal || io::stderr().is_terminal())
                && catch_unwind(AssertUnwindSafe(|| self.handle(message))).is_ok();
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Log(line) => self.log(&line),
            Message::Lines(lines) => self.show(lines),
            Message::Clear(_done) => self.clear(),
        }
    }

    fn log(&self, line: &[u8]) {
        let dropped = self.dropped.swap(0, Relaxed);
        self.lines.suspend(|| {
            let mut out = io::stderr().lock();
            let _ = out.write_all(line);
            if dropped > 0 {
                let _ = writeln!(out, "({dropped} log lines are missing: stderr accepted no more)");
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
        // This fails if the terminal closes now; then there is nothing to clear.
        let _ = self.lines.clear();
        for bar in self.bars.drain(..) {
            self.lines.remove(&bar);
        }
    }
}

/// Returns the line of a tracer, its name padded to `width`.
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
