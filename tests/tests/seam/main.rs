//! Restarts with `ebpf.pin`: the agent after a killed one resumes with the first record that is not stored; none is
//! missing, none is stored twice.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod site;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::Value;
use site::{Site, folder, kill, pin, rows, wait_for_stored};
use tests::numbered::assert_once;
use tests::workload::generate;
use tests::{Crowd, Dice, Setup, Store, suite, until};

const SOON: Duration = Duration::from_secs(30);
const ROUNDS: u32 = 20;
/// Opens per second of each worker.
const RATE: u64 = 1500;
const WORKERS: u32 = 3;

suite! {
    threads: 2;
    twenty_kills_lose_nothing_and_double_nothing: [Kernel];
    twenty_kills_lose_nothing_with_duetectors_layout: [Kernel];
    what_a_full_ring_lost_while_nobody_read_it_is_counted: [Kernel];
    another_version_starts_clean_and_counts_the_gap: [Kernel];
    a_missing_store_is_not_resumed: [Kernel];
    an_incomplete_pin_is_removed: [Kernel];
    a_pinned_ring_loses_no_more_than_another_while_the_store_is_behind: [Kernel];
    what_was_read_and_not_stored_when_the_agent_was_killed_is_counted: [Kernel];
    an_orderly_stop_unpins_and_keep_does_not: [Kernel];
    tracers_that_were_switched_between_two_runs: [Kernel];
    another_kind_of_store_takes_over_the_pinned_rings: [Kernel]
}

fn twenty_kills_lose_nothing_and_double_nothing() {
    twenty_kills(&Site::new(9901));
}

fn twenty_kills_lose_nothing_with_duetectors_layout() {
    twenty_kills(&Site::duetector_layout(9900));
}

fn twenty_kills(site: &Site) {
    let every = 50;
    // Room for a minute without a reader at this rate.
    let setup = || site.setup().set("ebpf.data_ring", "\"128MiB\"");
    let mut agent = setup().start();
    let crowd = Crowd::start(site.uid, WORKERS, RATE, every);
    let mut dice = Dice(7);
    for _ in 0..ROUNDS {
        // Now and then it is killed before it has begun, else in the middle of its work.
        if dice.below(4) > 0 {
            let before = rows(site);
            until("an agent stores something", SOON, || (rows(site) > before).then_some(()));
        }
        crowd.wait_for(dice.below(1000));
        kill(agent);
        crowd.wait_for(dice.below(1500));
        agent = setup().spawn();
    }
    crowd.wait_for(500);
    let done = crowd.end();
    let total: u64 = done.iter().map(|(_, count)| count).sum();
    until("the last agent answers", SOON, || site.store().run(&["status"]).status.success().then_some(()));
    assert_eq!(pin(&agent)["adopted"], true, "{}", agent.stderr());
    until("every open is stored or lost", SOON, || {
        let open = agent.tracer("open");
        let lost = open["lost"].as_object()?.values().filter_map(serde_json::Value::as_u64).sum::<u64>();
        (open["stored"].as_u64()? + lost >= total).then_some(())
    });
    let agent = agent.finish_run();
    let lost = |tracer: &str| agent.store().account(tracer).lost_total();

    let texts = |rows: &[Value], field: &dyn Fn(&Value) -> Value| -> Vec<String> {
        rows.iter().map(|row| field(row).as_str().unwrap().to_owned()).collect()
    };
    let opens = site.store().query("open", &["fname.startsWith('/seam-')"]);
    let names = |step| {
        let of = move |(prefix, count): &(String, u64)| {
            let prefix = prefix.clone();
            (0..*count).step_by(step).map(move |number| format!("{prefix}{number}")).collect::<Vec<_>>()
        };
        done.iter().flat_map(of).collect::<Vec<_>>()
    };
    assert_once(&texts(&opens, &|row| row["fname"].clone()), &names(1), lost("open"));
    let mut runs = site.store().query("exec", &[]);
    runs.retain(|run| run["extended"]["argv"][1].as_str().is_some_and(|name| name.starts_with("/seam-")));
    assert_once(
        &texts(&runs, &|run| run["extended"]["argv"][1].clone()),
        &names(every as usize),
        lost("exec"),
    );
    // Each of them ended once, by its identity.
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for id in texts(&site.store().query("exit", &[]), &|end| end["exec_id"].clone()) {
        *ends.entry(id).or_default() += 1;
    }
    let ids = texts(&runs, &|run| run["exec_id"].clone());
    assert!(ids.iter().all(|id| ends.get(id).is_none_or(|times| *times == 1)), "a process ended twice");
    let ended = ids.iter().filter(|id| ends.contains_key(*id)).count();
    assert!((ids.len() - ended) as u64 <= lost("exit"), "ends are missing that nobody counted as lost");
    let database = site.database();
    let adopted = "SELECT count(*) FROM duetector_actors_run WHERE adopted IS NOT NULL";
    let adopted: u32 = database.query_row(adopted, [], |row| row.get(0)).unwrap();
    assert!(adopted > 0, "no run is noted as going on with another's rings");
}

