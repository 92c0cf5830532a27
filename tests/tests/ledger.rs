//! The usage ledger, end to end: sums over its rows are what was done, to the byte, whatever happens meanwhile.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::workload::{PYTHON, generate, generator, python};
use tests::{Agent, Scratch, Setup, Store, suite, until};

const SOON: Duration = Duration::from_secs(60);

suite! {
    threads: 1;
    four_threads_at_full_speed_are_counted_to_the_byte: [Kernel];
    an_agent_killed_meanwhile_misses_and_doubles_nothing: [Kernel];
    long_paths_of_many_files_are_whole: [Kernel, Python];
    long_paths_of_one_user_leave_room_for_others: [Kernel, Python];
    files_of_other_kinds_have_no_rows: [Kernel, Python]
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

/// Reads each of so many files of a folder, which stay open until standard input ends.
const READS: &str = "
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
for file in [os.open(f'{number:04}', os.O_RDONLY) for number in range(int(sys.argv[1]))]:
    assert os.read(file, 1) == b'x'
print('done', flush=True)
sys.stdin.read()
";

/// Makes a folder with so many files, whose paths have that length.
fn deep_files(folder: &Path, count: usize, length: usize) -> PathBuf {
    const NAME: usize = 4;
    let mut folder = folder.to_owned();
    loop {
        // A name has up to 255 bytes, and one byte must be left for the last.
        let missing = length - NAME - 1 - folder.as_os_str().len();
        if missing == 0 {
            break;
        }
        folder.push("d".repeat(if missing > 202 { 200 } else { missing - 1 }));
    }
    fs::create_dir_all(&folder).unwrap();
    for number in 0..count {
        fs::write(folder.join(format!("{number:04}")), "x").unwrap();
    }
    folder
}

/// Starts a process that has read the files of a folder and keeps them open.
fn reader(uid: u32, folder: &Path, count: usize) -> Child {
    let mut command = Command::new(PYTHON);
    command.args(["-c", READS, &count.to_string()]).current_dir(folder).uid(uid).gid(uid);
    let mut reader = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(reader.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "done\n");
    reader
}

fn end(mut reader: Child) {
    drop(reader.stdin.take());
    assert!(reader.wait().unwrap().success());
}

/// Returns how many of a user's rows of such files have the whole path, and how many only its end.
fn whole_and_cut(store: &Store, uid: u32, folder: &Path) -> (usize, usize) {
    let rows = store.query("usage", &[&format!("uid={uid}")]);
    let is_deep = |name: &str| name.rsplit_once('/').is_some_and(|(folder, _)| folder.ends_with("dd"));
    let of = |row: &&Value| row["fname"].as_str().is_some_and(is_deep);
    let (cut, whole): (Vec<&Value>, Vec<&Value>) =
        rows.iter().filter(of).partition(|row| row["extended"]["path_incomplete"] == true);
    assert!(whole.iter().all(|row| Path::new(row["fname"].as_str().unwrap()).parent() == Some(folder)));
    (whole.len(), cut.len())
}

fn long_paths_of_many_files_are_whole() {
    const COUNT: usize = 2_500;
    let agent = setup(9973).set("ebpf.usage_interval", "\"1h\"").start();
    let folder = deep_files(agent.scratch().path(), COUNT, 741);
    end(reader(9973, &folder, COUNT));
    until("some rows are stored", SOON, || (whole_and_cut(agent.store(), 9973, &folder).0 > 0).then_some(()));
    let cut = agent.actor("ebpf")["state"]["usage_paths_cut"].clone();
    let agent = agent.finish();
    assert_eq!(whole_and_cut(agent.store(), 9973, &folder), (COUNT, 0));
    assert_eq!(cut, 0);
    assert_eq!(agent.store().account("usage").lost_total(), 0);
}

fn long_paths_of_one_user_leave_room_for_others() {
    // Fewer files than half of the ledger's entries, but their paths need more than its parts.
    const COUNT: usize = 100;
    let uids = Setup::new().set("ebpf.uids", "[9974, 9975]").set("ebpf.usage_map", "256");
    let agent = uids.set("ebpf.usage_interval", "\"1h\"").start();
    let folder = deep_files(agent.scratch().path(), COUNT, 3_800);
    let flood = reader(9974, &folder, COUNT);
    end(reader(9975, &folder, 1));
    end(flood);
    until("all rows are stored", SOON, || {
        let (whole, cut) = whole_and_cut(agent.store(), 9974, &folder);
        (whole + cut == COUNT).then_some(())
    });
    let counted = agent.actor("ebpf")["state"]["usage_paths_cut"].clone();
    let agent = agent.finish();
    let (_, cut) = whole_and_cut(agent.store(), 9974, &folder);
    assert!((30..COUNT - 30).contains(&cut), "{cut}");
    assert_eq!(whole_and_cut(agent.store(), 9975, &folder), (1, 0));
    assert_eq!(counted, cut);
    agent.store().assert_conserved();
}

fn files_of_other_kinds_have_no_rows() {
    const SCRIPT: &str = "
import ctypes, os, struct
libc = ctypes.CDLL(None)
events = libc.eventfd(0, 0)
os.write(events, struct.pack('Q', 7)); assert os.read(events, 8) == struct.pack('Q', 7)
terminal, other = os.openpty()
os.write(terminal, b'x\\n'); assert os.read(other, 9) == b'x\\n'
pipe = os.pipe()
os.write(pipe[1], b'known')
";
    for (files, terminals) in [("[\"regular\", \"pipe\"]", 0), ("[\"char\", \"pipe\"]", 2)] {
        let agent = setup(9976).set("ebpf.usage_files", files).start();
        python(9976, agent.scratch().path(), SCRIPT, &[]);
        let agent = agent.finish();
        let rows = agent.store().query("usage", &["uid=9976"]);
        let count = |start: &str| {
            rows.iter()
                .filter(|row| row["fname"].as_str().is_some_and(|path| path.starts_with(start)))
                .count()
        };
        assert_eq!((count("pipe:"), count("anon_inode:"), count("/dev/p")), (1, 0, terminals), "{rows:?}");
    }
}
