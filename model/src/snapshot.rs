//! Snapshots of accounts: how many records were stored, filtered and lost, where they were lost, and when.

use serde::{Deserialize, Serialize};

/// The point at which a record was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossPoint {
    /// The kernel's ring (or a child's pipe) was full.
    Ring,
    /// The record could not be decoded.
    Decode,
    /// A queue between actors was full, or was dropped with the record in it.
    Queue,
    /// The sink failed to store it.
    Sink,
}

impl LossPoint {
    /// Returns the name in lower case, as in `lost.ring`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Decode => "decode",
            Self::Queue => "queue",
            Self::Sink => "sink",
        }
    }
}

/// Cause of a gap made by sampling: while a ring is more than half full, only some records of a flood are let in.
pub const SAMPLED: &str = "sampled: the ring was more than half full";

/// Cause of a loss: the map of what has not ended was full, or the user had his share of it.
pub const CROWDED: &str = "a request, connection or flow could not be remembered until its end";

/// Cause of a loss: what had begun ended while nobody watched, as when a tracer was off.
pub const STALE: &str = "the end of a request or connection was not seen";

/// Cause of a loss: the ring was more than half full, and the owner of the records had used up his budget.
pub const OVER_BUDGET: &str = "their owner's records took more than their share of the ring";

/// Cause of a loss: a program's hook was reached while the program was already running on that CPU, and the kernel runs it
/// only once at a time.
pub const SKIPPED: &str =
    "the kernel skipped the program that records it, which was already running on that CPU";

/// Cause of a gap between two runs, of which nothing recorded the number of events.
pub const ENDED: &str =
    "nothing recorded: the agent before was killed, and its rings were not pinned or are gone";

/// Returns the causes of losses that are reported apart from all others.
pub fn own_cause(cause: &str) -> Option<&'static str> {
    [SAMPLED, CROWDED, STALE, OVER_BUDGET, SKIPPED, ENDED].into_iter().find(|own| *own == cause)
}

/// Numbers of lost records, by [`LossPoint`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Lost because the kernel's ring was full.
    pub ring: u64,
    /// Lost because they could not be decoded.
    pub decode: u64,
    /// Lost in a queue between actors.
    pub queue: u64,
    /// Lost because the sink failed.
    pub sink: u64,
}

impl Lost {
    /// Returns the sum over all points.
    pub fn total(&self) -> u64 {
        self.ring + self.decode + self.queue + self.sink
    }
}

/// A tracer's account at one moment, for one sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSnapshot {
    /// Records that existed: the kernel's own count, or the number read from a child or a command's output.
    pub seen: u64,
    /// Records stored in the sink.
    pub stored: u64,
    /// Records dropped by filters.
    pub filtered: u64,
    /// Records lost, by point.
    pub lost: Lost,
}

impl AccountSnapshot {
    /// Returns the records neither stored, filtered nor lost yet: 0 once everything is flushed, negative only by a
    /// defect.
    pub fn in_flight(&self) -> i64 {
        self.seen as i64 - (self.stored + self.filtered + self.lost.total()) as i64
    }
}
