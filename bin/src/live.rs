//! The live status lines of `start` on a terminal: one calm line for each tracer, below the log.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::status::{Status, TracerStatus};

/// The terminal, if there is one. Clones share it.
#[derive(Clone)]
pub(crate) struct Screen {
    lines: Option<(MultiProgress, Arc<Mutex<Vec<ProgressBar>>>)>,
}

impl Screen {
    /// The terminal on stderr, or none: then logs are plain and there are no live lines.
    pub(crate) fn detect(wanted: bool) -> Self {
        let terminal = wanted && io::stderr().is_terminal();
        let lines = terminal.then(|| {
            // Twice a second is lively enough for numbers that people read.
            (MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(2)), Arc::default())
        });
        Self { lines }
    }

    /// Whether somebody watches.
    pub(crate) fn is_live(&self) -> bool {
        self.lines.is_some()
    }

    /// Prints something above the live lines.
    pub(crate) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.lines {
            Some((multi, _)) => multi.suspend(print),
            None => print(),
        }
    }

    /// Shows the agent as it stands.
    pub(crate) fn show(&self, status: &Status) {
        let Some((multi, bars)) = &self.lines else { return };
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
        if let Some((multi, bars)) = &self.lines {
            // The terminal may be gone by now; then there is nothing to clear.
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
