//! Filters and sinks that change while rows flow: no row is lost, none is written twice, and every sink's accounts
//! balance for the time it was there.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use actors::{Supervisor, clock};
use collector::{CollectorConfig, CollectorHandle, FilterConfig, FiltersConfig, spawn};
use model::{
    Accounts, Batch, BootNs, Change, Claim, Details, Moment, ProcessTable, Record, Subject, TracerName,
    WallTime, What,
};
use serde_json::json;
use store::access::Access;

const TRACER: &str = "numbers";
/// Number of records in a batch.
const SIZE: u64 = 50;

/// Sends numbered records for as long as the test runs.
struct Flow {
    accounts: Accounts,
    handle: CollectorHandle,
    stop: Arc<AtomicBool>,
    sender: actix::clock::Interval,
}

impl Flow {
    /// Sends batches until `stop` is set; returns the number of records.
    async fn run(mut self) -> u64 {
        let mut sent = 0;
        while !self.stop.load(Relaxed) {
            self.sender.tick().await;
            let span = (BootNs(1), BootNs(2));
            let claim = Claim::on_new(self.accounts.of(&TRACER.into()), SIZE, span);
            let records = (sent..sent + SIZE).map(record).collect();
            self.handle.outbox.send(Batch { claim, records }).await.unwrap();
            sent += SIZE;
        }
        sent
    }
}

fn record(number: u64) -> Record {
    let details = json!({"uid": number % 10, "pid": number});
    let details = Details::Fields(details.as_object().unwrap().clone());
    Record { at: Moment::Wall(WallTime(5)), identity: None, details }
}

fn dropping(uid: u64) -> FiltersConfig {
    let excludes = BTreeMap::from([("exclude_uid".to_owned(), json!([uid]))]);
    // One of the numbers is this process's own.
    let filter = FilterConfig { excludes, ignore_current_pid: false, ..FilterConfig::default() };
    FiltersConfig(BTreeMap::from([("one".to_owned(), filter)]))
}

fn stored(file: &Path) -> Vec<u64> {
    let connection = rusqlite::Connection::open(file).unwrap();
    let mut numbers = connection.prepare("SELECT pid FROM \"duetector_tracking:numbers@vm\"").unwrap();
    let numbers = numbers.query_map((), |row| row.get::<_, i64>(0)).unwrap();
    numbers.map(|number| number.unwrap() as u64).collect()
}

fn lines(file: &Path) -> Vec<u64> {
    let text = std::fs::read_to_string(file).unwrap();
    let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["pid"].as_u64();
    text.lines().filter_map(number).collect()
}

fn sink(what: What, name: &str) -> Change {
    Change::new(what, Subject::Sink(name.into()))
}

