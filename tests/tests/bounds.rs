//! Attacks on memory and disk by a user who is watched: each ends at a bound, and the bound is reported.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::workload::{PYTHON, python};
use tests::{Agent, Setup, suite, until};

const SOON: Duration = Duration::from_secs(60);

/// The budget for the agent's memory in any storm, with default settings.
const PEAK_MIB: u64 = 128;

const ATTACKER: u32 = 9961;
const QUIET: u32 = 9962;

suite! {
    threads: 1;
    deep_folders_with_invalid_names_take_bounded_memory: [Kernel, Python];
    refused_renames_take_bounded_room_in_the_store: [Kernel, Python];
    long_texts_of_many_tracers_take_bounded_memory: [Kernel, Python];
    flows_of_one_user_leave_room_for_others: [Kernel, Python];
    connects_of_one_user_leave_room_for_others: [Kernel, Python];
    requests_that_wait_leave_room_for_others: [Kernel, Python]
}

/// Goes down a path of some 5,800 bytes that are no UTF-8. Then makes processes that each rename the path's first folder,
/// so that no other process had the same path, and change between 64 folders at its end.
const DEEP: &str = r#"
import os, sys
first, count = int(sys.argv[1]), int(sys.argv[2])
name = b"\xff" * 240
top = os.getcwdb()
def enter(name):
    if not os.path.isdir(name):
        os.mkdir(name)
    os.chdir(name)
enter(b"%d" % first)
for depth in range(23):
    enter(name)
leaves = [b"%02d" % number for number in range(64)]
for leaf in leaves:
    os.makedirs(leaf, exist_ok=True)
os.chdir(leaves[0])
for process in range(first, first + count):
    child = os.fork()
    if child == 0:
        os.rename(b"%s/%d" % (top, process), b"%s/%d" % (top, process + 1))
        for leaf in leaves:
            os.chdir(b"../" + leaf)
        os._exit(0)
    os.waitpid(child, 0)
"#;

/// Processes of one round: their changes, of 6 KB each, fit into the ring.
const AT_ONCE: usize = 3;
/// In all, the exact bytes of the folders are some 38 MB; five times as much is needed to keep the text form too.
const ROUNDS: usize = 32;

fn settled(agent: &Agent, tracer: &str, seen: usize) {
    until("all records are settled", SOON, || {
        let tracer = agent.tracer(tracer);
        (tracer["seen"].as_u64()? >= seen as u64 && tracer["in_flight"] == 0).then_some(())
    });
}

fn quiet_exec(folder: &Path) {
    python(QUIET, folder, "import os, subprocess; os.chdir('/usr'); subprocess.run('/bin/true')", &[]);
}

fn deep_folders_with_invalid_names_take_bounded_memory() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("deep");
    quiet_exec(&folder);
    for round in 0..ROUNDS {
        let first = (round * AT_ONCE).to_string();
        python(ATTACKER, &folder, DEEP, &[&first, &AT_ONCE.to_string()]);
        settled(&agent, "exit", (round + 1) * (AT_ONCE + 1));
    }
    quiet_exec(&folder);
    settled(&agent, "exit", ROUNDS * (AT_ONCE + 1) + 2);
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

const RENAMED: usize = 500 * 8;

/// The size of the SQLite file with its log.
fn stored_bytes(database: &Path) -> u64 {
    let size = |path: &str| fs::metadata(path).map_or(0, |file| file.len());
    let path = database.to_str().unwrap();
    size(path) + size(&format!("{path}-wal"))
}

fn refused_renames_take_bounded_room_in_the_store() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("renames");
    for round in 1..=8 {
        python(ATTACKER, &folder, RENAMES, &["500"]);
        settled(&agent, "rename", 500 * round);
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

/// Cause in a `loss` row when a request, connection or flow could not be remembered.
const CROWDED: &str = "a request, connection or flow could not be remembered until its end";

/// Finishes the agent, and checks that the tracer's losses have their true cause.
fn finish_crowded(agent: Agent, tracer: &str) -> Agent {
    let agent = agent.finish();
    let losses = agent.store().query("loss", &[]);
    let own: Vec<_> = losses.iter().filter(|row| row["extended"]["lost_tracer"] == tracer).collect();
    assert!(own.iter().any(|row| row["extended"]["cause"] == CROWDED), "{losses:?}");
    assert!(own.iter().all(|row| row["extended"]["cause"] == CROWDED), "{losses:?}");
    agent
}

/// A script of the attacker that has done its work and keeps what it holds.
struct Held {
    process: Child,
    /// The line that it printed then.
    ready: String,
}

impl Held {
    fn start(folder: &Path, script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(PYTHON);
        command.args(["-c", script]).args(arguments).current_dir(folder).uid(ATTACKER).gid(ATTACKER);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        Self { process, ready: ready.trim().to_owned() }
    }

    fn end(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

/// Sends a number of datagrams to as many addresses, then each of those in the last arguments, three times.
const DATAGRAMS: &str = "
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def send(address):
    try:
        sender.sendto(b'x', address)
    except OSError:
        pass
for number in range(int(sys.argv[1])):
    send((f'127.{number >> 14 & 127}.{number >> 7 & 127}.{number & 127}', 9))
for repeat in range(3):
    for port in sys.argv[2:]:
        send(('127.0.0.1', int(port)))
";

/// More flows than the kernel side remembers.
const FLOWS: usize = 34_000;

fn flows_of_one_user_leave_room_for_others() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("flows");
    python(ATTACKER, &folder, DATAGRAMS, &[&FLOWS.to_string()]);
    python(QUIET, &folder, DATAGRAMS, &["0", "10", "11", "12"]);
    settled(&agent, "udp", FLOWS);
    let agent = finish_crowded(agent, "udp");
    let rows = agent.store().query("udp", &[&format!("uid={QUIET}")]);
    let sent = rows.iter().filter(|row| row["extended"]["direction"] == "sent").count();
    assert_eq!(sent, 3, "the first datagram of each flow, because the flow is remembered: {rows:?}");
}

/// Begins connects that have no outcome: the accept queue is full, so that the kernel drops the attempts.
const CONNECTS: &str = "
import resource, socket, sys
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100,) * 2)
full = socket.socket()
full.bind(('127.0.0.1', 0))
full.listen(0)
begun = []
for number in range(count):
    begun.append(socket.socket())
    begun[-1].setblocking(False)
    begun[-1].connect_ex(full.getsockname())
