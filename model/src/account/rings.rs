//! State of the pinned rings, which outlive the agent.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use crate::WallTime;

/// Identifies the pinned rings, which outlive the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Identity of this set of rings; never used twice.
    pub pin: String,
    /// True if the rings already existed when this run began.
    pub adopted: bool,
}

/// State of the pinned rings that all accounts of a run share.
#[derive(Debug, Default)]
pub(super) struct Rings {
    pub(super) pinned: Mutex<Option<Pinned>>,
    pub(super) flush_requested: AtomicBool,
    pub(super) store_down: AtomicBool,
    /// When the run before wrote to the store for the last time, if it was killed and nothing recorded since.
    pub(super) unrecorded_since: Mutex<Option<WallTime>>,
}
