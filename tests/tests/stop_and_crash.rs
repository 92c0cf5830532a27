//! Checks that an orderly end loses nothing and is quick, and that a crash costs at most the last flush interval.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::Value;
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
    a_stop_reads_everything_before_it_detaches: [Kernel];
    what_a_host_that_hangs_at_the_stop_has_not_read_is_read_by_the_next: [Kernel];
    the_stop_command_ends_a_daemon: [Kernel];
    a_duration_ends_it: [Kernel];
    sums_of_datagrams_and_bytes_are_stored_up_to_an_orderly_stop: [Kernel];
    sums_of_more_flows_than_fit_into_the_ring_are_stored_at_an_orderly_stop: [Kernel];
    what_nobody_recorded_after_a_kill_is_a_loss_row: [Kernel];
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

/// Makes 20,000 opens, which fit into the half of the ring that anyone may fill, and sends the signal right after the last.
fn stop_after_opens(uid: u32, signal: Signal) -> (Agent, String) {
    let mut agent = only(uid).set("ebpf.data_ring", "\"16MiB\"").start();
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

/// Detaching takes longer than a host may take to stop, as with many functions on a slow machine. The agent is paused, so
/// that the records are still in the ring when it is stopped.
fn a_stop_reads_everything_before_it_detaches() {
    const COUNT: usize = 10_000;
    for pin in ["false", "\"auto\""] {
        let setup = only(9969).set("ebpf.pin", pin).set("ebpf.data_ring", "\"16MiB\"");
        let mut agent = setup.variable("DUETECTOR_FAULT_SLOW_DETACH", "500").start();
        let file = agent.scratch().file("file", "").display().to_string();
        agent.signal(Signal::SIGSTOP);
        generate(9969, &["open", &file, "--count", &COUNT.to_string()]);
        agent.signal(Signal::SIGTERM);
        agent.signal(Signal::SIGCONT);
        let ended = agent.wait();
        assert!(ended.status.success(), "ended with {}:\n{}", ended.status, ended.stderr);
        let rows = agent.store().query("open", &[&format!("fname={file}"), "uid != 0"]).len();
        assert_eq!(rows, COUNT, "pin = {pin}");
        agent.store().assert_conserved_to_the_row();
        assert!(!ended.stderr.contains("removing a pin"), "two remove the pins:\n{}", ended.stderr);
        // Without pins the host itself detaches, after it has closed the accounts.
        assert!(pin == "false" || !ended.stderr.contains("abandoned"), "{}", ended.stderr);
    }
}

fn what_a_host_that_hangs_at_the_stop_has_not_read_is_read_by_the_next() {
    let scratch = tests::Scratch::new();
    let file = scratch.file("file", "").display().to_string();
    let setup = || only(9968).workdir(scratch.path().join("work"));
    let mut agent = setup().variable("DUETECTOR_FAULT_HANG_AT_STOP", "1").start();
    agent.signal(Signal::SIGTERM);
    until("the host hangs", SOON, || agent.stderr().contains("hanging at the stop").then_some(()));
    generate(9968, &["open", &file, "--count", "23"]);
    let ended = agent.wait();
    assert!(ended.stderr.contains("they stay there for the next start"), "{}", ended.stderr);
    let next = setup().start();
    assert_eq!(next.actor("ebpf")["state"]["pin"]["adopted"], true);
    let next = next.finish_run();
    assert_eq!(next.store().query("open", &[&format!("fname={file}"), "uid != 0"]).len(), 23);
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
    after_kill_9_mid_storm(|setup| setup);
    after_kill_9_mid_storm(Setup::duetector_layout);
}

fn after_kill_9_mid_storm(with_store: fn(Setup) -> Setup) {
    let scratch = tests::Scratch::new();
    let work = scratch.path().join("work");
    let file = scratch.file("file", "");
    // Suite `seam` has the kills of agents that pin.
    let unpinned = || with_store(only(9976).set("ebpf.pin", "false").workdir(&work));
    let mut agent = unpinned().start();
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

    let agent = unpinned().start();
    generate(9976, &["open", file.to_str().unwrap(), "--count", "23"]);
    let agent = agent.finish_run();
    let after = agent.store().account("open");
    assert_eq!((after.count, after.seen, after.stored), (open.count + 23, 23, 23));
}

/// A flow of datagrams and a file's use are summed up in the kernel; neither has ended when the agent is stopped.
fn sums_of_datagrams_and_bytes_are_stored_up_to_an_orderly_stop() {
    const TIMES: u64 = 1000;
    let mut agent = Setup::new().set("ebpf.uids", "[0]").set("ebpf.usage_interval", "\"1h\"").start();
    let path = agent.scratch().file("written", "");
    let (receiver, sender) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    let mut file = File::create(&path).unwrap();
    for _ in 0..TIMES {
        sender.send(&[7; 100]).unwrap();
        file.write_all(&[7; 8]).unwrap();
    }
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    let own = std::process::id();
    let sum = |tracer: &str, filter: &str, field: &str| -> u64 {
        let rows = agent.store().query(tracer, &[&format!("pid == {own} && {filter}")]);
        rows.iter().filter_map(|row| row["extended"][field].as_u64()).sum()
    };
    assert_eq!(
        (sum("udp", "true", "datagrams_sent"), sum("udp", "true", "bytes_sent")),
        (TIMES, 100 * TIMES),
        "datagrams"
    );
    let of_file = format!("fname == {path:?}");
    assert_eq!(
        (sum("usage", &of_file, "calls_written"), sum("usage", &of_file, "bytes_written")),
        (TIMES, 8 * TIMES),
        "uses of the file"
    );
    assert_eq!(agent.store().account("udp").lost_total(), 0);
}

fn sums_of_more_flows_than_fit_into_the_ring_are_stored_at_an_orderly_stop() {
    // About 1 MB of sums, and at a time less than a quarter of the ring of first datagrams.
    const FLOWS: u16 = 4000;
    const AT_A_TIME: u16 = 400;
    let mut agent = Setup::new().set("ebpf.uids", "[0]").set("ebpf.data_ring", "\"512KiB\"").start();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..FLOWS {
        let [high, low] = number.to_be_bytes();
        // Nobody listens there, which the next call may say.
        let _ = sender.send_to(&[7; 10], (Ipv4Addr::new(127, 1, high, low), 9));
        if number % AT_A_TIME == AT_A_TIME - 1 {
            agent.until_settled("udp", usize::from(number));
        }
    }
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    let of_own = format!("pid == {} && datagrams_sent == 1", std::process::id());
    let udp = agent.store().account("udp");
    assert_eq!(udp.lost_total(), 0, "{udp:?}");
    assert_eq!(agent.store().query("udp", &[&of_own]).len(), usize::from(FLOWS));
}

/// Returns the `loss` rows whose cause says that nothing recorded.
fn gaps(store: &Store) -> Vec<Value> {
    let mut rows = store.query("loss", &[]);
    rows.retain(|row| row["extended"]["cause"].as_str().unwrap().contains("nothing recorded"));
    rows
}

fn what_nobody_recorded_after_a_kill_is_a_loss_row() {
    let scratch = tests::Scratch::new();
    let work = scratch.path().join("work");
    let setup = || only(9975).set("ebpf.pin", "false").workdir(&work);
    let file = scratch.file("file", "");
    let mut agent = setup().start();
    generate(9975, &["open", file.to_str().unwrap(), "--count", "23"]);
    wait_for_stored(&agent, 23);
    let before = local_now();
    agent.signal(Signal::SIGKILL);
    agent.wait();
    generate(9975, &["open", file.to_str().unwrap(), "--count", "10"]);
    let agent = setup().start();
    let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(shown.contains("events are missing") && shown.contains("open"), "{shown}");
    let agent = agent.finish_run();
    let found = gaps(agent.store());
    for tracer in ["open", "exec", "usage", "udp"] {
        let of_it: Vec<_> = found.iter().filter(|row| row["extended"]["lost_tracer"] == tracer).collect();
        assert_eq!(of_it.len(), 1, "{tracer}: {found:?}");
        let at = |key: &str| of_it[0]["extended"][key].as_str().unwrap();
        // The store wrote last within a flush interval or so before the kill.
        assert!(
            at("from") < at("to") && at("from") <= &before[..] && of_it[0]["count"].is_null(),
            "{}",
            of_it[0]
        );
    }
    // That stop was orderly, and so is the next.
    let agent = setup().start();
    let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(!shown.contains("events are missing"), "{shown}");
    let agent = agent.finish_run();
    assert_eq!(gaps(agent.store()).len(), found.len(), "an orderly stop leaves no gap");
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
