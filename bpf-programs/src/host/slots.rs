//! Assigns channels to tracer slots, and finds the position and counts from which each continues.

use std::sync::Arc;

use actors::{Outbox, clock};
use model::{Accounts, BootNs, Checkpoint, ENDED, Gap, LossPoint};

use super::batch::RawBatch;
use super::core::Core;
use super::tracer_channel::TracerChannel;
use super::tracer_slot::TracerSlot;
use crate::catalog::tracers;
use crate::kernel::PinInfo;
use crate::programs::Tracer;
use crate::wire::Unstored;

fn tracer_of(kind: u32) -> Option<&'static Tracer> {
    tracers().find(|tracer| tracer.kind as u32 == kind)
}

/// Notes that nothing was recorded between the run before, which was killed, and this one.
pub(super) fn report_gaps(pin_info: &PinInfo, accounts: &Accounts) {
    let now = clock::boot_ns();
    if let Some(killed) = pin_info.killed {
        accounts.set_unrecorded_since(killed);
    }
    for name in &pin_info.gaps {
        accounts.of(name).restore_gap(Gap::of(name, LossPoint::Ring, 0, (now, now), ENDED));
    }
}

/// Counts as lost what an earlier agent left, if no host is started to do it.
pub(crate) fn report_missing(pin_info: &PinInfo, accounts: &Accounts) {
    report_gaps(pin_info, accounts);
    let now = clock::boot_ns();
    for missing in &pin_info.missing {
        if let (Some(tracer), Some(name)) = (tracer_of(missing.kind), pin_info.names.get(&missing.kind)) {
            TracerSlot::new(tracer, accounts.of(name)).miss(missing.count, (missing.since, now));
        }
    }
}

impl Core {
    /// Creates the slot's channel: resumed if the rings are pinned, new otherwise.
    pub(super) fn open_channel(&mut self, slot: &Arc<TracerSlot>, now: BootNs) {
        let kind = slot.tracer.kind as u32;
        let pin_info = &self.kernel.pin_info;
        let missing = pin_info.missing.iter().find(|missing| missing.kind == kind);
        let followed = slot.account.taken().is_some();
        let is_pinned = pin_info.state.pin.is_some();
        let channel = if is_pinned && (followed || pin_info.state.adopted || slot.is_new()) {
            let since = missing.map_or(self.last_poll, |missing| missing.since);
            let point = pin_info.points.get(&kind);
            let mut from = match point {
                _ if followed => slot.account.checkpoint(0).unwrap_or_default(),
                Some(point) => point.checkpoint,
                None => Checkpoint::new(0, missing.map_or(0, |missing| missing.count), Default::default()),
            };
            if !followed {
                let Unstored { upto, taken } = self.kernel.unstored.noted(slot.tracer.kind);
                let unstored = from.skip(upto, taken);
                slot.miss_unstored(unstored, (point.map_or(since, |point| point.at), now));
            }
            let kernel = self.kernel.count(kind).unwrap_or_default();
            TracerChannel::resumed(slot.clone(), from, kernel, (since, now))
        } else {
            if let Some(missing) = missing {
                slot.miss(missing.count, (missing.since, now));
            }
            TracerChannel::new(slot.clone(), now)
        };
        self.demux.open(channel);
    }

    /// Creates channels for tracers that an earlier agent ran and that are disabled now, if they left records in pinned
    /// rings, so that those are counted.
    pub(super) fn open_disabled_channels(&mut self, now: BootNs) {
        let pin_info = &self.kernel.pin_info;
        let has_left_records = |kind: u32| {
            let settled = pin_info.points.get(&kind).map_or(0, |point| point.checkpoint.seen());
            let count = self.kernel.count(kind);
            let seen = count.map_or(0, |count| count.seen.saturating_sub(count.filtered));
            pin_info.missing.iter().any(|missing| missing.kind == kind)
                || (pin_info.state.adopted && seen > settled)
        };
        let names = pin_info.names.iter().filter(|(kind, _)| has_left_records(**kind));
        let tracers = names.filter_map(|(kind, name)| Some((tracer_of(*kind)?, name)));
        let slots = tracers.filter(|(tracer, _)| self.demux.channel(tracer).is_none());
        let slot = |(tracer, name)| Arc::new(TracerSlot::new(tracer, self.accounts.of(name)));
        let slots: Vec<_> = slots.map(slot).collect();
        slots.iter().for_each(|slot| self.open_channel(slot, now));
    }

    /// Prepares the tracer's channel to pass records on to `outbox`, creating it on first use or when its account changed. A
    /// new channel ignores events the kernel counted before.
    pub(super) fn set_outbox(&mut self, slot: &Arc<TracerSlot>, outbox: Outbox<RawBatch>) {
        let kind = slot.tracer.kind as u32;
        let now = clock::boot_ns();
        match self.demux.channel(slot.tracer) {
            Some(channel) if channel.has_account_of(slot) => {}
            None if self.kernel.pin_info.state.pin.is_some() => self.open_channel(slot, now),
            _ => {
                let before = self.kernel.count(kind).unwrap_or_default();
                let channel = TracerChannel::joined_late(slot.clone(), now, before);
                self.demux.open(channel);
            }
        }
        if let Some(channel) = self.demux.channel(slot.tracer) {
            channel.outbox = Some(outbox);
        }
    }
}
