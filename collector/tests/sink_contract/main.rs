//! The contract that every sink must fulfil, whatever its destination: order, flush at the end, retries, bad rows,
//! recovery after a panic; and always accounts that agree with what can be read back.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod kinds;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::{Outbox, Supervisor, WhenFull, clock};
use collector::sink::{Rejected, Sink, SinkError, TracerAccount, Trouble};
use collector::{CarriedOver, Pace, SinkConfig, SinkHandle, SinkSpec, spawn_sink};
use kinds::{JsonlKind, Kind, MemoryKind, SqliteKind, StoreKind};
use model::{
    AccountSnapshot, Accounts, BootNs, Claim, Clocks, Details, Moment, Record, Routed, SinkName, Tracking,
    WallTime,
};
use proptest::prelude::*;
use serde_json::json;

/// Fault injected into a write.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Panic,
    Fail(Trouble),
    BadRow,
    None,
}

/// Wraps a sink, and fails as planned.
struct Faulty<S> {
    sink: S,
    plan: Plan,
}

type Plan = Arc<Mutex<VecDeque<Fault>>>;

impl<S: Sink> Sink for Faulty<S> {
    fn check(&mut self) -> Result<(), SinkError> {
        self.sink.check()
    }

    fn write(&mut self, batches: &[Routed], accounts: &[TracerAccount]) -> Result<Vec<Rejected>, SinkError> {
        let fault = self.plan.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.sink.write(batches, accounts),
            Fault::Panic => panic!("as planned"),
            Fault::Fail(trouble) => {
                let source = "as planned".into();
                Err(SinkError { operation: "writing to", object: "a test".into(), trouble, source })
            }
            Fault::BadRow => {
                let Some(bad) = batches.iter().position(|batch| batch.claim.is_some()) else {
                    return self.sink.write(batches, accounts);
                };
                let rest = |(index, batch): (usize, &Routed)| {
                    let rows = batch.rows[usize::from(index == bad)..].to_vec().into();
                    Routed { claim: None, rows, bytes: 0 }
                };
                let rest: Vec<Routed> = batches.iter().enumerate().map(rest).collect();
                self.sink.write(&rest, accounts)?;
                Ok(vec![Rejected { batch: bad, rows: 1, cause: "bad".into() }])
            }
        }
    }

    fn close(&mut self, accounts: &[TracerAccount], ended: WallTime) -> Result<(), SinkError> {
        self.sink.close(accounts, ended)
    }
}

/// A running sink, and the number of rows it was sent.
struct Stage<K: Kind> {
    kind: Arc<K>,
    accounts: Accounts,
    sink: SinkHandle,
    outbox: Outbox<Routed>,
    sent: i64,
    _folder: tempfile::TempDir,
}

impl<K: Kind + Send + Sync + 'static> Stage<K> {
    fn start(plan: &[Fault]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kind = Arc::new(K::new(folder.path()));
        let accounts = Accounts::default();
        let id = accounts.new_sink_id(&SinkName::new("under test"), K::ROLE);
        accounts.join(&id);
        let plan: Plan = Arc::new(Mutex::new(plan.iter().copied().collect()));
        let hour = Duration::from_secs(3600);
        let pace = Pace { batch: 1000, flush_interval: hour, retry_for: Duration::from_secs(60) };
        let made = kind.clone();
        let make =
            Box::new(move || Box::new(Faulty { sink: made.make(), plan: plan.clone() }) as Box<dyn Sink>);
        let spec =
            SinkSpec { queue: (64, WhenFull::Block), pace, make, carried_over: CarriedOver::default() };
        let (sink, outbox) = spawn_sink(&Supervisor::new(), id, spec, &accounts);
        Self { kind, accounts, sink, outbox, sent: 0, _folder: folder }
    }

    async fn send(&mut self, count: i64) {
        let row = |number: i64| {
            let fields = serde_json::Map::from_iter([("number".to_owned(), json!(number))]);
            let at = Moment::Wall(WallTime(number));
            let record = Record { at, identity: None, details: Details::Fields(fields) };
            collector::normalize::row(&"t".into(), record, &Clocks::default()).unwrap()
        };
        let rows: Arc<[Tracking]> = (self.sent..self.sent + count).map(row).collect();
        self.sent += count;
        let claim = Claim::on_new(self.accounts.of(&"t".into()), count as u64, (BootNs(1), BootNs(2)));
        let claim = claim.route().pop();
        self.outbox.send(Routed { claim, rows, bytes: 0 }).await.unwrap();
    }

    /// Stops the sink; returns the numbers it holds, the counts of its `loss` rows, and the account.
    async fn finish(self) -> (Vec<i64>, Vec<i64>, AccountSnapshot) {
        self.sink.child.stop().await;
        let account = self.accounts.of(&"t".into()).snapshot(&self.sink.name);
        let stored = self.kind.read("t");
        assert_eq!(account.in_flight(), 0, "{account:?}");
        assert_eq!(account.stored, stored.len() as u64, "the account matches the stored rows: {account:?}");
        assert_eq!(account.seen, self.sent as u64);
        (stored, self.kind.read("loss"), account)
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let within = async { tokio::time::timeout(Duration::from_secs(30), test).await.expect("took too long") };
    actix::System::new().block_on(within)
}

fn keeps_order_and_flushes_at_the_end<K: Kind + Send + Sync + 'static>() {
    run(async {
        let mut stage = Stage::<K>::start(&[]);
        for count in [10, 1, 989, 500] {
            stage.send(count).await;
        }
        let (stored, losses, _) = stage.finish().await;
        assert_eq!(stored, (0..1500).collect::<Vec<_>>());
        assert!(losses.is_empty());
    });
}

