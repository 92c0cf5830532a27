//! Tests of host and tracer on a fake kernel side.

use std::sync::Arc;
use std::time::Duration;

use actors::testkit::paused;
use actors::{LoopRef, Outbox, Phase, Supervisor, WhenFull, clock};
use model::{Account, AccountSnapshot, Accounts, Batch, ExecId, ProcessTable, SinkName};

use super::fake::{self, Fake};
use super::lost_by_owner::LostByOwner;
use super::{Attach, Detach, EbpfHost, Handover, RawBatch, SetPollInterval, TracerSlot, tracer_channel};
use crate::catalog::tracers;
use crate::errors::{LoadError, NEEDED};
use crate::programs::Tracer;
use crate::spawn::{spawn_host, spawn_tracer};
use crate::tracer::{EbpfTracer, Shared};
use crate::wire::{COUNT_LIFECYCLE, Count, FLAG_TRACED, Header, Kind, Ring};

const POLL: Duration = Duration::from_millis(100);

/// A host on a fake kernel, with its supervisor.
struct Rig {
    kernel: Fake,
    supervisor: Supervisor,
    host: LoopRef<EbpfHost>,
    accounts: Accounts,
    table: ProcessTable,
}

impl Rig {
    fn new() -> Self {
        let (kernel, supervisor, table) = (Fake::default(), Supervisor::new(), ProcessTable::default());
        let accounts = Accounts::new(&[SinkName::new("memory")]);
        let slots = tracers()
            .map(|tracer| Arc::new(TracerSlot::new(tracer, accounts.of(&tracer.name.into()))))
            .collect();
        let source = kernel.clone();
        let open = move || {
            source.lock().unwrap().loads += 1;
            Ok(fake::kernel(&source))
        };
        let handover = Handover::new(slots, table.clone(), accounts.clone(), POLL, Box::new(open));
        let host = spawn_host(&supervisor, Arc::new(handover));
        Self { kernel, supervisor, host, accounts, table }
    }

    async fn attach(&self, kind: Kind, room: usize) -> flume::Receiver<RawBatch> {
        let (outbox, batches) = Outbox::channel(room, WhenFull::Block);
        let account = self.account(kind);
        self.host.ask(Attach { tracer: tracer(kind), account, outbox }).await.unwrap().unwrap();
        batches
    }

    fn spawn(&self, tracer: &'static Tracer, collector: &Outbox<Batch>) -> LoopRef<EbpfTracer> {
        let shared = Shared::new(tracer, self.account(tracer.kind), &self.host, 8, collector, None);
        spawn_tracer(&self.supervisor, shared)
    }

    /// Counts records, then puts them into the ring, as the kernel does.
    fn emit(&self, kind: Kind, count: usize, make: impl Fn() -> Vec<u8>) {
        let mut fake = self.kernel.lock().unwrap();
        let ring = kind.ring();
        fake.counts.entry(kind as u32).or_default().seen += count as u64;
        (0..count).for_each(|_| fake.rings[ring as usize].push_back(make()));
    }

    fn account(&self, kind: Kind) -> Arc<Account> {
        self.accounts.of(&tracer(kind).name.into())
    }

    fn snapshot(&self, kind: Kind) -> AccountSnapshot {
        self.account(kind).snapshot(&SinkName::new("memory"))
    }

    fn left(&self, ring: Ring) -> usize {
        self.kernel.lock().unwrap().rings[ring as usize].len()
    }
}

pub(super) fn tracer(kind: Kind) -> &'static Tracer {
    tracers().find(|tracer| tracer.kind == kind).unwrap()
}

/// Returns a record's bytes as the kernel writes them.
fn record(kind: Kind, fixed: usize, pid: u32) -> Vec<u8> {
    let header_size = size_of::<Header>();
    let mut bytes = Vec::new();
    for word in [kind as u32, FLAG_TRACED, (header_size + fixed) as u32, pid] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(1_000_u64.to_ne_bytes());
    bytes.extend(u64::from(pid).to_ne_bytes());
    bytes.resize(header_size + fixed, 0);
    bytes
}

/// Returns the kernel's counters after so many events, some of which found the ring full.
pub(super) fn counted(seen: u64, full: u64) -> Count {
    Count { seen, lost: [full, 0, 0, 0, 0, 0], ..Count::default() }
}

fn exit_record() -> Vec<u8> {
    record(Kind::Exit, 8, 7)
}

/// Returns a record that can't be decoded, which the host does not notice.
pub(super) fn open_record() -> Vec<u8> {
    record(Kind::Open, 48, 7)
}