/// Returns the sum of the `loss` rows of that tracer.
fn reported_lost(store: &Store, tracer: &str) -> u64 {
    let losses = store.query("loss", &[]);
    let of_it = losses.iter().filter(|row| row["extended"]["lost_tracer"] == tracer);
    of_it.filter_map(|row| row["count"].as_u64()).sum()
}

fn what_a_full_ring_lost_while_nobody_read_it_is_counted() {
    let site = Site::new(9902);
    let small = || site.setup().set("ebpf.data_ring", "\"64KiB\"");
    let agent = small().start();
    site.open(23);
    wait_for_stored(&agent, "open", 23);
    kill(agent);
    site.open(5000);
    let agent = small().start().finish_run();
    let open = agent.store().account("open");
    assert_eq!((open.seen - open.filtered, open.count), (5023, open.stored), "{open:?}");
    assert!(open.lost.ring > 0 && open.stored > 23, "{open:?}");
    assert_eq!(5023 - open.count, open.lost.ring, "what is missing is what was lost");
    assert_eq!(reported_lost(agent.store(), "open"), open.lost.ring);
}

fn another_version_starts_clean_and_counts_the_gap() {
    let site = Site::new(9903);
    let agent = site.setup().start();
    site.open(100);
    wait_for_stored(&agent, "open", 100);
    let before = folder(&agent);
    kill(agent);
    site.open(23);
    let agent = site.setup().variable("DUETECTOR_FAULT_OBJECT", "another").start();
    let pin = pin(&agent);
    assert_eq!((&pin["adopted"], folder(&agent)), (&false.into(), before));
    assert!(pin["refused"].as_str().unwrap().contains("another version"), "{pin}");
    assert!(agent.stderr().contains("another version"), "{}", agent.stderr());
    let shown = String::from_utf8(site.store().run(&["status"]).stdout).unwrap();
    assert!(shown.contains("another version"), "{shown}");
    site.open(10);
    let agent = agent.finish_run();
    let open = agent.store().account("open");
    assert_eq!((open.count, open.stored), (110, 10), "{open:?}");
    // The generator's own start is among what was lost: its opens of libraries, which would have been filtered.
    assert!((23..=80).contains(&open.lost.ring), "{open:?}");
    assert_eq!(reported_lost(agent.store(), "open"), open.lost.ring);
    let gap = agent.store().query("loss", &[]);
    let gap = gap.iter().find(|row| row["extended"]["lost_tracer"] == "open").unwrap();
    let (from, to) = (gap["extended"]["from"].as_str().unwrap(), gap["extended"]["to"].as_str().unwrap());
    assert!(from < to, "{gap}");
}

fn a_missing_store_is_not_resumed() {
    let site = Site::new(9904);
    let agent = site.setup().start();
    site.open(100);
    wait_for_stored(&agent, "open", 100);
    kill(agent);
    site.open(23);
    for ending in ["", "-wal", "-shm"] {
        let mut path = site.store().database().into_os_string();
        path.push(ending);
        // A log that was written back is not there.
        let _ = std::fs::remove_file(path);
    }
    let agent = site.setup().start();
    assert!(pin(&agent)["refused"].as_str().unwrap().contains("another store"));
    let agent = agent.finish_run();
    let open = agent.store().account("open");
    assert_eq!((open.count, open.stored), (0, 0));
    // What was in the rings, unread: these and the generator's own start.
    assert!((23..=200).contains(&open.lost.ring), "{open:?}");
}

