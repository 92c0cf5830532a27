//! The whole write side, as the agent starts it: every batch reaches every sink, accounts balance, gaps become `loss`
//! rows, and the store holds the accounts.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use actors::{Supervisor, clock};
use collector::{CollectorConfig, CollectorHandle, FilterConfig, FiltersConfig, SpawnError, spawn};
use model::{
    Account, Accounts, Batch, BootNs, Claim, Details, LossPoint, Moment, ProcessTable, Record, TracerName,
    WallTime,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use store::access::Access;

const SPAN: (BootNs, BootNs) = (BootNs(1_000), BootNs(2_000));

fn config() -> CollectorConfig {
    let mut config = CollectorConfig { id: "vm".into(), ..CollectorConfig::default() };
    (config.store.disabled, config.sqlite.disabled) = (true, false);
    config.memory.disabled = false;
    config.jsonl.disabled = false;
    config
}

fn filters() -> FiltersConfig {
    let excludes = BTreeMap::from([("exclude_uid".to_owned(), json!([7]))]);
    FiltersConfig(BTreeMap::from([(
        "seven".to_owned(),
        FilterConfig { excludes, ..FilterConfig::default() },
    )]))
}

fn batch(account: Arc<Account>, records: Vec<Value>) -> Batch {
    let claim = Claim::on_new(account, records.len() as u64, SPAN);
    let record = |fields: Value| {
        let details = Details::Fields(fields.as_object().unwrap().clone());
        Record { at: Moment::Wall(WallTime(5)), identity: None, details }
    };
    Batch { claim, records: records.into_iter().map(record).collect() }
}

struct Stage {
    handle: CollectorHandle,
    accounts: Accounts,
}

impl Stage {
    fn start(config: &CollectorConfig, workdir: &Path) -> Result<Self, SpawnError> {
        let accounts = Accounts::default();
        let table = ProcessTable::default();
        let handle = spawn(
            &Supervisor::new(),
            config,
            &filters(),
            accounts.clone(),
            table,
            (workdir, Access::default()),
            None,
        )?;
        Ok(Self { handle, accounts })
    }

    async fn send(&self, tracer: &str, records: Vec<Value>) {
        let batch = batch(self.accounts.of(&tracer.into()), records);
        self.handle.outbox.send(batch).await.unwrap();
    }

    async fn stop(&self) {
        self.handle.collector.stop().await;
        for sink in &self.handle.sinks() {
            sink.child.stop().await;
        }
    }

    fn assert_balances(&self) {
        for account in self.accounts.all() {
            for sink in self.accounts.sinks() {
                let snapshot = account.snapshot_of(&sink);
                assert_eq!(snapshot.in_flight(), 0, "{} in {}: {snapshot:?}", account.tracer(), sink.name);
            }
        }
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let within = async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("took too long") };
    actix::System::new().block_on(within)
}

fn ask(store: &Path, sql: &str) -> Vec<String> {
    let connection = rusqlite::Connection::open(store).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let answers = statement.query_map((), |row| row.get(0)).unwrap();
    answers.map(Result::unwrap).collect()
}

#[test]
fn every_record_is_stored_filtered_or_lost_and_every_loss_has_a_row() {
    run(async {
        let scratch = tempfile::tempdir().unwrap();
        let stage = Stage::start(&config(), scratch.path()).unwrap();
        stage
            .send("open", vec![json!({"uid": 1}), json!({"uid": 7}), json!({"uid": "x"}), json!({"uid": 2})])
            .await;
        stage.send("quiet", vec![json!({"uid": 7})]).await;
        stage.accounts.of(&"open".into()).add_seen(40);
        stage.accounts.of(&"open".into()).lose(LossPoint::Ring, 40, SPAN, "the ring was full");
        stage.accounts.of(&"idle".into());
        stage.stop().await;
        stage.assert_balances();
        let state = stage.handle.collector.state();
        assert_eq!(state.filtered, BTreeMap::from([("seven".to_owned(), 2)]));
        assert_eq!((state.batches, state.records, state.rows, state.refused), (2, 5, 2, 1));
        let refusal = "field uid is not a whole number of at most 63 bits";
        assert_eq!(state.last_refusal.as_deref(), Some(refusal));

        let store = stage.handle.store().unwrap();
        let uids = "SELECT group_concat(uid, ' ') FROM \"duetector_tracking:open@vm\"";
        assert_eq!(ask(&store, uids), ["1 2"]);
        let losses = "SELECT (extended ->> 'place') || ' ' || count || ' ' || (extended ->> 'cause') \
                      FROM \"duetector_tracking:loss@vm\" ORDER BY count";
        assert_eq!(
            ask(&store, losses),
            [format!("decode 1 {refusal}"), "ring 40 the ring was full".to_owned()]
        );
        let account = "SELECT tracer || ' ' || seen || ' ' || stored || ' ' || filtered || ' ' || lost_ring || ' ' || \
                     lost_decode FROM duetector_actors_account ORDER BY tracer";
        assert_eq!(ask(&store, account), ["idle 0 0 0 0 0", "open 44 2 1 40 1", "quiet 1 0 1 0 0"]);
        assert_eq!(ask(&store, "SELECT count(ended) || '' FROM duetector_actors_run"), ["1"]);
        assert_eq!(stage.handle.recent(&TracerName::new("open")).len(), 2);
        let lines = std::fs::read_to_string(scratch.path().join("duetector-tracking.jsonl")).unwrap();
        assert_eq!(lines.lines().count(), 4);
    });
}

#[test]
fn a_sink_that_can_never_work_fails_the_start() {
    run(async {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("file"), "").unwrap();
        let error = Stage::start(&config(), &scratch.path().join("file")).err().unwrap().to_string();
        assert!(
            error.starts_with("starting sink sqlite: opening /") && error.ends_with("(os error 17)"),
            "{error}"
        );
    });
}