fn settle(batch: RawBatch) -> u64 {
    let mut claim = batch.into_claim();
    let count = claim.count();
    claim.filter(count);
    count
}

fn settle_all(batches: &flume::Receiver<RawBatch>) -> u64 {
    batches.drain().map(settle).sum()
}

#[test]
fn records_go_to_their_tracers_and_are_seen_before_they_are_settled() {
    paused(async {
        let rig = Rig::new();
        let (opens, exits) = (rig.attach(Kind::Open, 8).await, rig.attach(Kind::Exit, 8).await);
        rig.emit(Kind::Open, 1500, open_record);
        rig.emit(Kind::Exit, 3, exit_record);
        let (full, rest) = (opens.recv_async().await.unwrap(), opens.recv_async().await.unwrap());
        assert_eq!((full.records().len(), rest.records().len()), (1024, 476));
        assert!(rig.snapshot(Kind::Open).seen >= 1500);
        assert_eq!(full.records().next(), Some(&open_record()[..]));
        settle(full);
        settle(rest);
        assert_eq!(settle(exits.recv_async().await.unwrap()), 3);
        rig.host.stop().await;
        assert_eq!((rig.snapshot(Kind::Open).filtered, rig.snapshot(Kind::Open).in_flight()), (1500, 0));
        assert_eq!(rig.snapshot(Kind::Exit).in_flight(), 0);
    });
}

#[test]
fn a_full_queue_holds_back_the_data_ring_but_not_lifecycle_or_control() {
    paused(async {
        let rig = Rig::new();
        let opens = rig.attach(Kind::Open, 1).await;
        rig.emit(Kind::Open, 100_000, open_record);
        while !rig.host.state().blocked {
            clock::sleep(Duration::from_millis(1)).await;
        }
        let exits = rig.attach(Kind::Exit, 8).await;
        rig.emit(Kind::Exit, 3, exit_record);
        assert_eq!(settle(exits.recv_async().await.unwrap()), 3);
        rig.host.ask(SetPollInterval(Duration::from_millis(10))).await.unwrap();
        let state = serde_json::to_value(rig.host.state()).unwrap();
        assert_eq!([&state["poll_interval_ms"], &state["look_interval_ms"]], [10, 10], "new and former name");
        assert!(rig.left(Ring::Data) > 90_000);
        // With room again, all records arrive.
        let mut count = 0;
        while count < 100_000 {
            count += settle(opens.recv_async().await.unwrap());
        }
        rig.host.stop().await;
        assert_eq!((rig.snapshot(Kind::Open).filtered, rig.snapshot(Kind::Open).in_flight()), (100_000, 0));
    });
}

#[test]
fn lifecycle_records_wait_in_bounded_memory_and_the_rest_in_their_ring() {
    paused(async {
        let rig = Rig::new();
        let exits = rig.attach(Kind::Exit, 1).await;
        let count = 2_000;
        rig.emit(Kind::Exit, count, || record(Kind::Exit, 16 << 10, 7));
        while !rig.host.state().blocked {
            clock::sleep(Duration::from_millis(1)).await;
        }
        let held = (count - rig.left(Ring::Lifecycle)) * (16 << 10);
        assert!(held <= tracer_channel::MAX_PENDING + (5 << 20), "{held} bytes held");
        let mut settled = 0;
        while settled < count as u64 {
            settled += settle(exits.recv_async().await.unwrap());
        }
        assert_eq!(rig.snapshot(Kind::Exit).lost.total(), 0);
        rig.host.stop().await;
        assert_eq!(rig.snapshot(Kind::Exit).in_flight(), 0);
    });
}

#[test]
fn after_lost_lifecycle_records_all_processes_are_read_again() {
    paused(async {
        let rig = Rig::new();
        let _exits = rig.attach(Kind::Exit, 1).await;
        let lost = counted(0, 5);
        rig.kernel.lock().unwrap().counts.insert(COUNT_LIFECYCLE, lost);
        while rig.host.state().lifecycle_lost < 5 {
            clock::sleep(POLL).await;
        }
        assert_eq!(rig.kernel.lock().unwrap().reads, 2, "once at the start, once for the loss");
        rig.host.stop().await;
    });
}