fn one_bad_row_costs_itself<K: Kind + Send + Sync + 'static>() {
    run(async {
        let mut stage = Stage::<K>::start(&[Fault::BadRow]);
        stage.send(5).await;
        stage.sink.flush().await;
        stage.send(5).await;
        let (stored, losses, account) = stage.finish().await;
        assert_eq!(stored, (1..10).collect::<Vec<_>>());
        assert_eq!((account.lost.sink, losses), (1, vec![1]));
    });
}

fn trouble_that_passes_costs_nothing<K: Kind + Send + Sync + 'static>() {
    run(async {
        let mut stage = Stage::<K>::start(&[Fault::Fail(Trouble::Transient); 3]);
        stage.send(5).await;
        stage.sink.flush().await;
        assert_eq!(stage.sink.state().retries, 3);
        let (stored, losses, _) = stage.finish().await;
        assert_eq!((stored, losses), ((0..5).collect::<Vec<i64>>(), vec![]));
    });
}

fn no_room_costs_rows_while_it_lasts<K: Kind + Send + Sync + 'static>() {
    run(async {
        let mut stage = Stage::<K>::start(&[Fault::Fail(Trouble::Full); 2]);
        for _ in 0..2 {
            stage.send(5).await;
            stage.sink.flush().await;
        }
        let state = stage.sink.state();
        assert_eq!((state.lost, state.rows), (10, 0));
        assert_eq!(state.failing.as_deref(), Some("writing to a test: as planned"));
        stage.send(5).await;
        stage.sink.flush().await;
        let state = stage.sink.state();
        assert_eq!((state.failing, state.recoveries), (None, 1));
        let (stored, losses, account) = stage.finish().await;
        assert_eq!(stored, (10..15).collect::<Vec<_>>());
        assert_eq!((account.lost.sink, losses), (10, vec![10]));
    });
}

fn a_panic_loses_only_the_held_rows<K: Kind + Send + Sync + 'static>() {
    run(async {
        let mut stage = Stage::<K>::start(&[Fault::Panic]);
        stage.send(5).await;
        stage.sink.flush().await;
        stage.send(5).await;
        stage.sink.flush().await;
        let status = stage.sink.child.status();
        assert_eq!((status.exits.panicked, status.restarts), (1, 1));
        assert_eq!(status.first_cause.as_deref(), Some("panicked: as planned"));
        let (stored, losses, account) = stage.finish().await;
        assert_eq!(stored, (5..10).collect::<Vec<_>>());
        assert_eq!((account.lost.sink, losses), (5, vec![5]));
    });
}

fn stopping_does_not_wait_for_trouble_to_pass<K: Kind + Send + Sync + 'static>() {
    run(async {
        let mut stage = Stage::<K>::start(&[Fault::Fail(Trouble::Transient)]);
        stage.send(5).await;
        let began = clock::now();
        let (stored, losses, account) = stage.finish().await;
        assert!(began.elapsed() < Duration::from_secs(5));
        assert_eq!((stored, account.lost.sink, losses), (vec![], 5, vec![5]));
    });
}

macro_rules! contract {
    ($module:ident, $kind:ty) => {
        mod $module {
            use super::*;

            #[test]
            fn order_and_flush_at_the_end() {
                keeps_order_and_flushes_at_the_end::<$kind>();
            }

            #[test]
            fn bad_row() {
                one_bad_row_costs_itself::<$kind>();
            }

            #[test]
            fn retry() {
                trouble_that_passes_costs_nothing::<$kind>();
            }

            #[test]
            fn no_room() {
                no_room_costs_rows_while_it_lasts::<$kind>();
            }

            #[test]
            fn panic() {
                a_panic_loses_only_the_held_rows::<$kind>();
            }

            #[test]
            fn stop_in_trouble() {
                stopping_does_not_wait_for_trouble_to_pass::<$kind>();
            }
        }
    };
}

macro_rules! contracts {
    ($($module:ident, $kind:ty;)+) => {
        $(contract!($module, $kind);)+

        #[test]
        fn every_sink_is_in_the_list() {
            assert_eq!([$(stringify!($module)),+], SinkConfig::NAMES);
        }
    };
}

contracts! {
    store, StoreKind;
    sqlite, SqliteKind;
    memory, MemoryKind;
    jsonl, JsonlKind;
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        2 => Just(Fault::BadRow),
        2 => Just(Fault::Fail(Trouble::Full)),
        2 => Just(Fault::Fail(Trouble::Permanent)),
        2 => Just(Fault::Fail(Trouble::Transient)),
        1 => Just(Fault::Panic),
    ]
}

fn balances_whatever_happens<K: Kind + Send + Sync + 'static>(plan: &[Fault], sends: &[(i64, bool)]) {
    run(async {
        let mut stage = Stage::<K>::start(plan);
        for (count, flush) in sends {
            stage.send(*count).await;
            if *flush {
                stage.sink.flush().await;
            }
        }
        let (stored, losses, account) = stage.finish().await;
        assert!(stored.is_sorted());
        // Each loss has a `loss` row, except losses of the very last write.
        assert!(losses.iter().sum::<i64>() <= account.lost.total() as i64);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn the_accounts_balance_whatever_happens(
        plan in prop::collection::vec(any_fault(), 0..12),
        sends in prop::collection::vec((0_i64..40, any::<bool>()), 1..12),
    ) {
        // With more panics within a minute the sink would be given up, which another test covers.
        prop_assume!(plan.iter().filter(|fault| **fault == Fault::Panic).count() <= 3);
        balances_whatever_happens::<SqliteKind>(&plan, &sends);
        balances_whatever_happens::<StoreKind>(&plan, &sends);
    }
}
