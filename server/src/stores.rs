//! The stores that questions read. Opening one takes longer than most questions, so each is used again for some seconds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use analyzer::Store;
use analyzer::sql::Meter;
use model::lock::lock;

use crate::clock;
use crate::problem::Problem;

/// Time after which an open store is closed. While it is open, files that retention removes stay on the disk.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// The stores that are open.
#[derive(Debug)]
pub(crate) struct Stores {
    files: Vec<PathBuf>,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    opened: Instant,
    store: Store,
    meter: Arc<Meter>,
}

impl Stores {
    /// Knows the files that are read together. None is opened yet.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        Self { files, idle: Mutex::default() }
    }

    /// Opens a store for one question alone.
    pub(crate) fn open(&self) -> Result<Store, Problem> {
        Ok(Store::open_all(&self.files)?)
    }

    /// Answers a question with a store, all of whose rows are of one moment. It ends early if it is stopped.
    pub(crate) fn ask<T>(
        &self,
        stop: &Stop,
        question: impl FnOnce(&Store) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let known = lock(&self.idle).pop().filter(Idle::is_young);
        let idle = match known {
            Some(idle) => idle,
            None => {
                let mut store = self.open()?;
                let meter = store.watched()?;
                Idle { opened: clock::now(), store, meter }
            }
        };
        stop.watch(idle.meter.clone());
        idle.store.begin_snapshot()?;
        let answer = question(&idle.store);
        let is_whole = idle.store.end_snapshot().is_ok() && idle.store.damaged().is_empty();
        stop.forget();
        if is_whole && !idle.meter.is_stopped() && idle.is_young() {
            lock(&self.idle).push(idle);
        }
        answer
    }

    /// Closes stores that were open for long.
    pub(crate) fn close_old(&self) {
        lock(&self.idle).retain(Idle::is_young);
    }
}

impl Idle {
    fn is_young(&self) -> bool {
        self.opened.elapsed() < LONGEST
    }
}

/// Stops a question from another thread.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    is_stopped: AtomicBool,
    meter: Mutex<Option<Arc<Meter>>>,
}

impl Stop {
    /// Stops the question, or the one that begins next.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if let Some(meter) = &*lock(&self.meter) {
            meter.stop();
        }
    }

    /// Returns whether the question was stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Sets what stops the question that begins now.
    pub(crate) fn watch(&self, meter: Arc<Meter>) {
        let mut watched = lock(&self.meter);
        if self.is_stopped() {
            meter.stop();
        }
        *watched = Some(meter);
    }

    /// Lets go of what stops the question, which has ended.
    pub(crate) fn forget(&self) {
        *lock(&self.meter) = None;
    }
}
