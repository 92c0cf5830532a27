//! The usage ledger, end to end: sums over its rows are what was done, to the byte, whatever happens meanwhile.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::workload::{generate, generator};
use tests::{Agent, Scratch, Setup, Store, suite, until};

const SOON: Duration = Duration::from_secs(60);

suite! {
    threads: 1;
    four_threads_at_full_speed_are_counted_to_the_byte: [Kernel];
    an_agent_killed_meanwhile_misses_and_doubles_nothing: [Kernel]
}

fn setup(uid: u32) -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{uid}]")).set("ebpf.usage_interval", "500ms")
}

/// Bytes and calls, and in how many rows, of what the generator did with the file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    read: (u64, u64),
    written: (u64, u64),
    rows: usize,
}

fn sums(store: &Store, file: &str) -> Sums {
    let mut sums = Sums::default();
    for row in store.query("usage", &[&format!("fname == {file:?}")]) {
        let number = |name: &str| row["extended"][name].as_u64().unwrap_or(0);
        sums.read = (sums.read.0 + number("bytes_read"), sums.read.1 + number("calls_read"));
        sums.written = (sums.written.0 + number("bytes_written"), sums.written.1 + number("calls_written"));
        sums.rows += 1;
    }
    sums
}

/// Users without rights write to it.
fn file_for_all(scratch: &Scratch) -> String {
    let file = scratch.file("bytes", "");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    file.to_str().unwrap().to_owned()
}

/// The first 8 bytes are one call.
fn assert_exact(sums: &Sums, done: u64) {
    assert_eq!((sums.read, sums.written), ((done, done), (done + 8, done + 1)), "{sums:?}");
}

fn four_threads_at_full_speed_are_counted_to_the_byte() {
    let agent = setup(9971).start();
    let file = file_for_all(agent.scratch());
    let calls = suite::share(5_000_000);
    let done = generate(9971, &["bytes", &file, "--threads", "4", "--calls", &calls.to_string()]);
    assert_eq!(done["count"], 4 * calls);
    let agent = agent.finish();
    let sums = sums(agent.store(), &file);
    assert_exact(&sums, 4 * calls);
    assert!(sums.rows > 4, "{sums:?}: it was never told meanwhile");
    assert_eq!(agent.store().account("usage").lost_total(), 0);
}

fn an_agent_killed_meanwhile_misses_and_doubles_nothing() {
    const KILLS: usize = 3;
    let scratch = Scratch::new();
    let work = scratch.path().join("work");
    let start = || setup(9972).workdir(&work).start();
    let mut agent = start();
    let file = file_for_all(&scratch);
    let mut load = generator(9972, &["bytes", &file, "--threads", "2", "--calls", "2000000"]);
    let mut load = load.stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..KILLS {
        let rows = agent.tracer("usage")["stored"].as_u64().unwrap_or(0);
        wait_for_more(&agent, rows);
        agent.signal(Signal::SIGKILL);
        agent.wait();
        agent = start();
    }
    assert!(load.wait().unwrap().success());
    let agent = agent.finish_run();
    assert_exact(&sums(agent.store(), &file), 4_000_000);
}

fn wait_for_more(agent: &Agent, than: u64) {
    until("rows are stored", SOON, || {
        (agent.tracer("usage")["stored"].as_u64().unwrap_or(0) > than).then_some(())
    });
}