/// A ring with room for 1.4 seconds of records at [`RATE`], half of it without budgets, and a store that waits.
fn tight(site: &Site) -> Setup {
    site.setup().set("ebpf.data_ring", "\"512KiB\"").set("collector.store.retry_for", "\"60s\"")
}

/// Opens a file at [`RATE`] for some seconds as the traced user; returns how often.
fn paced(site: &Site, seconds: &str) -> u64 {
    let file = site.scratch.file("file", "");
    let rate = RATE.to_string();
    let done = generate(site.uid, &["paced", file.to_str().unwrap(), "--rate", &rate, "--seconds", seconds]);
    done["count"].as_u64().unwrap()
}

/// Keeps the store's file locked, so that the agent can't write to it.
fn locked(site: &Site) -> Connection {
    let database = site.database();
    database.busy_timeout(SOON).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    database
}

fn a_pinned_ring_loses_no_more_than_another_while_the_store_is_behind() {
    let site = Site::new(9908);
    let agent = tight(&site).start();
    site.open(23);
    wait_for_stored(&agent, "open", 23);
    let lock = locked(&site);
    // Twice what fits into the ring.
    let count = 23 + paced(&site, "3");
    lock.execute_batch("COMMIT").unwrap();
    wait_for_stored(&agent, "open", count);
    let agent = agent.finish_run();
    let open = agent.store().account("open");
    assert_eq!((open.stored, open.lost_total()), (count, 0), "{open:?}");
}

fn what_was_read_and_not_stored_when_the_agent_was_killed_is_counted() {
    let site = Site::new(9909);
    let agent = tight(&site).start();
    site.open(23);
    wait_for_stored(&agent, "open", 23);
    let lock = locked(&site);
    let mut count = 23 + paced(&site, "3");
    until("room is given back", SOON, || {
        (agent.actor("ebpf")["state"]["given_back"].as_u64()? > 0).then_some(())
    });
    kill(agent);
    lock.execute_batch("COMMIT").unwrap();
    site.open(10);
    count += 10;
    let agent = tight(&site).start();
    assert_eq!(pin(&agent)["adopted"], true, "{}", pin(&agent));
    until("every open is stored or lost", SOON, || {
        let open = site.store().account("open");
        (open.stored + open.lost_total() >= count).then_some(())
    });
    let agent = agent.finish_run();
    let open = agent.store().account("open");
    assert_eq!((open.seen - open.filtered, open.count, open.lost.ring), (count, open.stored, 0), "{open:?}");
    assert!(open.lost.queue > 0, "nothing was read ahead of the store: {open:?}");
    let losses = agent.store().query("loss", &[]);
    let row = losses.iter().find(|row| row["extended"]["lost_tracer"] == "open").unwrap();
    assert_eq!(row["count"].as_u64(), Some(open.lost.queue), "{losses:?}");
    assert!(row["extended"]["from"].as_str().unwrap() < row["extended"]["to"].as_str().unwrap(), "{row}");
}

fn an_incomplete_pin_is_removed() {
    let site = Site::new(9905);
    let agent = site.setup().start();
    let pinned = folder(&agent);
    kill(agent);
    std::fs::remove_file(pinned.join("map-mark")).unwrap();
    std::fs::remove_file(pinned.join("map-data")).unwrap();
    let agent = site.setup().start();
    assert!(pin(&agent)["refused"].as_str().unwrap().contains("incomplete"));
    site.open(23);
    let agent = agent.finish_run();
    assert_eq!(agent.store().account("open").stored, 23);
    assert!(!pinned.exists(), "an orderly stop leaves nothing behind");
}