#[test]
fn a_detach_is_answered_after_the_rings_records_are_passed_on() {
    paused(async {
        let rig = Rig::new();
        let opens = rig.attach(Kind::Open, 64).await;
        rig.emit(Kind::Open, 5000, open_record);
        rig.host.ask(Detach { tracer: tracer(Kind::Open) }).await.unwrap();
        assert_eq!(settle_all(&opens), 5000);
        assert_eq!(rig.left(Ring::Data), 0);
        assert!(rig.kernel.lock().unwrap().settings.enabled == 0);
        assert!(rig.host.state().attached.is_empty());
        let again = rig.attach(Kind::Open, 64).await;
        rig.emit(Kind::Open, 23, open_record);
        assert_eq!(settle(again.recv_async().await.unwrap()), 23);
        assert_eq!(rig.snapshot(Kind::Open).in_flight(), 0);
    });
}

#[test]
fn a_detach_is_answered_even_if_the_kernel_never_delivers_what_it_counted() {
    paused(async {
        let rig = Rig::new();
        let _opens = rig.attach(Kind::Open, 64).await;
        rig.kernel.lock().unwrap().counts.insert(Kind::Open as u32, counted(2, 0));
        rig.host.ask(Detach { tracer: tracer(Kind::Open) }).await.unwrap();
        assert_eq!((rig.snapshot(Kind::Open).lost.ring, rig.snapshot(Kind::Open).in_flight()), (2, 0));
    });
}

#[test]
fn a_host_that_panicked_continues_with_the_next_record() {
    paused(async {
        let rig = Rig::new();
        let opens = rig.attach(Kind::Open, 64).await;
        rig.kernel.lock().unwrap().panic = true;
        rig.emit(Kind::Open, 300, open_record);
        rig.host.until(|status| status.exits.panicked == 1).await;
        rig.emit(Kind::Open, 23, open_record);
        let mut count = 0;
        while count < 323 {
            count += settle(opens.recv_async().await.unwrap());
        }
        assert_eq!(rig.kernel.lock().unwrap().loads, 1);
        rig.host.stop().await;
        let account = rig.snapshot(Kind::Open);
        assert_eq!((account.seen, account.filtered, account.in_flight()), (323, 323, 0));
    });
}

#[test]
fn records_lost_with_an_object_are_counted() {
    let accounts = Accounts::new(&[SinkName::new("memory")]);
    let account = accounts.of(&"open".into());
    let slot = Arc::new(TracerSlot::new(tracer(Kind::Open), account.clone()));
    let span = (model::BootNs(1), model::BootNs(2));
    let mut first = tracer_channel::TracerChannel::new(slot.clone(), span.0);
    first.count(counted(10, 1), &mut LostByOwner::default(), span);
    let range = model::OffsetRange { start: 0, end: 8 };
    (0..4).for_each(|_| first.take(&open_record(), span.0, range));
    first.flush();
    let mut second = tracer_channel::TracerChannel::new(slot, span.1);
    second.count(counted(3, 0), &mut LostByOwner::default(), span);
    let account = account.snapshot(&SinkName::new("memory"));
    assert_eq!((account.seen, account.lost.ring), (13, 1 + 5));
    assert_eq!(account.in_flight(), 3);
}

#[test]
fn records_the_kernel_lost_are_counted_once_and_become_a_gap() {
    paused(async {
        let rig = Rig::new();
        let _opens = rig.attach(Kind::Open, 64).await;
        rig.kernel.lock().unwrap().counts.insert(Kind::Open as u32, counted(50, 50));
        rig.host.stop().await;
        let account = rig.snapshot(Kind::Open);
        assert_eq!((account.seen, account.lost.ring, account.in_flight()), (50, 50, 0));
        let gaps = rig.account(Kind::Open).take_gaps();
        assert_eq!((gaps.len(), gaps[0].count, gaps[0].cause.as_str()), (1, 50, "the ring was full"));
    });
}

#[test]
fn records_left_out_by_sampling_become_a_gap_with_that_cause() {
    paused(async {
        let rig = Rig::new();
        let _opens = rig.attach(Kind::Open, 64).await;
        rig.kernel
            .lock()
            .unwrap()
            .counts
            .insert(Kind::Open as u32, Count { seen: 9, lost: [2, 7, 0, 0, 0, 0], ..Count::default() });
        rig.host.stop().await;
        let account = rig.snapshot(Kind::Open);
        assert_eq!((account.seen, account.lost.ring, account.in_flight()), (9, 9, 0));
        let gaps = rig.account(Kind::Open).take_gaps();
        let reported: Vec<_> = gaps.iter().map(|gap| (gap.count, gap.cause.as_str())).collect();
        assert_eq!(reported, [(2, "the ring was full"), (7, "sampled: the ring was more than half full")]);
    });
}

