//! Facts about the pins of a kernel side.

use std::collections::BTreeMap;

use model::{BootNs, RingCheckpoint, TracerName};
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
}

/// Facts about pinned rings that the host needs to continue accounts.
#[derive(Clone, Debug, Default)]
pub(crate) struct PinInfo {
    pub(crate) state: PinState,
    /// Records of refused rings, which no one will store.
    pub(crate) missing: Vec<Missing>,
    /// Names under which tracers' records are stored, by kind.
    pub(crate) names: BTreeMap<u32, TracerName>,
    /// Last checkpoint of each tracer, by kind; only for adopted rings.
    pub(crate) points: BTreeMap<u32, RingCheckpoint>,
}

impl PinInfo {
    /// Returns the state for `status`; `None` if pinning is not used.
    pub(crate) fn shown(&self) -> Option<PinState> {
        let PinState { pin, refused, problem, .. } = &self.state;
        (pin.is_some() || problem.is_some() || refused.is_some()).then(|| self.state.clone())
    }
}

/// Records that the kernel counted and that are in no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) kind: u32,
    pub(crate) count: u64,
    pub(crate) since: BootNs,
}
