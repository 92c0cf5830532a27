//! Sealing and retention of a running agent: kills at any point lose nothing, limits hold under load, and a store that is full
//! stops and counts.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::numbered::assert_once;
use tests::workload::generate;
use tests::{Agent, Crowd, Dice, Scratch, Setup, Store, suite, until};

const SOON: Duration = Duration::from_secs(60);
/// Kills of each test; by hand more.
const KILLS: &str = "DUETECTOR_TEST_KILLS";

suite! {
    threads: 2;
    kills_of_the_agent_and_its_sealing_lose_nothing: [Kernel];
    kills_without_pins_show_no_row_twice: [Kernel];
    limits_hold_under_load_and_what_is_removed_is_noted: [Kernel];
    a_store_that_is_full_stops_and_counts_until_there_is_room: [Kernel];
    a_full_disk_while_sealing_loses_nothing_that_was_stored: [Kernel]
}

/// Kills the process that seals for this agent, if it has one now. Returns whether it had.
fn kill_sealing(agent: &Agent) -> bool {
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", agent.pid())).unwrap_or_default();
    let is_sealing = |pid: &&str| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("maintain")
    };
    let found = children.split_whitespace().find(is_sealing);
    found.is_some_and(|pid| kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).is_ok())
}

fn names(store: &Store) -> Option<Vec<String>> {
    let output = store.run(&[
        "query",
        "--tracer",
        "open",
        "--columns",
        "fname",
        "--limit",
        "0",
        "--format",
        "jsonl",
        "--where",
        "fname.startsWith('/seam-')",
    ]);
    // Before the first start has made a store there is nothing to ask.
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("no store at"), "{errors}");
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let name =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["fname"].as_str().unwrap().to_owned();
    Some(text.lines().map(name).collect())
}

/// A thread that asks the store all the time, and fails if a row is there twice, or not any more.
struct Watcher {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Watcher {
    fn start(store: Store) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let shared = ends.clone();
        let thread = std::thread::spawn(move || {
            let (mut known, mut asked) = (BTreeSet::new(), 0);
            while !shared.load(Ordering::Relaxed) {
                let Some(found) = names(&store) else { continue };
                let set: BTreeSet<String> = found.iter().cloned().collect();
                assert_eq!(set.len(), found.len(), "a row is there twice");
                let gone: Vec<_> = known.difference(&set).take(5).collect();
                assert!(gone.is_empty(), "rows are gone: {gone:?}");
                (known, asked) = (set, asked + 1);
            }
            asked
        });
        Self { ends, thread }
    }

    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        assert!(self.thread.join().unwrap() > 0, "the store was never asked");
    }
}

fn kills_of_the_agent_and_its_sealing_lose_nothing() {
    let (scratch, uid) = (Scratch::new(), 9931);
    let (done, agent) =
        kills(&scratch, || Setup::new().sealing(uid).set("ebpf.data_ring", "\"128MiB\""), uid);
    let total: u64 = done.iter().map(|(_, count)| count).sum();
    until("every open is stored or lost", SOON, || {
        let open = agent.tracer("open");
        let lost = open["lost"].as_object()?.values().filter_map(Value::as_u64).sum::<u64>();
        (open["stored"].as_u64()? + lost >= total).then_some(())
    });
    let agent = agent.finish_run();
    let all = |(prefix, count): &(String, u64)| {
        let prefix = prefix.clone();
        (0..*count).map(move |number| format!("{prefix}{number}")).collect::<Vec<_>>()
    };
    let expected: Vec<String> = done.iter().flat_map(all).collect();
    assert_once(&names(agent.store()).unwrap(), &expected, agent.store().account("open").lost_total());
    assert_verified(agent.store());
}

fn kills_without_pins_show_no_row_twice() {
    let (scratch, uid) = (Scratch::new(), 9932);
    let (_, agent) = kills(&scratch, || Setup::new().sealing(uid).set("ebpf.pin", "false"), uid);
    let agent = agent.finish_run();
    let found = names(agent.store()).unwrap();
    let set: BTreeSet<&String> = found.iter().collect();
    assert_eq!(set.len(), found.len());
    assert_verified(agent.store());
}

/// Kills agents and their sealing at random points while a crowd opens files. Returns what the crowd did, and the last agent.
fn kills(scratch: &Scratch, setup: impl Fn() -> Setup, uid: u32) -> (Vec<(String, u64)>, Agent) {
    let work = scratch.path().join("work");
    let start = || setup().workdir(&work).spawn();
    let ready = |agent: &Agent| {
        until("the agent answers", SOON, || agent.store().run(&["status"]).status.success().then_some(()));
    };
    let mut agent = start();
    ready(&agent);
    let watcher = Watcher::start(Store::at(&work));
    let crowd = Crowd::start(uid, 2, 1500, 1_000_000);
    let mut dice = Dice(u64::from(uid));
    let rounds = std::env::var(KILLS).ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let mut sealing = 0;
    for _ in 0..rounds {
        crowd.wait_for(dice.below(4000));
        if dice.below(2) == 0 {
            // Its next look at the store starts another one.
            sealing += u32::from(until("it seals", SOON, || kill_sealing(&agent).then_some(true)));
        } else {
            agent.signal(Signal::SIGKILL);
            agent.wait();
            crowd.wait_for(dice.below(1000));
            agent = start();
            ready(&agent);
        }
    }
    let done = crowd.end();
    assert!(sealing > 0, "no process that seals was killed");
    // By its own process, or by one that a killed agent has left.
    until("all rows are sealed", SOON, || (sealer(&agent)["unsealed_rows"] == 0).then_some(()));
    watcher.end();
    (done, agent)
}

