//! The settings in force, which are changed while programs run.

use std::hash::BuildHasher as _;

use aya::maps::MapError;

use super::parts::SettingsMap;
use crate::wire::{Kind, Settings};

/// The settings of the kernel side, and the map from which programs read them.
pub(crate) struct LiveSettings {
    map: Box<dyn SettingsMap>,
    value: Settings,
}

impl LiveSettings {
    /// Creates settings that are not in force until the first change.
    pub(crate) fn new(map: impl SettingsMap + 'static, value: Settings) -> Self {
        Self { map: Box::new(map), value }
    }

    /// Reads the settings in force, which may be those of an earlier agent.
    pub(crate) fn in_force(&self) -> Result<Settings, MapError> {
        self.map.read()
    }

    /// Returns whether a tracer is enabled.
    pub(super) fn is_enabled(&self, kind: Kind) -> bool {
        self.value.enabled & 1 << kind as u32 != 0
    }

    /// Changes settings in one write.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.value);
        if let Err(cause) = self.map.write(self.value) {
            // The only element of an array can always be written.
            tracing::error!(%cause, "writing eBPF settings failed");
        }
    }

    /// Makes the task iterator note this process's identity when this process reads it: the iterator compares a random
    /// number with that in the reader's memory. The number has to stay where it is meanwhile.
    pub(super) fn prove_identity(&mut self) -> Box<u64> {
        // Each state of this type has random keys.
        let proof = Box::new(std::hash::RandomState::new().hash_one(()) | 1);
        let at = std::hint::black_box(std::ptr::from_ref::<u64>(&proof)).expose_provenance() as u64;
        self.change(|value| (value.proof, value.proof_at) = (*proof, at));
        proof
    }

    /// Takes over this process's identity as the task iterator has just noted it, by which programs skip the agent's own
    /// events. Unlike our own pid it is valid outside our pid namespace, and the start time distinguishes a reused pid.
    pub(super) fn note_own_identity(&mut self, proof: Box<u64>) {
        drop(std::hint::black_box(proof));
        (self.value.proof, self.value.proof_at) = (0, 0);
        match self.in_force() {
            Ok(Settings { reader_tgid, reader_start_ns, .. }) if reader_tgid != 0 => {
                self.change(|value| {
                    *value = Settings { agent_tgid: 0, reader_tgid, reader_start_ns, ..*value }
                });
            }
            Ok(_) => self.change(|_| {}),
            Err(cause) => tracing::error!(%cause, "reading eBPF settings failed"),
        }
    }
}
