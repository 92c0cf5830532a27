//! The accounts and positions that a sink with the role of the store gets with the rows.

use model::{AccountSnapshot, Checkpoint, Pinned, TracerName};

/// A tracer's account with this sink, as it will be when the write in progress has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracerAccount {
    pub tracer: TracerName,
    pub snapshot: AccountSnapshot,
    /// Position in the tracer's ring up to which every record will be accounted for; only for rings that outlive the
    /// agent.
    pub checkpoint: Option<PinnedCheckpoint>,
}

/// Position in a tracer's pinned ring up to which every record is stored, filtered or counted as lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedCheckpoint {
    /// The pinned rings, and whether an earlier agent made them.
    pub pinned: Pinned,
    /// The position, and the counts up to it.
    pub point: Checkpoint,
}

impl TracerAccount {
    /// Corrects the account when `rows` that were counted as stored were rejected.
    pub fn refuse(&mut self, rows: u64) {
        let settled = self.checkpoint.as_mut().map(|checkpoint| &mut checkpoint.point.settled);
        let counts = settled.map(|settled| (&mut settled.stored, &mut settled.lost.sink));
        for (stored, lost) in
            counts.into_iter().chain([(&mut self.snapshot.stored, &mut self.snapshot.lost.sink)])
        {
            *stored = stored.saturating_sub(rows);
            *lost += rows;
        }
    }
}
