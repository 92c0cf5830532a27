//! Tests of the host with pinned rings, on a fake kernel side.

use std::sync::Arc;

use actors::{Outbox, WhenFull};
use model::{Accounts, BootNs, Checkpoint, Outcomes, ProcessTable, RingCheckpoint, Role};

use super::core::Core;
use super::fake::{self, Fake};
use super::tests::{counted, open_record, tracer};
use super::{RawBatch, TracerSlot};
use crate::kernel::{Misses, Missing, PinInfo, PinState};
use crate::wire::{Count, Kind, LossCause, Ring, Unstored};

struct Rig {
    kernel: Fake,
    accounts: Accounts,
    core: Core,
    opens: flume::Receiver<RawBatch>,
}

/// Starts a host whose kernel side has this `pin_info`, with `records` records of 168 bytes in the data ring.
fn rig(pin_info: PinInfo, records: usize, count: Count) -> Rig {
    let (kernel, accounts) = (Fake::default(), Accounts::default());
    accounts.join(&accounts.new_sink_id(&"sqlite".into(), Role::Store));
    {
        let mut fake = kernel.lock().unwrap();
        fake.pin_info = pin_info;
        fake.rings[Ring::Data as usize].extend((0..records).map(|_| open_record()));
        fake.counts.insert(Kind::Open as u32, count);
    }
    let slot = Arc::new(TracerSlot::new(tracer(Kind::Open), accounts.of(&"open".into())));
    let side = fake::kernel(&kernel);
    let mut core = Core::new(side, std::slice::from_ref(&slot), ProcessTable::default(), accounts.clone());
    let (outbox, opens) = Outbox::channel(8, WhenFull::Block);
    core.attach(&slot, outbox).unwrap();
    Rig { kernel, accounts, core, opens }
}

impl Rig {
    fn released(&self) -> u64 {
        self.kernel.lock().unwrap().released[Ring::Data as usize]
    }
}

const ONE: u64 = 176;

fn pinned(adopted: bool) -> PinInfo {
    PinInfo {
        state: PinState { pin: Some("one".to_owned()), adopted, ..PinState::default() },
        ..PinInfo::default()
    }
}

#[test]
fn records_stay_in_their_ring_until_the_store_has_them() {
    let mut rig = rig(pinned(false), 5, counted(5, 0));
    rig.core.poll();
    let mut rows = rig.opens.try_recv().unwrap().into_claim().route();
    assert_eq!((rows[0].count(), rig.released()), (5, 0));
    rows[0].mark_writing();
    let account = rig.accounts.of(&"open".into());
    let point = account.checkpoint(0).unwrap();
    assert_eq!((point.position, point.settled.stored), (5 * ONE, 5));
    rows[0].store(5);
    rig.core.poll();
    assert_eq!(rig.released(), 0, "stored, but whether that will last is not said yet");
    account.committed(&point, 0);
    rig.core.poll();
    assert_eq!(rig.released(), 5 * ONE);
}

#[test]
fn a_store_that_is_down_does_not_hold_records_in_the_ring() {
    let mut rig = rig(pinned(false), 5, counted(5, 0));
    rig.core.poll();
    drop(rig.opens.try_recv().unwrap());
    rig.core.poll();
    assert_eq!(rig.released(), 0);
    rig.accounts.set_store_down(true);
    rig.core.poll();
    assert_eq!(rig.released(), 5 * ONE);
    // No checkpoint counts them, so a successor of a killed agent has to.
    let noted = rig.kernel.lock().unwrap().unstored[&(Kind::Open as u32)];
    assert_eq!((noted.upto, noted.taken), (5 * ONE, 5));
}

#[test]
fn what_rings_without_a_checkpoint_lost_was_lost_since_they_were_made() {
    let pin_info = PinInfo { made: Some(BootNs(7)), ..pinned(true) };
    let mut rig = rig(pin_info, 0, counted(4, 4));
    rig.core.poll();
    let gaps = rig.accounts.of(&"open".into()).take_gaps();
    assert_eq!((gaps.len(), gaps[0].count, gaps[0].from), (1, 4, BootNs(7)));
}

#[test]
fn a_successor_starts_behind_the_settled_records_and_continues_the_account() {
    let settled = Outcomes { stored: 2, filtered: 1, ..Outcomes::default() };
    let point = Checkpoint::new(3 * ONE, 0, settled);
    let point =
        RingCheckpoint { pin: "one".to_owned(), tracer: "open".into(), checkpoint: point, at: BootNs(7) };
    let pin_info = PinInfo { points: [(Kind::Open as u32, point)].into(), ..pinned(true) };
    let mut rig = rig(pin_info, 5, counted(9, 4));
    rig.core.poll();
    let mut claim = rig.opens.try_recv().unwrap().into_claim();
    assert_eq!(claim.count(), 2, "three of the five in the ring are settled");
    claim.filter(2);
    let account = rig.accounts.of(&"open".into()).snapshot(&"sqlite".into());
    assert_eq!((account.seen, account.stored, account.filtered, account.lost.ring), (9, 2, 3, 4));
    assert_eq!(account.in_flight(), 0);
    assert!(rig.core.is_done());
}

