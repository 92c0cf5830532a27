//! Keeps the last rows of each tracer in memory, like duetector's deque. Rows that leave it do not count as lost.

mod config;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

pub use config::MemoryConfig;

use model::lock::lock;
use model::{Problem, Routed, TracerName, Tracking, WallTime};

use super::kind::{BuildContext, CarriedOver, Pace, SinkKind, SinkSpec, Target};
use super::{Rejected, Sink, SinkError, TracerAccount};
use crate::checks::Checks;

/// Ring buffers of rows. Clones share them, so they outlive the actor's incarnations.
#[derive(Clone, Debug)]
pub struct Memory {
    maxlen: usize,
    rings: Arc<Mutex<BTreeMap<TracerName, Ring>>>,
}

/// Rows of one tracer, in the batches they came in: rows are shared with the other sinks, not copied.
#[derive(Debug, Default)]
struct Ring {
    pieces: VecDeque<Arc<[Tracking]>>,
    rows: usize,
}

impl SinkKind for MemoryConfig {
    fn validate(&self, section: &str) -> Vec<Problem> {
        Checks::of(section).positive("maxlen", self.maxlen).positive("queue", self.queue).problems()
    }

    fn target(&self, _: &Path) -> Target {
        Target::Named("memory")
    }

    fn build(&self, context: &BuildContext<'_>) -> SinkSpec {
        let maxlen = self.maxlen as usize;
        let before = context.before.get::<Memory>();
        let memory = before.map_or_else(|| Memory::new(maxlen), |memory| memory.resized(maxlen));
        let carried_over = CarriedOver::new(memory.clone());
        // Waiting would gain nothing: rows are shared, not written.
        let pace = Pace::AT_ONCE;
        let make = Box::new(move || Box::new(memory.clone()) as Box<dyn Sink>);
        SinkSpec { queue: (self.queue, self.when_full), pace, make, carried_over }
    }
}

impl Memory {
    /// Makes buffers with room for `maxlen` rows of each tracer.
    pub fn new(maxlen: usize) -> Self {
        Self { maxlen, rings: Arc::default() }
    }

    /// Returns buffers with the same rows and another capacity.
    fn resized(&self, maxlen: usize) -> Self {
        Self { maxlen, rings: self.rings.clone() }
    }

    /// Returns the last rows of a tracer, oldest first.
    pub fn rows(&self, tracer: &TracerName) -> Vec<Tracking> {
        let rings = self.lock();
        let Some(ring) = rings.get(tracer) else { return Vec::new() };
        let skipped = ring.rows.saturating_sub(self.maxlen);
        ring.pieces.iter().flat_map(|piece| piece.iter()).skip(skipped).cloned().collect()
    }

    /// Returns the last rows of every tracer, oldest first, as they are shared with other sinks: batches, and how many rows at
    /// the beginning of each have left the memory.
    pub(crate) fn pieces(&self) -> Vec<(Arc<[Tracking]>, usize)> {
        let rings = self.lock();
        let of_ring = |ring: &Ring| {
            let mut skipped = ring.rows.saturating_sub(self.maxlen);
            let piece = |piece: &Arc<[Tracking]>| (piece.clone(), std::mem::take(&mut skipped));
            ring.pieces.iter().map(piece).collect::<Vec<_>>()
        };
        rings.values().flat_map(of_ring).collect()
    }

    /// Returns the tracers that have rows.
    pub fn tracers(&self) -> Vec<TracerName> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TracerName, Ring>> {
        lock(&self.rings)
    }
}

impl Ring {
    fn push(&mut self, rows: Arc<[Tracking]>, maxlen: usize) {
        self.rows += rows.len();
        self.pieces.push_back(rows);
        while self.pieces.front().is_some_and(|oldest| self.rows - oldest.len() >= maxlen) {
            self.rows -= self.pieces.pop_front().map_or(0, |oldest| oldest.len());
        }
    }
}

impl Sink for Memory {
    fn check(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, batches: &[Routed], _: &[TracerAccount]) -> Result<Vec<Rejected>, SinkError> {
        let mut rings = self.lock();
        for batch in batches {
            // A batch holds rows of one tracer; so do `loss` rows that waited together.
            if let Some(first) = batch.rows.first() {
                rings.entry(first.tracer.clone()).or_default().push(batch.rows.clone(), self.maxlen);
            }
        }
        Ok(Vec::new())
    }

    fn close(&mut self, _: &[TracerAccount], _: WallTime) -> Result<(), SinkError> {
        Ok(())
    }
}
