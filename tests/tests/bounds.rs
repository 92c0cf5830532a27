//! Attacks on memory and disk by a user who is watched: each ends at a bound, and the bound is reported.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use tests::workload::{PYTHON, python};
use tests::{Scratch, Setup, suite, until};

const SOON: Duration = Duration::from_secs(60);

/// The budget for the agent's memory in any storm, with default settings, in MiB: 128 for the agent as it is packaged. The code of the
/// one under test, which is compiled fast and not optimised, takes 8 more.
const PEAK_MIB: u64 = 128 + 8;

const ATTACKER: u32 = 9961;
const QUIET: u32 = 9962;

suite! {
    threads: 1;
    deep_folders_with_invalid_names_take_bounded_memory: [Kernel, Python];
    refused_renames_take_bounded_room_in_the_store: [Kernel, Python];
    long_texts_of_many_tracers_take_bounded_memory: [Kernel, Python];
    fields_of_a_template_take_bounded_memory: [Root, Python]
}

/// Goes down a path of some 5,800 bytes that are no UTF-8. Then makes a process that renames the path's first folder, so that
/// no other process had the same path, and changes between 64 folders at its end.
const DEEP: &str = r#"
import os, sys
process = int(sys.argv[1])
name = b"\xff" * 240
top = os.getcwdb()
def enter(name):
    if not os.path.isdir(name):
        os.mkdir(name)
    os.chdir(name)
enter(b"%d" % process)
for depth in range(23):
    enter(name)
leaves = [b"%02d" % number for number in range(64)]
for leaf in leaves:
    os.makedirs(leaf, exist_ok=True)
os.chdir(leaves[0])
child = os.fork()
if child == 0:
    os.rename(b"%s/%d" % (top, process), b"%s/%d" % (top, process + 1))
    for leaf in leaves:
        os.chdir(b"../" + leaf)
    os._exit(0)
os.waitpid(child, 0)
"#;

/// Processes, one after the other: the changes of one, of 6 KB each, fit into the half of the ring that anyone may fill. In all,
/// the exact bytes of the folders are some 38 MB; five times as much is needed to keep the text form too.
const PROCESSES: usize = 96;

fn quiet_exec(folder: &Path) {
    python(QUIET, folder, "import os, subprocess; os.chdir('/usr'); subprocess.run('/bin/true')", &[]);
}

fn deep_folders_with_invalid_names_take_bounded_memory() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("deep");
    quiet_exec(&folder);
    for process in 0..PROCESSES {
        python(ATTACKER, &folder, DEEP, &[&process.to_string()]);
        agent.until_settled("exit", (process + 1) * 2);
    }
    quiet_exec(&folder);
    agent.until_settled("exit", PROCESSES * 2 + 2);
    let host = agent.actor("ebpf")["state"].clone();
    let peak = agent.peak_mib();
    let agent = agent.finish_run();
    assert!(peak <= PEAK_MIB, "{peak} MiB resident at the peak");
    let table = &host["table"];
    assert_eq!(host["lifecycle_lost"], 0, "the table did not get everything");
    assert!(table["dropped_changes"].as_u64() > Some(0), "{table}");
    assert!(table["bytes"].as_u64() <= table["limit"].as_u64(), "{table}");
    // The others' rows are as complete as ever.
    let execs = agent.store().query("exec", &[&format!("uid={QUIET}"), "comm=true"]);
    assert_eq!(execs.len(), 2);
    assert!(execs.iter().all(|row| row["cwd"] == "/usr"), "{execs:?}");
}

/// Makes calls that are refused, with two paths of 4 KB that are no UTF-8.
const RENAMES: &str = r#"
import ctypes, sys
libc = ctypes.CDLL(None)
first, second = [(name * 250 + b"/") * 16 for name in (b"\xff", b"\xfe")]
for call in range(int(sys.argv[1])):
    assert libc.renameat2(-100, first, -100, second, 0) == -1
"#;

/// Calls between two waits: their records, of 8 KB each, fit into the half of the ring that anyone may fill.
const AT_ONCE: usize = 250;
const ROUNDS: usize = 16;
const RENAMED: usize = AT_ONCE * ROUNDS;

