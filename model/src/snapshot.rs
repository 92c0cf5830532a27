//! What the books tell: where records were lost, between which moments, and how many in all.

use serde::{Deserialize, Serialize};

use crate::{BootNs, SinkName, TracerName};

/// Where a record was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LossPoint {
    /// The kernel's ring (or a child's pipe) was full.
    Ring,
    /// It could not be decoded.
    Decode,
    /// A queue between actors refused it or went down with it.
    Queue,
    /// The sink failed to store it.
    Sink,
}

impl LossPoint {
    /// Lower-case name, as in `lost.ring`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Decode => "decode",
            Self::Queue => "queue",
            Self::Sink => "sink",
        }
    }
}

/// The cause of a gap that was made on purpose: while a ring was nearly full, only some records of a flood got in.
pub const SAMPLED: &str = "sampled: the ring was nearly full";

/// Records missing between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub tracer: TracerName,
    /// Where.
    pub point: LossPoint,
    /// In which sink (or its queue), if one.
    pub sink: Option<SinkName>,
    /// Why: the first cause of the gap.
    pub cause: String,
    /// How many.
    pub count: u64,
    /// Not before.
    pub from: BootNs,
    /// Not after.
    pub to: BootNs,
}

/// Records lost, by place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The kernel's ring was full.
    pub ring: u64,
    /// Could not be decoded.
    pub decode: u64,
    /// A queue between actors.
    pub queue: u64,
    /// The sink failed.
    pub sink: u64,
}

impl Lost {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.ring + self.decode + self.queue + self.sink
    }
}

/// One tracer's books at one moment, as one sink has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSnapshot {
    /// Records that existed: the kernel's own count, or the number read from a child or a command.
    pub seen: u64,
    /// Records stored.
    pub stored: u64,
    /// Records a filter dropped on purpose.
    pub filtered: u64,
    /// Records lost.
    pub lost: Lost,
}

impl AccountSnapshot {
    /// Records neither stored, filtered nor lost yet; 0 once everything is flushed. Negative means a defect.
    pub fn in_flight(&self) -> i64 {
        self.seen as i64 - (self.stored + self.filtered + self.lost.total()) as i64
    }
}