#[test]
fn runs_that_the_kernel_skipped_are_lost_and_a_successor_does_not_count_them_again() {
    let mut rig = rig(pinned(false), 0, counted(2, 2));
    let slot = Kind::Open as u32;
    let skip = |rig: &Rig, count| {
        let (one, none) =
            (Misses { program: 7, count, slots: vec![slot] }, Misses { program: 8, count: 9, slots: vec![] });
        rig.kernel.lock().unwrap().misses = vec![one, none];
    };
    skip(&rig, 3);
    rig.core.poll();
    skip(&rig, 5);
    rig.core.kernel.detach(tracer(Kind::Open));
    rig.core.poll();
    let account = rig.accounts.of(&"open".into());
    let snapshot = account.snapshot(&"sqlite".into());
    assert_eq!((snapshot.seen, snapshot.lost.ring, snapshot.in_flight()), (2 + 5, 2 + 5, 0));
    let gaps = account.take_gaps();
    let found: Vec<_> = gaps.iter().map(|gap| (gap.cause.as_str(), gap.count)).collect();
    assert_eq!(found, [(LossCause::RingFull.text(), 2), (model::SKIPPED, 5)]);
    let mut successor = fake::kernel(&rig.kernel);
    successor.count_skipped(None);
    let count = successor.count(slot).unwrap();
    assert_eq!((count.seen, count.lost_for(LossCause::Skipped)), (2 + 5, 5));
}

#[test]
fn records_of_rings_that_are_not_resumed_are_a_loss() {
    let missing = Missing { kind: Kind::Open as u32, count: 40, since: BootNs(1) };
    let pin_info = PinInfo { missing: vec![missing], ..pinned(false) };
    let mut rig = rig(pin_info, 1, counted(1, 0));
    rig.core.poll();
    let account = rig.accounts.of(&"open".into());
    let gaps = account.take_gaps();
    assert_eq!((gaps.len(), gaps[0].count, gaps[0].from), (1, 40, BootNs(1)));
    let snapshot = account.snapshot(&"sqlite".into());
    assert_eq!((snapshot.seen, snapshot.lost.ring, snapshot.in_flight()), (41, 40, 1));
    // The store's row about this loss is part of the next checkpoint.
    let point = account.checkpoint(40).unwrap();
    assert_eq!((point.base, point.settled.lost.ring, point.seen()), (40, 40, 0));
}

#[test]
fn room_is_given_back_before_a_ring_is_full_of_what_is_not_stored() {
    // A quarter of the ring, which has room for 1 MiB, and some more.
    let count = (1 << 20) / 4 / ONE + 10;
    let seen = Count { seen: count, ..Count::default() };
    let mut rig = rig(pinned(false), count as usize, seen);
    rig.core.poll();
    assert!(rig.released() > 0, "nothing was given back");
    let noted = rig.kernel.lock().unwrap().unstored[&(Kind::Open as u32)];
    assert_eq!((noted.upto, noted.taken), (rig.released(), rig.released() / ONE));
}

#[test]
fn a_successor_counts_what_was_given_back_and_not_stored() {
    let settled = Outcomes { stored: 2, filtered: 1, ..Outcomes::default() };
    let point = Checkpoint::new(3 * ONE, 0, settled);
    let point =
        RingCheckpoint { pin: "one".to_owned(), tracer: "open".into(), checkpoint: point, at: BootNs(7) };
    let pin_info = PinInfo { points: [(Kind::Open as u32, point)].into(), ..pinned(true) };
    let (kernel, accounts) = (Fake::default(), Accounts::default());
    accounts.join(&accounts.new_sink_id(&"sqlite".into(), Role::Store));
    {
        let mut fake = kernel.lock().unwrap();
        fake.pin_info = pin_info;
        fake.unstored.insert(Kind::Open as u32, Unstored { upto: 10 * ONE, taken: 10 });
        fake.cursors[Ring::Data as usize] = 10 * ONE;
        fake.rings[Ring::Data as usize].extend((0..5).map(|_| open_record()));
        fake.counts.insert(Kind::Open as u32, Count { seen: 15, ..Count::default() });
    }
    let slot = Arc::new(TracerSlot::new(tracer(Kind::Open), accounts.of(&"open".into())));
    let side = fake::kernel(&kernel);
    let mut core = Core::new(side, std::slice::from_ref(&slot), ProcessTable::default(), accounts.clone());
    let (outbox, opens) = Outbox::channel(8, WhenFull::Block);
    core.attach(&slot, outbox).unwrap();
    core.poll();
    let mut claim = opens.try_recv().unwrap().into_claim();
    assert_eq!(claim.count(), 5);
    claim.filter(5);
    let account = accounts.of(&"open".into());
    let snapshot = account.snapshot(&"sqlite".into());
    assert_eq!((snapshot.seen, snapshot.stored, snapshot.filtered, snapshot.lost.queue), (15, 2, 6, 7));
    assert_eq!((snapshot.in_flight(), core.is_done()), (0, true));
    let gaps = account.take_gaps();
    assert_eq!((gaps.len(), gaps[0].count, gaps[0].from), (1, 7, BootNs(7)));
    assert_eq!(account.checkpoint(0).unwrap().position, 15 * ONE);
}
