//! Sealing when something goes wrong: the store's file is removed or replaced, the agent is killed or stopped meanwhile, the
//! settings change, inodes run out, rows are very wide.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount, umount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use serde_json::{Value, json};
use tests::numbered::assert_once;
use tests::workload::generate;
use tests::{Agent, Crowd, Scratch, Setup, Store, binary, suite, until};

const SOON: Duration = Duration::from_secs(60);

suite! {
    threads: 1;
    a_store_whose_file_is_removed_keeps_what_was_sealed: [Kernel];
    the_file_of_another_store_is_not_mixed_with_the_segments: [Kernel];
    a_process_that_seals_ends_with_its_agent: [Kernel];
    a_reload_and_a_stop_do_not_wait_for_sealing: [Kernel];
    without_inodes_sealing_waits_and_nothing_is_lost: [Kernel];
    wide_rows_are_sealed_with_little_memory: []
}

fn sealer(agent: &Agent) -> Value {
    agent.actor("sealer")["state"].clone()
}

fn number(state: &Value, name: &str) -> i64 {
    state[name].as_i64().unwrap_or_default()
}

/// Returns the names of all files that crowds opened, as the store has them.
fn names(store: &Store) -> Vec<String> {
    let filter = "fname.startsWith('/seam-')";
    let rows = store.query("open", &[filter]);
    rows.iter().map(|row| row["fname"].as_str().unwrap().to_owned()).collect()
}

fn expected(done: &[(String, u64)]) -> Vec<String> {
    let of = |(prefix, count): &(String, u64)| {
        (0..*count).map(|number| format!("{prefix}{number}")).collect::<Vec<_>>()
    };
    done.iter().flat_map(of).collect()
}

fn remove(database: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        // The log is there only while somebody has the file open.
        let _ = fs::remove_file(format!("{}{suffix}", database.display()));
    }
}

/// Runs `store verify`; returns whether it found nothing, and what it printed.
fn verify(store: &Store) -> (bool, String) {
    let output = store.run(&["store", "verify"]);
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the process that seals for this agent, if there is one now.
fn sealing(agent: &Agent) -> Option<Pid> {
    let path = format!("/proc/{0}/task/{0}/children", agent.pid());
    let children = fs::read_to_string(path).unwrap_or_default();
    let is_sealing = |pid: &&str| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("maintain")
    };
    let found = children.split_whitespace().find(is_sealing);
    found.map(|pid| Pid::from_raw(pid.parse().unwrap()))
}

/// Returns whether a process is there and has not ended.
fn is_alive(pid: Pid) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn a_store_whose_file_is_removed_keeps_what_was_sealed() {
    let (scratch, uid) = (Scratch::new(), 9941);
    let work = scratch.path().join("work");
    let agent = Setup::new().sealing(uid).workdir(&work).start();
    let crowd = Crowd::start(uid, 2, 1000, 1_000_000);
    until("rows are sealed", SOON, || (number(&sealer(&agent), "sealed_rows") > 2000).then_some(()));
    crowd.wait_for(1000);
    remove(&agent.store().database());
    until("the segments are listed again", SOON, || {
        (number(&sealer(&agent), "adopted_rows") > 2000).then_some(())
    });
    crowd.wait_for(1000);
    let done = crowd.end();
    let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(shown.contains("it goes on with") && shown.contains("segments of a lost file"), "{shown}");
    let agent = agent.finish_run();
    let account = agent.store().account("open");
    assert!(account.lost.sink > 0, "{account:?}");
    // Each row is either in the store or counts as lost.
    assert_eq!(account.count, account.stored, "{account:?}");
    assert_once(&names(agent.store()), &expected(&done), account.lost_total());
    let losses = agent.store().query("loss", &[]);
    let reported: u64 = losses.iter().filter_map(|row| row["count"].as_u64()).sum();
    assert_eq!(reported, account.lost_total(), "{losses:?}");
    assert_eq!(verify(agent.store()), (true, "everything is as it was written\n".to_owned()));

    // Between two runs nobody counts: a row of tracer loss says from when on rows are missing.
    assert!(agent.store().run(&["store", "seal"]).status.success());
    let before = names(agent.store());
    remove(&agent.store().database());
    let agent = Setup::new().sealing(uid).workdir(&work).start();
    until("the segments are listed again", SOON, || (number(&sealer(&agent), "adopted") > 0).then_some(()));
    let agent = agent.finish_run();
    assert_eq!(names(agent.store()), before);
    let losses = agent.store().query("loss", &["cause.startsWith('the store\\'s file was lost')"]);
    assert!(losses.iter().any(|row| row["extended"]["lost_tracer"] == "open"), "{losses:?}");
    assert!(verify(agent.store()).0);
}

