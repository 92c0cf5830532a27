//! The bounds of a query: what it may take, how far it is, and why it was stopped.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::lock::lock;

/// Watches a query while SQLite runs it. Other threads read the progress and can stop it.
#[derive(Debug, Default)]
pub struct Meter {
    is_stopped: AtomicBool,
    rows: AtomicU64,
    clock: Mutex<Clock>,
}

/// The time that a query has taken. Time in which its rows are printed does not count: whoever reads them may be slow.
#[derive(Debug, Default)]
struct Clock {
    limit: Option<Duration>,
    spent: Duration,
    running_since: Option<Instant>,
}

impl Clock {
    fn is_over(&self) -> bool {
        let running = self.running_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.limit.is_some_and(|limit| self.spent + running > limit)
    }
}

impl Meter {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { clock: Mutex::new(Clock { limit, ..Clock::default() }), ..Self::default() }
    }

    /// Stops the query at once. What it has printed stays.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Returns how many rows were read so far from batches.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Returns whether the query was stopped.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Returns whether the query has to end.
    pub(crate) fn has_to_end(&self) -> bool {
        self.is_stopped() || lock(&self.clock).is_over()
    }

    /// Counts rows that are read now; an error, if the query has to end.
    pub(crate) fn reads(&self, rows: i64) -> rusqlite::Result<()> {
        self.rows.fetch_add(rows.unsigned_abs(), Ordering::Relaxed);
        if self.has_to_end() {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
            return Err(rusqlite::Error::SqliteFailure(code, None));
        }
        Ok(())
    }

    /// Runs a step of the query, whose time counts.
    pub(crate) fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        let start = now();
        lock(&self.clock).running_since = Some(start);
        let done = step();
        let mut clock = lock(&self.clock);
        clock.running_since = None;
        clock.spent += start.elapsed();
        done
    }
}

#[expect(clippy::disallowed_methods, reason = "measures a query of a command, outside of the agent")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_of_steps_counts() {
        let meter = Meter::new(Some(Duration::from_secs(3600)));
        meter.run(|| ());
        lock(&meter.clock).spent = Duration::from_secs(3601);
        assert!(meter.has_to_end() && meter.reads(1).is_err());
        lock(&meter.clock).spent = Duration::from_secs(3);
        assert!(!meter.has_to_end() && meter.reads(2).is_ok());
        assert_eq!(meter.rows(), 3);
        meter.stop();
        assert!(meter.reads(0).is_err());
    }
}
