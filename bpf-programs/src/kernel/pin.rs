//! Facts about the pins of a kernel side.

use std::collections::BTreeMap;

use actors::clock;
use model::{BootNs, ENDED, Remembered, RingCheckpoint, TracerName, WallTime};
use serde::Serialize;

/// State of the rings that are pinned in bpffs and outlive the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PinState {
    /// Name of the pin in the store; `None` if the rings are not pinned.
    pub pin: Option<String>,
    /// Directory in bpffs that holds the pins.
    pub folder: Option<String>,
    /// True if an earlier agent created the rings and this one resumed them.
    pub adopted: bool,
    /// Reason why the rings of an earlier agent could not be resumed.
    pub refused: Option<String>,
    /// Reason why the rings can't be pinned.
    pub problem: Option<String>,
    /// Time between the end of a killed run and the start of this one in which nothing was recorded, and its tracers.
    pub gap: Option<String>,
    /// Facts about the directory that an administrator should know, for example who took the usual name.
    pub note: Option<String>,
}

/// Facts about pinned rings that the host needs to continue accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct PinInfo {
    pub(crate) state: PinState,
    /// Records of refused rings, which no one will store.
    pub(crate) missing: Vec<Missing>,
    /// When the rings were made; only for adopted rings.
    pub(crate) made: Option<BootNs>,
    /// The kernel has counted all events since the run before, so that `missing` is all that is missing.
    pub(crate) counted: bool,
    /// When the run before wrote last, if it was killed and nobody recorded since.
    pub(crate) killed: Option<WallTime>,
    /// The tracers whose events are missing since.
    pub(crate) gaps: Vec<TracerName>,
    /// Names under which tracers' records are stored, by kind.
    pub(crate) names: BTreeMap<u32, TracerName>,
    /// Last checkpoint of each tracer, by kind; only for adopted rings.
    pub(crate) points: BTreeMap<u32, RingCheckpoint>,
}

impl PinInfo {
    /// Notes the gap since the run before, if that was killed and nothing recorded since.
    pub(crate) fn note_gap(&mut self, remembered: &Remembered, collector_id: &str) {
        let killed = remembered.killed.as_ref().filter(|run| run.collector_id == collector_id);
        let Some(killed) = killed.filter(|_| !self.counted) else { return };
        let is_of = |name: &TracerName| {
            killed.tracers.iter().any(|tracer| tracer.as_str().eq_ignore_ascii_case(name.as_str()))
        };
        self.gaps = self.names.values().filter(|name| is_of(name)).cloned().collect();
        let names: Vec<&str> = self.gaps.iter().map(TracerName::as_str).collect();
        let (from, to) = (killed.written.to_text(), clock::wall().to_text());
        if !names.is_empty() {
            let gap = format!("{from} to {to}: {ENDED} (tracers {})", names.join(", "));
            tracing::warn!(gap, "events are missing");
            self.state.gap = Some(gap);
        }
        self.killed = Some(killed.written);
    }

    /// Returns the state for `status`; `None` if pinning is not used.
    pub(crate) fn shown(&self) -> Option<PinState> {
        (self.state != PinState::default()).then(|| self.state.clone())
    }
}

/// Records that the kernel counted and that are in no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) kind: u32,
    pub(crate) count: u64,
    pub(crate) since: BootNs,
}
