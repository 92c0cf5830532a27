//! Checks that an orderly end loses nothing and is quick, and that a crash costs at most the last flush interval.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use tests::workload::{generate, generator};
use tests::{Agent, Ended, Setup, Store, slowdown, suite, until};

const SOON: Duration = Duration::from_secs(20);
/// An orderly end takes less on an idle machine.
const QUICK: Duration = Duration::from_secs(2);

suite! {
    threads: 1;
    sigterm_flushes_everything: [Kernel];
    sigint_flushes_everything_and_prints_the_brief: [Kernel];
    a_stop_mid_storm_is_quick_and_balances: [Kernel];
    the_stop_command_ends_a_daemon: [Kernel];
    a_duration_ends_it: [Kernel];
    after_kill_9_mid_storm_the_store_is_whole_and_the_next_start_goes_on: [Kernel]
}

fn only(uid: u32) -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{uid}]"))
}

/// Stops the agent within [`QUICK`], or as many times longer as the machine is slower just before or after.
fn stop_quickly(agent: &mut Agent, signal: Signal) -> Ended {
    let before = slowdown();
    let ended = agent.stop(signal);
    let limit = QUICK.mul_f64(before.max(slowdown()));
    assert!(ended.status.success(), "ended with {}:\n{}", ended.status, ended.stderr);
    assert!(ended.took < limit, "took {:?}, more than {limit:?}", ended.took);
    ended
}

/// Makes 20,000 opens, which fit into the ring, and sends the signal right after the last.
fn stop_after_opens(uid: u32, signal: Signal) -> (Agent, String) {
    let mut agent = only(uid).start();
    let file = agent.scratch().file("file", "");
    generate(uid, &["open", file.to_str().unwrap(), "--count", "20000"]);
    let ended = stop_quickly(&mut agent, signal);
    agent.store().assert_conserved_to_the_row();
    let open = agent.store().account("open");
    assert_eq!((open.seen, open.stored), (20_000, 20_000), "{open:?}");
    (agent, ended.stdout)
}

fn sigterm_flushes_everything() {
    stop_after_opens(9979, Signal::SIGTERM);
}

fn sigint_flushes_everything_and_prints_the_brief() {
    let (_agent, stdout) = stop_after_opens(9978, Signal::SIGINT);
    let line = stdout.lines().find(|line| line.contains("open")).expect("no line about open");
    assert!(line.contains("20000") || line.contains("20,000"), "{line}");
}

fn a_stop_mid_storm_is_quick_and_balances() {
    let mut agent = only(9977).start();
    let file = agent.scratch().file("file", "");
    let mut storm = generator(9977, &["open", file.to_str().unwrap(), "--seconds", "60"]);
    let mut storm = storm.stdout(Stdio::null()).spawn().unwrap();
    wait_for_stored(&agent, 10_000);
    // Ends the storm also if the stop fails.
    let ended =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stop_quickly(&mut agent, Signal::SIGTERM)));
    storm.kill().and_then(|()| storm.wait()).unwrap();
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    agent.store().assert_conserved_to_the_row();
}

/// Waits until at least `least` opens are in the store; returns how many there are.
fn wait_for_stored(agent: &Agent, least: u64) -> u64 {
    until("rows are stored", SOON, || {
        agent.tracer("open")["stored"].as_u64().filter(|stored| *stored >= least)
    })
}

fn the_stop_command_ends_a_daemon() {
    let scratch = tests::Scratch::new();
    let store = Store::at(scratch.path().join("work"));
    let started = store.run(&["start", "--daemon"]);
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    until("the daemon is ready", SOON, || store.run(&["status"]).status.success().then_some(()));
    let stopped = store.run(&["stop"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    assert!(!store.run(&["status"]).status.success(), "it still runs after stop");
    store.assert_conserved_to_the_row();
    assert!(!store.run(&["stop"]).status.success(), "nothing was there to be stopped");
}

fn a_duration_ends_it() {
    let mut agent = Setup::new().options(&["--duration", "1s"]).spawn();
    let ended = agent.wait();
    assert!(ended.status.success(), "ended with {}:\n{}", ended.status, ended.stderr);
    assert!(ended.took >= Duration::from_secs(1), "ended after {:?}", ended.took);
    agent.store().assert_conserved_to_the_row();
}

fn after_kill_9_mid_storm_the_store_is_whole_and_the_next_start_goes_on() {
    let scratch = tests::Scratch::new();
    let work = scratch.path().join("work");
    let file = scratch.file("file", "");
    let mut agent = only(9976).workdir(&work).start();
    let mut storm = generator(9976, &["paced", file.to_str().unwrap(), "--rate", "20000", "--seconds", "60"]);
    let mut storm = storm.stdout(Stdio::null()).spawn().unwrap();
    let stored = wait_for_stored(&agent, 30_000);
    let slow = slowdown();
    agent.signal(Signal::SIGKILL);
    let now = local_now();
    agent.wait();
    storm.kill().and_then(|()| storm.wait()).unwrap();

    let store = agent.store();
    let database = Connection::open(store.database()).unwrap();
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    let open = store.account("open");
    assert!(open.count >= stored, "{stored} were stored before the crash, {} are there", open.count);
    // A row takes the poll interval (0.1 s) and the flush interval (1 s) at most; a busy machine adds to that.
    let missing = age_of(&database, open.end.as_deref().unwrap(), &now);
    let limit = 2.5 * slow;
    assert!(missing < limit, "the last {missing} s before the crash are missing, at most {limit}");

    let agent = only(9976).workdir(&work).start();
    generate(9976, &["open", file.to_str().unwrap(), "--count", "23"]);
    let agent = agent.finish_run();
    let after = agent.store().account("open");
    assert_eq!((after.count, after.seen, after.stored), (open.count + 23, 23, 23));
}

/// Returns the local wall time in the form SQLite prints.
fn local_now() -> String {
    let memory = Connection::open_in_memory().unwrap();
    memory
        .query_row("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime')", [], |row| row.get(0))
        .unwrap()
}

/// Seconds from `earlier` to `later`.
fn age_of(database: &Connection, earlier: &str, later: &str) -> f64 {
    let query = "SELECT (julianday(?2) - julianday(?1)) * 86400.0";
    database.query_row(query, [earlier, later], |row| row.get(0)).unwrap()
}