/// The size of the SQLite file with its log.
fn stored_bytes(database: &Path) -> u64 {
    let size = |path: &str| fs::metadata(path).map_or(0, |file| file.len());
    let path = database.to_str().unwrap();
    size(path) + size(&format!("{path}-wal"))
}

fn refused_renames_take_bounded_room_in_the_store() {
    // Rows of other processes would be in the same file.
    let agent = Setup::new().set("ebpf.uids", &format!("[{ATTACKER}]")).start();
    let folder = agent.scratch().folder("renames");
    for round in 1..=ROUNDS {
        python(ATTACKER, &folder, RENAMES, &[&AT_ONCE.to_string()]);
        agent.until_settled("rename", AT_ONCE * round);
    }
    let peak = agent.peak_mib();
    let agent = agent.finish_run();
    let rows = agent.store().query("rename", &[&format!("uid={ATTACKER}")]);
    assert_eq!(rows.len(), RENAMED);
    let a_row = stored_bytes(&agent.store().database()) / RENAMED as u64;
    assert!(a_row <= 8 << 10, "{a_row} bytes a row");
    assert!(peak <= PEAK_MIB, "{peak} MiB resident at the peak");
    for row in [&rows[0], &rows[RENAMED - 1]] {
        let extended = &row["extended"];
        let names = extended["texts_cut"].as_array().unwrap();
        assert!(names.contains(&"fname".into()) && names.contains(&"new_path".into()), "{extended}");
        assert_eq!(extended["fname_bytes"].as_str().map(str::len), Some(2 * 512), "exact, and once");
        assert_eq!(extended["errno"], "ENOENT");
    }
}

/// Makes refused calls of many tracers, with the longest texts that the kernel takes, from a deep folder.
const FLOOD: &str = r#"
import os, sys
name = b"\xff" * 240
for depth in range(23):
    os.mkdir(name); os.chdir(name)
long = (b"\xfe" * 250 + b"/") * 16
calls = [
    lambda: os.open(long, os.O_RDONLY), lambda: os.rename(long, long), lambda: os.mkdir(long),
    lambda: os.unlink(long), lambda: os.link(long, long), lambda: os.symlink(long, long),
    lambda: os.truncate(long, 0), lambda: os.chmod(long, 0), lambda: os.setxattr(long, b"user.a", b""),
    lambda: os.execv(long, [long]),
]
for _ in range(int(sys.argv[1])):
    for call in calls:
        try:
            call()
        except OSError:
            pass
"#;

fn long_texts_of_many_tracers_take_bounded_memory() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("flood");
    python(ATTACKER, &folder, FLOOD, &["2000"]);
    let peak = agent.peak_mib();
    assert!(agent.store().run(&["status"]).status.success(), "`status` fails after the flood");
    agent.finish();
    assert!(peak <= PEAK_MIB, "{peak} MiB resident at the peak");
}

/// Writes events without end, each of 18,000 fields in some 200 KB, and at first one that is longer than a user's line may be.
const FIELDS: &str = r#"
def event(count):
    fields = ",".join(f'"k{number}":0' for number in range(count))
    print('{"proto":"duetector","version":"0.1.0","type":"event","payload":{%s}}' % fields, flush=True)
event(200_000)
while True:
    event(18_000)
"#;

fn fields_of_a_template_take_bounded_memory() {
    let scratch = Scratch::new();
    let program = scratch.file("fields.py", FIELDS);
    let template = format!(
        "[tracer.template.sp.fields]\ncomm = [{PYTHON:?}, {:?}]\nuser = \"{ATTACKER}:{ATTACKER}\"\nkill_timeout = \"100ms\"\n",
        program.to_str().unwrap()
    );
    let config = scratch.file("config.toml", template);
    let setup = Setup::new().set("ebpf.disabled", "true").options(&["--config", config.to_str().unwrap()]);
    let agent = setup.start();
    until("some 20 MB of events are stored", SOON, || {
        (agent.tracer("fields")["stored"].as_u64()? >= 100).then_some(())
    });
    let peak = agent.peak_mib();
    let tracer = agent.tracer("fields");
    agent.finish();
    assert!(peak <= PEAK_MIB, "{peak} MiB resident at the peak");
    assert_eq!(tracer["detail"]["stdout"]["bad"]["too_long"], 1, "{tracer}");
}
