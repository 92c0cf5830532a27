//! The live status lines of `start` on a terminal: one calm line for each tracer, below the log.

use std::cell::Cell;
use std::io::{self, IsTerminal as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::status::{Status, TracerStatus};

/// The terminal, if there is one. Clones share it.
#[derive(Clone)]
pub(crate) struct Screen {
    lines: Option<(MultiProgress, Arc<Mutex<Vec<ProgressBar>>>)>,
    gone: Arc<AtomicBool>,
}

thread_local! {
    /// This thread prints above the lines: what it has to say meanwhile (that it panics) must not wait for itself.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

impl Screen {
    /// The terminal on stderr, or none: then logs are plain and there are no live lines.
    pub(crate) fn detect(wanted: bool) -> Self {
        let terminal = wanted && io::stderr().is_terminal();
        let lines = terminal.then(|| {
            // Twice a second is lively enough for numbers that people read.
            (MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(2)), Arc::default())
        });
        Self { lines, gone: Arc::default() }
    }

    /// Whether somebody watches.
    pub(crate) fn is_live(&self) -> bool {
        self.lines.is_some()
    }

    /// Prints something above the live lines.
    pub(crate) fn above(&self, print: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let Some((multi, _)) = self.lines.as_ref().filter(|_| self.is_there()) else { return print() };
        if WITHIN.replace(true) {
            return print();
        }
        let (mut print, mut printed) = (Some(print), None);
        let suspended = catch_unwind(AssertUnwindSafe(|| {
            multi.suspend(|| printed = print.take().map(|print| print()));
        }));
        WITHIN.set(false);
        if suspended.is_err() {
            // A terminal that goes away at this very moment makes it panic, and its locks are no good from then on.
            self.gone.store(true, Relaxed);
        }
        printed.unwrap_or_else(|| print.map_or(Ok(()), |print| print()))
    }

    /// The terminal was there at the start; it may go away.
    fn is_there(&self) -> bool {
        if !io::stderr().is_terminal() {
            self.gone.store(true, Relaxed);
        }
        !self.gone.load(Relaxed)
    }

    /// Shows the agent as it stands.
    pub(crate) fn show(&self, status: &Status) {
        let Some((multi, bars)) = self.lines.as_ref().filter(|_| self.is_there()) else { return };
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        while bars.len() < status.tracers.len() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            bars.push(multi.add(bar));
        }
        let width = status.tracers.iter().map(|tracer| tracer.tracer.len()).max().unwrap_or(0);
        for (bar, tracer) in bars.iter().zip(&status.tracers) {
            bar.set_message(line(tracer, width));
        }
    }

    /// Takes the live lines away.
    pub(crate) fn clear(&self) {
        if let Some((multi, bars)) = self.lines.as_ref().filter(|_| self.is_there()) {
            // The terminal may go at this moment; then there is nothing to clear.
            let _ = multi.clear();
            for bar in bars.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                multi.remove(&bar);
            }
        }
    }
}

/// One tracer's line.
fn line(tracer: &TracerStatus, width: usize) -> String {
    let name = &tracer.tracer;
    let books = &tracer.books;
    let mut line = format!(
        "{name:<width$}  {:<10} seen {:>10}  stored {:>10}  filtered {:>10}  lost {:>6}",
        tracer.phase.as_str(),
        books.seen,
        books.stored,
        books.filtered,
        books.lost.total()
    );
    if let Some(cause) = &tracer.cause {
        let first = cause.lines().next().unwrap_or_default();
        line.push_str(&format!("  {first}"));
    }
    line
}