fn an_orderly_stop_unpins_and_keep_does_not() {
    let site = Site::new(9906);
    let mut agent = site.setup().start();
    let pinned = folder(&agent);
    site.open(10);
    let stopped = site.store().run(&["stop", "--keep"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    agent.wait();
    assert!(pinned.exists(), "it is to be kept");
    site.open(23);
    let mut agent = site.setup().start();
    assert_eq!(pin(&agent)["adopted"], true);
    wait_for_stored(&agent, "open", 33);
    // Of a service that is restarted for an upgrade: a signal, and the setting.
    agent.stop(Signal::SIGTERM);
    assert!(!pinned.exists(), "let go");
    let mut agent = site.setup().set("ebpf.pin_keep", "true").start();
    agent.stop(Signal::SIGTERM);
    site.open(7);
    let agent = site.setup().start().finish_run();
    let open = agent.store().account("open");
    assert_eq!((open.count, open.stored, open.lost_total()), (40, 7, 0), "{open:?}");
    let mut agent = site.setup().start();
    agent.signal(Signal::SIGKILL);
    agent.wait();
    assert!(pinned.exists());
    let cleared = site.store().run(&["stop", "--unpin"]);
    assert!(cleared.status.success() && !pinned.exists(), "{}", String::from_utf8_lossy(&cleared.stderr));
}

fn has(pinned: &Path, start: &str) -> bool {
    let mut entries = std::fs::read_dir(pinned).unwrap();
    entries.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(start))
}

fn tracers_that_were_switched_between_two_runs() {
    let site = Site::new(9907);
    // `close` needs what `connect` has.
    let without = site.setup().set("tracer.connect.disabled", "true").set("tracer.close.disabled", "true");
    let agent = without.start();
    let pinned = folder(&agent);
    assert!(has(&pinned, "link-syscall_exit") && !has(&pinned, "link-connect"));
    site.open(10);
    wait_for_stored(&agent, "open", 10);
    kill(agent);
    site.open(5);
    let agent = site.setup().set("tracer.open.disabled", "true").start();
    assert!(has(&pinned, "link-syscall_exit") && has(&pinned, "link-connect"));
    site.open(100);
    generate(site.uid, &["connect", "--count", "3"]);
    wait_for_stored(&agent, "connect", 3);
    // What the tracer that is off now had left is lost, and said to be.
    let open = site.store().account("open");
    assert_eq!((open.count, open.lost.queue > 0), (10, true), "{open:?}");
    kill(agent);
    let agent = site.setup().start();
    site.open(23);
    let agent = agent.finish_run();
    let open = agent.store().account("open");
    assert_eq!((open.count, open.stored), (33, 33), "{open:?}");
    let connect = agent.store().account("connect");
    assert_eq!((connect.count, connect.stored), (3, 3), "{connect:?}");
}

/// As at an upgrade from a version whose store had duetector's layout, and back.
fn another_kind_of_store_takes_over_the_pinned_rings() {
    let mut site = Site::duetector_layout(9899);
    let count = |path: &Path, table: &str| -> u64 {
        let database = Connection::open(path).unwrap();
        let sql = format!("SELECT count(*) FROM {table}");
        database.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().unsigned_abs()
    };
    let [plain, columnar] =
        ["duetector-dbcollector.sqlite3", "store.sqlite3"].map(|name| site.work().join(name));
    let agent = site.setup().start();
    site.open(10);
    wait_for_stored(&agent, "open", 10);
    keep(agent);
    site.open(23);
    for (is_columnar, more, total) in [(true, 0, 33), (false, 7, 40)] {
        site.set_columnar(is_columnar);
        site.open(more);
        let agent = site.setup().start();
        assert_eq!(pin(&agent)["adopted"], true, "{}", agent.stderr());
        assert!(agent.stderr().contains("are taken over from the other store"), "{}", agent.stderr());
        wait_for_stored(&agent, "open", total);
        let open = site.store().account("open");
        assert_eq!((open.count, open.stored, open.lost_total()), (total, total, 0), "{open:?}");
        assert_eq!(site.store().query("open", &[]).len() as u64, total);
        let (to, from) = if is_columnar { (&columnar, &plain) } else { (&plain, &columnar) };
        assert!(count(to, "duetector_actors_position") > 0);
        assert_eq!(
            count(from, "duetector_actors_position"),
            0,
            "only one store says how far the rings are read"
        );
        keep(agent);
    }
    // The first ten, and the last seven.
    assert_eq!(count(&plain, "\"duetector_tracking:open@seam\""), 17);
    let cleared = site.store().run(&["stop", "--unpin"]);
    assert!(cleared.status.success(), "{}", String::from_utf8_lossy(&cleared.stderr));
}

/// Stops the agent and lets its programs go on.
fn keep(mut agent: tests::Agent) {
    let stopped = agent.store().run(&["stop", "--keep"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    agent.wait();
}
