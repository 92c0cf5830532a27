//! Assigns channels to tracer slots, and finds the position and counts from which each continues.

use std::sync::Arc;

use actors::clock;
use model::{BootNs, Checkpoint};

use super::core::Core;
use super::source::PinInfo;
use super::tracer_channel::TracerChannel;
use super::tracer_slot::TracerSlot;
use crate::catalog::tracers;
use crate::programs::Tracer;

fn tracer_of(kind: u32) -> Option<&'static Tracer> {
    tracers().find(|tracer| tracer.kind as u32 == kind)
}

impl Core {
    /// Creates the slot's channel: resumed if the rings are pinned, new otherwise.
    pub(super) fn open_channel(&mut self, slot: &Arc<TracerSlot>, pin_info: &PinInfo, now: BootNs) {
        let kind = slot.tracer.kind as u32;
        let missing = pin_info.missing.iter().find(|missing| missing.kind == kind);
        let followed = slot.account.taken().is_some();
        let channel = if pin_info.pin.is_some() && (followed || pin_info.adopted || slot.is_new()) {
            let since = missing.map_or(self.last_poll, |missing| missing.since);
            let from = match pin_info.points.get(&kind) {
                _ if followed => slot.account.checkpoint(0).unwrap_or_default(),
                Some(point) => point.checkpoint,
                None => Checkpoint::new(0, missing.map_or(0, |missing| missing.count), Default::default()),
            };
            let kernel = self.source.count(kind).unwrap_or_default();
            TracerChannel::resumed(slot.clone(), from, kernel, (since, now))
        } else {
            if let Some(missing) = missing {
                slot.miss(missing.count, (missing.since, now));
            }
            TracerChannel::new(slot.clone(), now)
        };
        self.demux.by_kind[kind as usize] = Some(self.demux.channels.len());
        self.demux.channels.push(channel);
    }

    /// Creates channels for tracers that an earlier agent ran and that are disabled now, if they left records in pinned
    /// rings, so that those are counted.
    pub(super) fn open_disabled_channels(&mut self, pin_info: &PinInfo, now: BootNs) {
        for (tracer, name) in pin_info.names.iter().filter_map(|(kind, name)| Some((tracer_of(*kind)?, name)))
        {
            let kind = tracer.kind as u32;
            let settled = pin_info.points.get(&kind).map_or(0, |point| point.checkpoint.seen());
            let seen = self.source.count(kind).map_or(0, |count| count.seen.saturating_sub(count.filtered));
            let missing = pin_info.missing.iter().any(|missing| missing.kind == kind);
            if self.demux.by_kind[kind as usize].is_none()
                && (missing || (pin_info.adopted && seen > settled))
            {
                let slot = Arc::new(TracerSlot::new(tracer, self.accounts.of(name)));
                self.open_channel(&slot, pin_info, now);
            }
        }
    }

    /// Returns the tracer's channel, creating it on first use or when its account changed. A new channel ignores events
    /// the kernel counted before.
    pub(super) fn channel_for(&mut self, slot: &Arc<TracerSlot>) -> &mut TracerChannel {
        let kind = slot.tracer.kind as usize;
        let known = self.demux.by_kind[kind];
        if let Some(index) = known.filter(|index| self.demux.channels[*index].has_account_of(slot)) {
            return &mut self.demux.channels[index];
        }
        let pin_info = self.source.pin_info();
        if known.is_none() && pin_info.pin.is_some() {
            self.open_channel(slot, &pin_info, clock::boot_ns());
            return &mut self.demux.channels[self.demux.by_kind[kind].unwrap_or_default()];
        }
        let before = self.source.count(kind as u32).unwrap_or_default();
        let channel = TracerChannel::joined_late(slot.clone(), clock::boot_ns(), before);
        let index = known.unwrap_or(self.demux.channels.len());
        match known {
            Some(index) => self.demux.channels[index] = channel,
            None => self.demux.channels.push(channel),
        }
        self.demux.by_kind[kind] = Some(index);
        &mut self.demux.channels[index]
    }
}