/// A file system of a few MiB; unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs"])
            .arg(folder.path())
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_costs_rows_while_it_lasts_and_not_the_agent() {
    let Some(disk) = SmallDisk::mount() else {
        println!("SKIPPED: mounting a small tmpfs needs root");
        return;
    };
    run(async {
        let stage = Stage::start(&config(), disk.0.path()).unwrap();
        let filler = disk.0.path().join("filler");
        stage.send("t", vec![json!({"uid": 1})]).await;
        flush(&stage).await;
        // dd fails when the disk is full, which is intended.
        let _ = Command::new("dd")
            .args(["if=/dev/zero", "bs=4k"])
            .arg(format!("of={}", filler.display()))
            .output();
        for _ in 0..4 {
            stage.send("t", vec![json!({"uid": 1, "padding": "x".repeat(1000)}); 1000]).await;
            flush(&stage).await;
        }
        for name in ["sqlite", "jsonl"] {
            let state = sink_state(&stage, name);
            assert!(state.lost > 0 && state.failing.is_some(), "{name}: {state:?}");
        }
        std::fs::remove_file(&filler).unwrap();
        stage.send("t", vec![json!({"uid": 2})]).await;
        flush(&stage).await;
        for name in ["sqlite", "jsonl"] {
            let state = sink_state(&stage, name);
            assert!(state.failing.is_none() && state.recoveries > 0, "{name}: {state:?}");
        }
        stage.stop().await;
        stage.assert_balances();
        let store = stage.handle.store().unwrap();
        assert_eq!(ask(&store, "PRAGMA integrity_check"), ["ok"]);
        let count = |uid: i64| {
            let sql = format!("SELECT count(*) || '' FROM \"duetector_tracking:t@vm\" WHERE uid = {uid}");
            ask(&store, &sql)[0].parse::<u64>().unwrap()
        };
        assert_eq!(count(2), 1);
        let account = stage.accounts.of(&"t".into()).snapshot(&"sqlite".into());
        assert_eq!(account.stored, count(1) + count(2));
        let lost = "SELECT sum(count) || '' FROM \"duetector_tracking:loss@vm\" WHERE extended ->> 'sink' = 'sqlite'";
        assert_eq!(ask(&store, lost), [account.lost.sink.to_string()]);
        let lines = std::fs::read_to_string(disk.0.path().join("duetector-tracking.jsonl")).unwrap();
        let rows = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let stored = stage.accounts.of(&"t".into()).snapshot(&"jsonl".into()).stored;
        assert_eq!(rows.filter(|row| row["tracer"] == "t").count() as u64, stored);
    });
}

async fn flush(stage: &Stage) {
    // The rows must have passed the collector before the sinks are asked to flush.
    let wanted = stage.accounts.of(&"t".into()).snapshot(&"sqlite".into()).seen;
    let deadline = clock::now() + Duration::from_secs(20);
    while stage.handle.collector.state().records < wanted {
        assert!(clock::now() < deadline, "the collector makes no progress");
        clock::sleep(Duration::from_millis(2)).await;
    }
    for sink in &stage.handle.sinks() {
        sink.flush().await;
    }
}

fn sink_state(stage: &Stage, name: &str) -> collector::SinkState {
    stage.handle.sinks().iter().find(|sink| sink.name.as_str() == name).unwrap().state()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_accounts_balance_in_every_sink_whatever_comes(
        batches in prop::collection::vec(prop::collection::vec(0_u8..10, 0..30), 0..20),
        drops in any::<bool>(),
    ) {
        run(async {
            let scratch = tempfile::tempdir().unwrap();
            let mut config = config();
            if drops {
                config.jsonl.when_full = actors::WhenFull::Drop;
                config.jsonl.queue = 1;
            }
            let stage = Stage::start(&config, scratch.path()).unwrap();
            for batch in &batches {
                // 7 is filtered, 9 can't become a row.
                let record = |uid: &u8| if *uid == 9 { json!({"uid": "nine"}) } else { json!({"uid": uid}) };
                stage.send("t", batch.iter().map(record).collect()).await;
            }
            stage.stop().await;
            stage.assert_balances();
            let all: Vec<u8> = batches.concat();
            let account = stage.accounts.of(&"t".into()).snapshot(&"sqlite".into());
            let expected: Vec<String> =
                all.iter().filter(|uid| **uid != 7 && **uid != 9).map(u8::to_string).collect();
            assert_eq!(account.stored, expected.len() as u64);
            assert_eq!(account.lost.decode, all.iter().filter(|uid| **uid == 9).count() as u64);
            if !expected.is_empty() {
                let sql = "SELECT uid || '' FROM \"duetector_tracking:t@vm\" ORDER BY id";
                assert_eq!(ask(&stage.handle.store().unwrap(), sql), expected);
            }
        });
    }
}
