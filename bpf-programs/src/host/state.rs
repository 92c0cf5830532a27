//! The host's state, as `status` shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::TableSize;
use model::pushdown::Split;
use serde::Serialize;

use crate::kernel::PinState;

/// The host's state, as `status` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct HostState {
    /// Names of the attached tracers.
    pub attached: Vec<String>,
    /// Number of processes that existed when the object was loaded.
    pub processes: usize,
    /// Parts of the process table that are missing because a hook could not be attached, each with the cause. Rows may
    /// then lack working directory, executable or container.
    pub without: Vec<String>,
    /// Why `ebpf.tier = "auto"` did not take a tier that it prefers.
    pub passed_over: Option<String>,
    /// Lifecycle records lost because their ring was full; the process table may be incomplete.
    pub lifecycle_lost: u64,
    /// Records too short or of an unknown kind.
    pub malformed: u64,
    /// Lifecycle records that could not be read for the process table.
    pub unreadable: u64,
    /// Entries of the usage ledger that had no room for their whole path: their rows have `path_incomplete`.
    pub usage_paths_cut: u64,
    /// Number of processes that were debugged or shared their descriptors, and found no room in map `meddled`.
    pub meddled_full: u64,
    /// Bytes of pinned rings that were given back to the kernel before their records were stored, because the store was
    /// behind. If the agent is killed before they are, the next start counts these records as lost.
    pub given_back: u64,
    /// Size of the process table, and what was dropped from it so that it stays below its limit.
    pub table: TableSize,
    /// True while a tracer's queue is full and records stay in their ring.
    pub blocked: bool,
    /// Interval at which the rings are polled when there is little in them.
    pub poll_interval_ms: u64,
    /// The former name of `poll_interval_ms`, with the same value.
    #[serde(rename = "look_interval_ms")]
    pub former_interval_ms: u64,
    /// Records that filters dropped in the kernel, by filter.
    pub filtered: BTreeMap<String, u64>,
    /// For each filter, which part the kernel decides and which the collector.
    pub splits: Vec<Split>,
    /// Suggestions for an administrator, if the host failed.
    pub advice: Vec<String>,
    /// State of pinned rings, if pinning is enabled.
    pub pin: Option<PinState>,
}

impl HostState {
    /// Sets the poll interval under its present and its former name.
    pub(super) fn set_poll_interval(&mut self, interval: Duration) {
        self.poll_interval_ms = interval.as_millis() as u64;
        self.former_interval_ms = self.poll_interval_ms;
    }
}