fn the_file_of_another_store_is_not_mixed_with_the_segments() {
    let (scratch, uid) = (Scratch::new(), 9942);
    let [ours, theirs] = ["ours", "theirs"].map(|name| scratch.path().join(name));
    let file = scratch.file("file", "");
    for work in [&ours, &theirs] {
        let agent = Setup::new().sealing(uid).workdir(work).set("store.seal_after", "\"1h\"").start();
        generate(uid, &["open", file.to_str().unwrap(), "--count", "100"]);
        agent.until_settled("open", 100);
        let agent = agent.finish_run();
        if work == &ours {
            assert!(agent.store().run(&["store", "seal"]).status.success());
        }
    }
    fs::copy(theirs.join("store.sqlite3"), ours.join("store.sqlite3")).unwrap();
    let agent = Setup::new().sealing(uid).workdir(&ours).start();
    let names = until("the segment is noticed", SOON, || {
        let strangers = sealer(&agent)["strangers"].clone();
        (strangers[1] == 1).then(|| strangers[0].clone())
    });
    let name = names[0].as_str().unwrap();
    let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(shown.contains("are not part of it, and are left alone") && shown.contains(name), "{shown}");
    let agent = agent.finish_run();
    let rows = agent.store().account("open").count;
    assert!((100..200).contains(&rows), "{rows} rows");
    let (is_whole, found) = verify(agent.store());
    assert!(!is_whole && found.contains(name) && found.contains("of another store"), "{found}");
    assert!(ours.join("segments").join(name).join("open.parquet").exists());
}

fn a_process_that_seals_ends_with_its_agent() {
    let uid = 9943;
    let mut agent = Setup::new().sealing(uid).start();
    let file = agent.scratch().file("file", "");
    generate(uid, &["open", file.to_str().unwrap(), "--count", "100"]);
    // While somebody else has the file, the process waits half a minute for it.
    let other = Connection::open(agent.store().database()).unwrap();
    let pid = until("it waits", SOON, || {
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let found = sealing(&agent);
        if found.is_none() {
            other.execute_batch("ROLLBACK").unwrap();
        }
        found
    });
    assert!(is_alive(pid));
    agent.signal(Signal::SIGKILL);
    agent.wait();
    until("it has ended", Duration::from_secs(15), || (!is_alive(pid)).then_some(()));
    other.execute_batch("ROLLBACK").unwrap();
    agent.unpin();
}

fn a_reload_and_a_stop_do_not_wait_for_sealing() {
    let (scratch, uid) = (Scratch::new(), 9944);
    let work = scratch.path().join("work");
    let settings = |after: &str| {
        let text = format!(
            "[store]\nseal_after = \"{after}\"\nseal_size = \"64KiB\"\nmax_size = \"1GiB\"\nmin_free = \"0B\"\n"
        );
        scratch.file("settings.toml", text)
    };
    let path = settings("2s");
    let with = || {
        // What is set by options can't be changed by a reload.
        let setup = Setup::new().set("ebpf.uids", &format!("[{uid}]")).set("collector.id", "\"sealing\"");
        let setup = setup.set("tracer.uname.disabled", "true").only(&["open"]);
        setup.workdir(&work).options(&["--config", path.to_str().unwrap()])
    };
    let agent = with().start();
    let crowd = Crowd::start(uid, 2, 2000, 1_000_000);
    for after in ["1s", "3s", "1s"] {
        let pid = until("it seals", SOON, || sealing(&agent));
        if kill(pid, Signal::SIGSTOP).is_err() {
            continue;
        }
        settings(after);
        let reload = agent.store().run(&["reload"]);
        assert!(reload.status.success(), "{}", String::from_utf8_lossy(&reload.stderr));
        // If it has ended meanwhile, there is nothing to continue.
        let _ = kill(pid, Signal::SIGCONT);
    }
    until("rows are sealed", SOON, || (number(&sealer(&agent), "sealed_rows") > 1000).then_some(()));
    let pid = until("a process that seals is stopped", SOON, || {
        sealing(&agent).filter(|pid| kill(*pid, Signal::SIGSTOP).is_ok() && is_alive(*pid))
    });
    let done = crowd.end();
    // It would take for ever if the stop waited for that process.
    let agent = agent.finish_run();
    until("it has ended", SOON, || (!is_alive(pid)).then_some(()));
    let account = agent.store().account("open");
    assert_once(&names(agent.store()), &expected(&done), account.lost_total());
    let agent = with().start();
    until("all rows are sealed", SOON, || {
        let state = sealer(&agent);
        (number(&state, "used_bytes") > 0 && number(&state, "unsealed_rows") == 0).then_some(())
    });
    let agent = agent.finish_run();
    assert_once(&names(agent.store()), &expected(&done), account.lost_total());
    assert!(verify(agent.store()).0);
}

