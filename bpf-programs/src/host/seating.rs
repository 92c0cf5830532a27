//! Which port a tracer has at the host, and where its books go on.

use std::sync::Arc;

use actors::clock;
use model::{BootNs, Checkpoint};

use super::core::Core;
use super::port::Port;
use super::seat::Seat;
use super::source::Footing;
use crate::programs::{Tracer, tracers};

fn tracer_of(kind: u32) -> Option<&'static Tracer> {
    tracers().find(|tracer| tracer.kind as u32 == kind)
}

impl Core {
    /// Makes the seat's port.
    pub(super) fn seat(&mut self, seat: &Arc<Seat>, footing: &Footing, now: BootNs) {
        let kind = seat.tracer.kind as u32;
        let missing = footing.missing.iter().find(|missing| missing.kind == kind);
        let followed = seat.account.taken().is_some();
        let port = if footing.pin.is_some() && (followed || footing.adopted || seat.is_new()) {
            let since = missing.map_or(self.last_look, |missing| missing.since);
            let from = match footing.points.get(&kind) {
                _ if followed => seat.account.checkpoint(0).unwrap_or_default(),
                Some(point) => point.point,
                None => Checkpoint::new(0, missing.map_or(0, |missing| missing.count), Default::default()),
            };
            let kernel = self.source.count(kind).unwrap_or_default();
            Port::resumed(seat.clone(), from, kernel, (since, now))
        } else {
            if let Some(missing) = missing {
                seat.miss(missing.count, (missing.since, now));
            }
            Port::new(seat.clone(), now)
        };
        self.desk.by_kind[kind as usize] = Some(self.desk.ports.len());
        self.desk.ports.push(port);
    }

    /// A predecessor's tracer that is not wanted any more may have left records: they are booked.
    pub(super) fn seat_the_disabled(&mut self, footing: &Footing, now: BootNs) {
        for (tracer, name) in footing.names.iter().filter_map(|(kind, name)| Some((tracer_of(*kind)?, name)))
        {
            let kind = tracer.kind as u32;
            let settled = footing.points.get(&kind).map_or(0, |point| point.point.seen());
            let seen = self.source.count(kind).map_or(0, |count| count.seen.saturating_sub(count.filtered));
            let missing = footing.missing.iter().any(|missing| missing.kind == kind);
            if self.desk.by_kind[kind as usize].is_none() && (missing || (footing.adopted && seen > settled))
            {
                let seat = Arc::new(Seat::new(tracer, self.accounts.of(name)));
                self.seat(&seat, footing, now);
            }
        }
    }

    /// The seat's port. A tracer that has none yet, or whose books are other ones now, gets one: what the kernel has
    /// counted up to now is not this seat's.
    pub(super) fn port_for(&mut self, seat: &Arc<Seat>) -> &mut Port {
        let kind = seat.tracer.kind as usize;
        let known = self.desk.by_kind[kind];
        if let Some(place) = known.filter(|place| self.desk.ports[*place].is_at(seat)) {
            return &mut self.desk.ports[place];
        }
        let footing = self.source.footing();
        if known.is_none() && footing.pin.is_some() {
            self.seat(seat, &footing, clock::boot_ns());
            return &mut self.desk.ports[self.desk.by_kind[kind].unwrap_or_default()];
        }
        let before = self.source.count(kind as u32).unwrap_or_default();
        let port = Port::later(seat.clone(), clock::boot_ns(), before);
        let place = known.unwrap_or(self.desk.ports.len());
        match known {
            Some(place) => self.desk.ports[place] = port,
            None => self.desk.ports.push(port),
        }
        self.desk.by_kind[kind] = Some(place);
        &mut self.desk.ports[place]
    }
}