/// Returns the accounts in a store's file, over all runs: seen, stored, filtered, lost.
fn kept(file: &Path) -> (i64, i64, i64, i64) {
    let connection = rusqlite::Connection::open(file).unwrap();
    let sums = "SELECT sum(seen), sum(stored), sum(filtered), \
                sum(lost_ring + lost_decode + lost_queue + lost_sink) FROM duetector_actors_account \
                WHERE tracer = 'numbers'";
    connection.query_row(sums, (), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap()
}

/// Returns settings with a store whose rows can be read as tables.
fn duetector_layout() -> CollectorConfig {
    let mut config = CollectorConfig { id: "vm".into(), ..CollectorConfig::default() };
    (config.store.disabled, config.sqlite.disabled) = (true, false);
    config
}

struct Rig {
    accounts: Accounts,
    handle: CollectorHandle,
    config: CollectorConfig,
    filters: FiltersConfig,
}

impl Rig {
    fn start(workdir: &Path) -> Self {
        let config = duetector_layout();
        let accounts = Accounts::default();
        let (table, filters) = (ProcessTable::default(), dropping(7));
        let handle = spawn(
            &Supervisor::new(),
            &config,
            &filters,
            accounts.clone(),
            table,
            (workdir, Access::default()),
            None,
        )
        .unwrap();
        Self { accounts, handle, config, filters }
    }

    /// Returns a source of records that ends with `stop`.
    fn records(&self, stop: &Arc<AtomicBool>) -> Flow {
        Flow {
            accounts: self.accounts.clone(),
            handle: self.handle.clone(),
            stop: stop.clone(),
            sender: actix::clock::interval(Duration::from_millis(1)),
        }
    }

    async fn apply(&self) -> Vec<Change> {
        let change = self.handle.prepare(&self.config, &self.filters);
        change.unwrap_or_else(|wrong| panic!("{wrong:?}")).await
    }

    /// Waits until some more rows are stored.
    async fn flow(&self) {
        let seen = || self.accounts.of(&TRACER.into()).snapshot(&"sqlite".into()).stored;
        let goal = seen() + 4 * SIZE;
        while seen() < goal {
            clock::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn stop(&self) {
        self.handle.collector.stop().await;
        for sink in self.handle.sinks() {
            sink.child.stop().await;
            let account = self.accounts.of(&TRACER.into()).snapshot(&sink.name);
            assert_eq!((account.in_flight(), account.lost.total()), (0, 0), "{}: {account:?}", sink.name);
        }
    }
}

#[test]
fn rows_are_written_once_whatever_changes_while_they_flow() {
    let scratch = tempfile::tempdir().unwrap();
    let test = async {
        let mut rig = Rig::start(scratch.path());
        let stop = Arc::new(AtomicBool::new(false));
        let flow = actix::spawn(rig.records(&stop).run());
        rig.flow().await;
        assert!(rig.apply().await.is_empty());
        rig.config.jsonl.disabled = false;
        rig.config.memory.disabled = false;
        assert_eq!(rig.apply().await, ["memory", "jsonl"].map(|name| sink(What::Added, name)));
        rig.flow().await;
        // The same file with other settings: the successor continues where the old sink ended.
        rig.config.sqlite.batch = 100;
        rig.config.memory.maxlen = 20;
        assert_eq!(rig.apply().await, ["sqlite", "memory"].map(|name| sink(What::Restarted, name)));
        rig.flow().await;
        // Another file, and another filter.
        rig.config.sqlite.path = "second.sqlite3".into();
        rig.filters = dropping(3);
        let filter = Change::new(What::Changed, Subject::Filter("one".to_owned()));
        assert_eq!(rig.apply().await, [sink(What::Restarted, "sqlite"), filter]);
        rig.flow().await;
        rig.config.jsonl.disabled = true;
        assert_eq!(rig.apply().await, [sink(What::Removed, "jsonl")]);
        rig.flow().await;
        assert_eq!(rig.handle.recent(&TracerName::new(TRACER)).len(), 20);
        stop.store(true, Relaxed);
        let sent = flow.await.unwrap();
        rig.stop().await;
        let first = stored(&scratch.path().join("duetector-dbcollector.sqlite3"));
        let second = stored(&scratch.path().join("second.sqlite3"));
        let change = second[0];
        let expected = |number: &u64| number % 10 != if *number < change { 7 } else { 3 };
        let all: Vec<u64> = first.iter().chain(&second).copied().collect();
        assert_eq!(all, (0..sent).filter(expected).collect::<Vec<_>>());
        let written = lines(&scratch.path().join("duetector-tracking.jsonl"));
        let whole =
            all.iter().copied().filter(|number| (written[0]..=written[written.len() - 1]).contains(number));
        assert_eq!(written, whole.collect::<Vec<_>>(), "no gap while it was there");
        for (file, rows) in [("duetector-dbcollector.sqlite3", first), ("second.sqlite3", second)] {
            let (seen, stored, filtered, lost) = kept(&scratch.path().join(file));
            assert_eq!((stored, lost, seen), (rows.len() as i64, 0, stored + filtered), "{file}");
        }
        let filtered = rig.handle.collector.state().filtered;
        assert_eq!(filtered["one"], sent - all.len() as u64);
    };
    let within = async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("took too long") };
    actix::System::new().block_on(within);
}

#[test]
fn a_sink_becomes_an_additional_output_and_the_store_again() {
    let scratch = tempfile::tempdir().unwrap();
    let test = async {
        let mut rig = Rig::start(scratch.path());
        let stop = Arc::new(AtomicBool::new(false));
        let flow = actix::spawn(rig.records(&stop).run());
        rig.flow().await;
        rig.config.store.disabled = false;
        let joined = [sink(What::Restarted, "sqlite"), sink(What::Added, "store")];
        let mut changes = rig.apply().await;
        changes.sort_by_key(|change| change.what == What::Added);
        assert_eq!(changes, joined);
        rig.flow().await;
        rig.config.store.disabled = true;
        assert_eq!(rig.apply().await.len(), 2);
        rig.flow().await;
        stop.store(true, Relaxed);
        let sent = flow.await.unwrap();
        rig.stop().await;
        let file = scratch.path().join("duetector-dbcollector.sqlite3");
        let rows = stored(&file);
        assert_eq!(rows, (0..sent).filter(|number| number % 10 != 7).collect::<Vec<_>>());
        let count = |file: &Path, sql: &str| -> i64 {
            rusqlite::Connection::open(file).unwrap().query_row(sql, (), |row| row.get(0)).unwrap()
        };
        let copied = count(&file, "SELECT sum(last - first + 1) FROM duetector_actors_copied");
        let in_store = count(&scratch.path().join("store.sqlite3"), "SELECT sum(rows) FROM batch");
        assert!(copied > 0);
        assert_eq!(copied, in_store, "each row that both have is noted as a copy");
        // The accounts in a file are of the rows for which it was the store.
        let (seen, kept, filtered, lost) = kept(&file);
        assert_eq!((kept + copied, lost, seen), (rows.len() as i64, 0, kept + filtered));
    };
    let within = async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("took too long") };
    actix::System::new().block_on(within);
}

#[test]
fn every_problem_is_reported_and_nothing_changes() {
    let scratch = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let mut rig = Rig::start(scratch.path());
        rig.config.id = "other".into();
        rig.config.jsonl.disabled = false;
        rig.config.jsonl.path = scratch.path().display().to_string();
        rig.config.sqlite.batch = 0;
        rig.filters = dropping(1);
        let filter = rig.filters.0.get_mut("one").unwrap();
        filter.excludes.insert("re_exclude_fname".into(), json!(["("]));
        let wrong = rig.handle.prepare(&rig.config, &rig.filters).err().unwrap();
        let keys: Vec<&str> = wrong.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "collector.sqlite.batch",
                "collector.id",
                "collector.jsonl.path",
                "filter.one.re_exclude_fname[0]"
            ]
        );
        rig.config = duetector_layout();
        rig.config.sqlite.disabled = true;
        let none = rig.handle.prepare(&rig.config, &dropping(7)).err().unwrap();
        assert!(none[0].to_string().contains("no sink is enabled"), "{none:?}");
        rig.stop().await;
    });
}