#[test]
fn malformed_records_are_counted_and_the_process_table_is_updated() {
    paused(async {
        let rig = Rig::new();
        let _exits = rig.attach(Kind::Exit, 8).await;
        {
            let mut fake = rig.kernel.lock().unwrap();
            fake.rings[Ring::Lifecycle as usize].push_back(vec![1, 2, 3]);
            fake.rings[Ring::Lifecycle as usize].push_back(record(Kind::Chdir, 16, 9));
            fake.rings[Ring::Data as usize].push_back(record(Kind::Open, 0, 1));
            fake.counts.insert(Kind::Open as u32, counted(1, 0));
        }
        while rig.host.state().malformed < 2 || rig.table.latest(ExecId { pid: 9, start_ns: 9 }).is_none() {
            clock::sleep(Duration::from_millis(10)).await;
        }
        rig.host.stop().await;
        // The open's tracer was not attached: its record is lost here.
        assert_eq!((rig.snapshot(Kind::Open).lost.queue, rig.snapshot(Kind::Open).in_flight()), (1, 0));
    });
}

#[test]
fn a_tracer_counts_what_it_cannot_decode_and_stops_when_its_queue_is_empty() {
    paused(async {
        let rig = Rig::new();
        let (collector, batches) = Outbox::channel(8, WhenFull::Block);
        let exit = rig.spawn(tracer(Kind::Exit), &collector);
        while !exit.state().attached {
            clock::sleep(Duration::from_millis(1)).await;
        }
        rig.emit(Kind::Exit, 20, exit_record);
        rig.emit(Kind::Exit, 3, || record(Kind::Exit, 1, 7));
        rig.host.stop().await;
        exit.stop().await;
        let records: usize = batches.drain().map(|batch: Batch| batch.records.len()).sum();
        assert_eq!((records, exit.state().decoded, exit.state().decode_errors), (20, 20, 3));
        // The collector never settled its 20: they count as lost in the queue they were in.
        let account = rig.snapshot(Kind::Exit);
        assert_eq!((account.lost.decode, account.lost.queue, account.in_flight()), (3, 20, 0));
    });
}

#[test]
fn without_a_host_a_tracer_reports_the_cause_and_advice() {
    paused(async {
        let (supervisor, accounts) = (Supervisor::new(), Accounts::new(&[]));
        let slots = tracers()
            .map(|tracer| Arc::new(TracerSlot::new(tracer, accounts.of(&tracer.name.into()))))
            .collect();
        let missing = || LoadError::NotAllowed { missing: NEEDED.to_vec(), source: None };
        let refuse = Box::new(move || Err(missing()));
        let host = spawn_host(
            &supervisor,
            Arc::new(Handover::new(slots, ProcessTable::default(), accounts.clone(), POLL, refuse)),
        );
        let (collector, _batches) = Outbox::channel(8, WhenFull::Block);
        let account = accounts.of(&"open".into());
        let shared = Shared::new(tracer(Kind::Open), account, &host, 8, &collector, None);
        let tracer = spawn_tracer(&supervisor, shared);
        let status = tracer.ended().await;
        assert_eq!((status.phase, status.restarts), (Phase::GivenUp, 0));
        assert!(status.first_cause.unwrap().contains("missing CAP_BPF, CAP_PERFMON"));
        assert!(tracer.state().advice[0].contains("setcap"));
    });
}

fn panics(bytes: &[u8]) -> Result<model::Record, crate::wire::WireError> {
    assert!(bytes[12] != 66, "injected: panic while decoding");
    (tracer(Kind::Exit).decode)(bytes)
}

#[test]
fn a_tracer_that_panics_loses_its_batch_and_is_restarted() {
    static PANICKY: Tracer = Tracer { name: "exit", kind: Kind::Exit, programs: &[], decode: panics };
    paused(async {
        let rig = Rig::new();
        let (collector, batches) = Outbox::channel(8, WhenFull::Block);
        let exit = rig.spawn(&PANICKY, &collector);
        while !exit.state().attached {
            clock::sleep(Duration::from_millis(1)).await;
        }
        rig.emit(Kind::Exit, 5, || record(Kind::Exit, 8, 66));
        exit.until(|status| status.exits.panicked == 1).await;
        rig.emit(Kind::Exit, 23, exit_record);
        assert_eq!(batches.recv_async().await.unwrap().records.len(), 23);
        assert_eq!(rig.snapshot(Kind::Exit).lost.decode, 5);
    });
}
