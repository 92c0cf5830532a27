//! The last rows of each tracer, in memory: duetector's deque. What falls out of it was stored; it is not lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Routed, TracerName, Tracking, WallTime};

use super::{Book, Rejected, Sink, SinkError};

/// Its name.
pub const NAME: &str = "memory";

/// The ring. Clones share it, so it outlives the actor's incarnations.
#[derive(Clone, Debug)]
pub struct Memory {
    maxlen: usize,
    rings: Arc<Mutex<BTreeMap<TracerName, Ring>>>,
}

/// One tracer's rows, in the pieces they came in: rows are shared with the other sinks, not copied.
#[derive(Debug, Default)]
struct Ring {
    pieces: VecDeque<Arc<[Tracking]>>,
    rows: usize,
}

impl Memory {
    /// With room for so many rows of each tracer.
    pub fn new(maxlen: usize) -> Self {
        Self { maxlen, rings: Arc::default() }
    }

    /// The same rows, with room for another number from now on.
    pub(crate) fn resized(&self, maxlen: usize) -> Self {
        Self { maxlen, rings: self.rings.clone() }
    }

    /// The last rows of a tracer, oldest first.
    pub fn rows(&self, tracer: &TracerName) -> Vec<Tracking> {
        let rings = self.lock();
        let Some(ring) = rings.get(tracer) else { return Vec::new() };
        let skipped = ring.rows.saturating_sub(self.maxlen);
        ring.pieces.iter().flat_map(|piece| piece.iter()).skip(skipped).cloned().collect()
    }

    /// Tracers with rows.
    pub fn tracers(&self) -> Vec<TracerName> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TracerName, Ring>> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn write(&mut self, batches: &[Routed], _: &[Book]) -> Result<Vec<Rejected>, SinkError> {
        let mut rings = self.lock();
        for batch in batches {
            // Batches are of one tracer each; `loss` rows that waited together are too.
            if let Some(first) = batch.rows.first() {
                rings.entry(first.tracer.clone()).or_default().push(batch.rows.clone(), self.maxlen);
            }
        }
        Ok(Vec::new())
    }

    fn close(&mut self, _: &[Book], _: WallTime) -> Result<(), SinkError> {
        Ok(())
    }
}