fn assert_verified(store: &Store) {
    let output = store.run(&["store", "verify"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

fn sealer(agent: &Agent) -> Value {
    agent.actor("sealer")["state"].clone()
}

fn limits_hold_under_load_and_what_is_removed_is_noted() {
    let uid = 9933;
    let most = 6 << 20;
    let agent = Setup::new()
        .sealing(uid)
        .set("store.seal_size", "\"64KiB\"")
        .set("store.max_size", "\"6MiB\"")
        .set("store.min_keep", "\"0s\"")
        .set("store.min_free", "\"0B\"")
        .start();
    // A name of its own for each open makes rows that do not compress away.
    let crowd = Crowd::start(uid, 2, 20_000, 1_000_000);
    until("segments are removed", SOON * 3, || (sealer(&agent)["removed"].as_u64()? >= 2).then_some(()));
    crowd.end();
    let status = |store: &Store| store.json(&["store", "status", "--format", "json"]);
    let used = |store: &Store| status(store)["used_bytes"].as_u64().unwrap();
    until("the store is within its limit", SOON, || (used(agent.store()) <= most).then_some(()));
    let agent = agent.finish_run();
    let left: u64 = agent.store().brief().iter().map(|account| account.count).sum();
    let status = status(agent.store());
    let segments = status["segments"].as_array().unwrap();
    let rows = |state: &str| -> i64 {
        let of_state = segments.iter().filter(|segment| segment["state"] == state);
        of_state.map(|segment| segment["rows"].as_i64().unwrap()).sum()
    };
    let removed = rows("pruned");
    assert_eq!(left as i64, rows("sealed") + status["unsealed_rows"].as_i64().unwrap(), "{status}");
    // The rows that say what was removed, but for those that were removed in their turn.
    let noted = agent.store().query("retention", &[]);
    for note in &noted {
        let segment = segments.iter().find(|segment| segment["name"] == note["extended"]["segment"]).unwrap();
        assert_eq!((&segment["state"], &segment["rows"]), (&"pruned".into(), &note["count"]), "{note}");
    }
    assert!(!noted.is_empty());
    assert!(removed > 0, "{status}");
    assert_verified(agent.store());
}

fn a_store_that_is_full_stops_and_counts_until_there_is_room() {
    let uid = 9934;
    let config = Scratch::new();
    let limited =
        |most: &str| format!("[store]\nmax_size = \"{most}\"\nmin_free = \"0B\"\nseal_after = \"1s\"\n");
    let limits = config.file("limits.toml", limited("1MiB"));
    let agent = Setup::new().sealing(uid).options(&["--config", limits.to_str().unwrap()]).start();
    let file = agent.scratch().file("file", "");
    // All segments are young: none may be removed but those above a quarter of the size.
    let crowd = Crowd::start(uid, 2, 20_000, 1_000_000);
    until("the store is full", SOON * 3, || sealer(&agent)["full"].as_str().map(str::to_owned));
    crowd.end();
    generate(uid, &["open", file.to_str().unwrap(), "--count", "1000"]);
    until("rows are lost", SOON, || (agent.tracer("open")["lost"]["sink"].as_u64()? > 0).then_some(()));
    fs::write(&limits, limited("64MiB")).unwrap();
    assert!(agent.store().run(&["reload"]).status.success());
    until("the store has room again", SOON, || sealer(&agent)["full"].is_null().then_some(()));
    until("rows are stored again", SOON, || {
        let before = agent.tracer("open")["stored"].as_u64()?;
        generate(uid, &["open", file.to_str().unwrap(), "--count", "100"]);
        agent.until_settled("open", 0);
        (agent.tracer("open")["stored"].as_u64()? > before).then_some(())
    });
    let agent = agent.finish_run();
    let lost: i64 = agent.store().query("loss", &[]).iter().filter_map(|row| row["count"].as_i64()).sum();
    assert_eq!(lost as u64, agent.store().account("open").lost_total());
}

fn a_full_disk_while_sealing_loses_nothing_that_was_stored() {
    let (scratch, uid) = (Scratch::new(), 9935);
    let disk = scratch.path().join("disk");
    let config = scratch.file("limits.toml", "[store]\nmax_size = \"1GiB\"\nmin_free = \"0B\"\n");
    fs::create_dir(&disk).unwrap();
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=24m,mode=0700")).unwrap();
    let agent = Setup::new()
        .sealing(uid)
        .workdir(disk.join("work"))
        .options(&["--config", config.to_str().unwrap()])
        .set("store.seal_after", "\"1h\"")
        .start();
    let file = agent.scratch().file("file", "");
    generate(uid, &["open", file.to_str().unwrap(), "--count", "50000"]);
    agent.until_settled("open", 50_000);
    let stored = agent.tracer("open")["stored"].as_u64().unwrap();
    // What is left of the disk is too little for a segment.
    let filler = disk.join("filler");
    let mut size = 24 << 20;
    while size > 0 {
        let more = vec![0; size];
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&filler).unwrap();
        if std::io::Write::write_all(&mut file, &more).is_err() {
            size /= 2;
        }
    }
    let seal = || agent.store().run(&["store", "seal", "--config", config.to_str().unwrap()]);
    let refused = seal();
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{text}");
    assert!(text.contains("No space left on device") || text.contains("disk is full"), "{text}");
    assert_eq!(agent.store().account("open").count, stored);
    fs::remove_file(&filler).unwrap();
    let sealed = seal();
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    assert_eq!(agent.store().account("open").count, stored);
    assert_verified(agent.store());
    let agent = agent.finish();
    drop(agent);
    umount(&disk).unwrap();
}