free = socket.socket()
free.bind(('127.0.0.1', 0))
free.listen(8)
print(free.getsockname()[1], flush=True)
sys.stdin.read()
";

/// More connects than a user may have while the kernel side's map is more than half full.
const CONNECTING: &str = "9000";

fn connects_of_one_user_leave_room_for_others() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("connects");
    let attacker = Held::start(&folder, CONNECTS, &[CONNECTING]);
    let connect = "
import select, socket, sys
peer = socket.socket()
peer.setblocking(False)
peer.connect_ex(('127.0.0.1', int(sys.argv[1])))
select.select([], [peer], [], 10)
";
    python(QUIET, &folder, connect, &[&attacker.ready]);
    attacker.end();
    settled(&agent, "connect", 9000);
    let agent = finish_crowded(agent, "connect");
    let rows = agent.store().query("connect", &[&format!("uid={QUIET}")]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["ret"], &rows[0]["extended"]["nonblocking"]), (&0.into(), &true.into()));
}

/// Makes requests of io_uring: folders; or with `hold` opens of a pipe that nobody reads, which wait until the process
/// ends.
const REQUESTS: &str = r#"
import ctypes, mmap, os, struct, sys
count, holds = int(sys.argv[1]), sys.argv[2] == "hold"
MKDIRAT, OPENAT, ASYNC, GETEVENTS = 37, 18, 16, 1
libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 64, parameters)
assert ring >= 0, ctypes.get_errno()
words = struct.unpack("30I", parameters.raw)
tail, array = words[11], words[16]
queue = mmap.mmap(ring, array + 4 * 64, offset=0)
entries = mmap.mmap(ring, 64 * 64, offset=0x10000000)
if holds:
    os.mkfifo("pipe")
    opcode, flags, mode, open_flags = OPENAT, ASYNC, 0, os.O_WRONLY
else:
    opcode, flags, mode, open_flags = MKDIRAT, 0, 0o700, 0
for number in range(count):
    name = ctypes.create_string_buffer(b"pipe" if holds else b"%d" % number)
    address = ctypes.addressof(name)
    entry = struct.pack("<BBHiQQIIQHHiQQ", opcode, flags, 0, -100, 0, address, mode, open_flags, 0, 0, 0, 0, 0, 0)
    slot = number % 64
    entries[slot * 64:slot * 64 + 64] = entry
    queue[array + 4 * slot:array + 4 * slot + 4] = struct.pack("I", slot)
    queue[tail:tail + 4] = struct.pack("I", number + 1)
    wait = 0 if holds else 1
    assert libc.syscall(426, ring, 1, wait, wait * GETEVENTS, None, 0) == 1, ctypes.get_errno()
print("done", flush=True)
if holds:
    sys.stdin.read()
"#;

/// More requests than the kernel side remembers, of both sizes.
const REQUESTED: &str = "5400";

fn requests_that_wait_leave_room_for_others() {
    if fs::read_to_string("/proc/sys/kernel/io_uring_disabled").is_ok_and(|value| value.trim() != "0") {
        return;
    }
    let agent = Setup::new().start();
    let (waiting, made) = (agent.scratch().folder("waiting"), agent.scratch().folder("made"));
    let attacker = Held::start(&waiting, REQUESTS, &[REQUESTED, "hold"]);
    python(QUIET, &made, REQUESTS, &["3", "no"]);
    attacker.end();
    settled(&agent, "mkdir", 3);
    let agent = finish_crowded(agent, "open");
    let rows = agent.store().query("mkdir", &[&format!("uid={QUIET}")]);
    let made: Vec<_> = rows.iter().filter(|row| row["extended"]["via"][0] == "io_uring").collect();
    assert_eq!(made.len(), 3, "{rows:?}");
}