fn without_inodes_sealing_waits_and_nothing_is_lost() {
    let (scratch, uid) = (Scratch::new(), 9945);
    let disk = scratch.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let options = Some("size=64m,nr_inodes=80,mode=0700");
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), options).unwrap();
    let agent = Setup::new()
        .sealing(uid)
        .workdir(disk.join("work"))
        .set("store.max_size", "\"1GiB\"")
        .set("store.min_free", "\"0B\"")
        .start();
    let file = agent.scratch().file("file", "");
    generate(uid, &["open", file.to_str().unwrap(), "--count", "100"]);
    until("rows are sealed", SOON, || (number(&sealer(&agent), "sealed") > 0).then_some(()));
    let filler = disk.join("filler");
    fs::create_dir(&filler).unwrap();
    let filled =
        (0..100).take_while(|number| fs::File::create(filler.join(number.to_string())).is_ok()).count();
    assert!((1..100).contains(&filled));
    generate(uid, &["open", file.to_str().unwrap(), "--count", "100"]);
    let cause = until("sealing fails", SOON, || sealer(&agent)["failing"].as_str().map(str::to_owned));
    assert!(cause.contains("No space left on device"), "{cause}");
    let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(shown.contains("sealing fails, and is tried again"), "{shown}");
    generate(uid, &["open", file.to_str().unwrap(), "--count", "100"]);
    agent.until_settled("open", 300);
    fs::remove_dir_all(&filler).unwrap();
    until("sealing goes on", SOON * 2, || {
        let state = sealer(&agent);
        (state["failing"].is_null() && number(&state, "unsealed_rows") == 0).then_some(())
    });
    let agent = agent.finish_run();
    let account = agent.store().account("open");
    assert_eq!((account.count, account.lost_total()), (account.stored, 0), "{account:?}");
    assert!(account.stored >= 300 && verify(agent.store()).0, "{account:?}");
    drop(agent);
    umount(&disk).unwrap();
}

/// Makes a file of duetector's layout: some rows have a field of 1 MiB, the others have fields whose names no other row has.
fn wide(path: &Path) {
    let file = Connection::open(path).unwrap();
    file.execute_batch(
        "PRAGMA synchronous = OFF; CREATE TABLE \"duetector_tracking:wide@py\" (id INTEGER NOT NULL, pid INTEGER, uid INTEGER,
         gid INTEGER, dt DATETIME, comm VARCHAR, cwd VARCHAR, fname VARCHAR, extended JSON NOT NULL, PRIMARY KEY (id)); BEGIN",
    )
    .unwrap();
    let mut insert = file
        .prepare(
            "INSERT INTO \"duetector_tracking:wide@py\" (dt, fname, extended) VALUES ('2026-01-31 12:00:00.000000', ?, ?)",
        )
        .unwrap();
    let mut state = 1_u64;
    let mut noise = |length: usize| -> String {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'!' + (state >> 58) as u8 % 64)
        };
        (0..length).map(|_| next()).map(|c| if c == '"' || c == '\\' { '.' } else { c }).collect()
    };
    for number in 0..150 {
        let same = "x".repeat(1 << 20);
        let long = if number % 2 == 0 { noise(1 << 20) } else { same };
        insert.execute([format!("/wide/{number}"), json!({"long": long}).to_string()]).unwrap();
    }
    for number in 0..2500 {
        let fields = (0..40).map(|field| (format!("k{number}.{field}"), Value::from(field)));
        let fields: serde_json::Map<String, Value> = fields.collect();
        insert.execute([format!("/keys/{number}"), Value::from(fields).to_string()]).unwrap();
    }
    drop(insert);
    file.execute_batch("COMMIT").unwrap();
}

fn wide_rows_are_sealed_with_little_memory() {
    let scratch = Scratch::new();
    let (source, store) = (scratch.path().join("wide.sqlite3"), Store::at(scratch.path().join("work")));
    wide(&source);
    let imported = store.run(&["store", "import", source.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let database = store.database();
    let work = json!({"path": database, "settings": {}, "everything": true, "is_urgent": true});
    let mut command = Command::new(binary::agent());
    let command = command.args(["store", "maintain"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    writeln!(stdin, "{work}").unwrap();
    let output = process.wait_with_output().unwrap();
    drop(stdin);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["failed"], Value::Null);
    let sealed: i64 = report["sealed"].as_array().unwrap().iter().map(|one| number(one, "rows")).sum();
    assert_eq!(sealed, 2650);
    let peak = number(&report, "peak_kib") >> 10;
    assert!(peak <= 192, "sealing took {peak} MiB");
    assert_eq!(verify(&store), (true, "everything is as it was written\n".to_owned()));
    let sum = "SELECT count(*) AS n, sum(length(long)) AS bytes, sum(json_valid(other)) AS others FROM wide";
    let sums = store.json(&["sql", sum, "--format", "json", "--memory", "512MiB"]);
    assert_eq!((&sums[0]["n"], &sums[0]["bytes"]), (&json!(2650), &json!(150 << 20)), "{sums}");
    assert_eq!(sums[0]["others"], 2500, "{sums}");
}
