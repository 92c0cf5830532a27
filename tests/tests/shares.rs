//! Attacks on what the kernel side remembers until it ends: one user's requests, connections, flows and files leave room
//! for those of others, and what ended unseen makes room.
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

const ATTACKER: u32 = 9963;
const QUIET: u32 = 9964;

suite! {
    threads: 1;
    flows_of_one_user_leave_room_for_others: [Kernel, Python];
    connects_of_one_user_leave_room_for_others: [Kernel, Python];
    connections_of_one_user_leave_room_for_others: [Kernel, Python];
    connections_that_ended_unseen_are_forgotten_and_old_ones_are_not: [Kernel, Python];
    requests_that_wait_leave_room_for_others: [Kernel, Python, Uring];
    requests_without_completions_give_their_room_back: [Kernel, Python, Uring];
    files_of_one_user_leave_room_in_the_ledger: [Kernel, Python]
}

/// Cause in a `loss` row when a request or connection ended and nobody saw it.
const STALE: &str = "the end of a request or connection was not seen";

/// Returns how many of the tracer's records were lost for that cause, so far.
fn lost(agent: &Agent, tracer: &str, cause: &str) -> u64 {
    let losses = agent.store().query("loss", &[]);
    let own = losses
        .iter()
        .filter(|row| row["extended"]["lost_tracer"] == tracer && row["extended"]["cause"] == cause);
    own.map(|row| row["count"].as_u64().unwrap()).sum()
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

/// A script that has done its work and keeps what it holds.
struct Held {
    process: Child,
    /// The line that it printed then.
    ready: String,
}

impl Held {
    fn start(uid: u32, folder: &Path, script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(PYTHON);
        command.args(["-c", script]).args(arguments).current_dir(folder).uid(uid).gid(uid);
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
    // A first datagram of each flow finds room at once, however slow the agent is.
    let agent = Setup::new().set("ebpf.data_ring", "\"32MiB\"").start();
    let folder = agent.scratch().folder("flows");
    python(ATTACKER, &folder, DATAGRAMS, &[&FLOWS.to_string()]);
    python(QUIET, &folder, DATAGRAMS, &["0", "10", "11", "12"]);
    agent.until_settled("udp", FLOWS);
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
    let attacker = Held::start(ATTACKER, &folder, CONNECTS, &[CONNECTING]);
    let connect = "
import select, socket, sys
peer = socket.socket()
peer.setblocking(False)
peer.connect_ex(('127.0.0.1', int(sys.argv[1])))
select.select([], [peer], [], 10)
";
    python(QUIET, &folder, connect, &[&attacker.ready]);
    attacker.end();
    agent.until_settled("connect", 9000);
    let agent = finish_crowded(agent, "connect");
    let rows = agent.store().query("connect", &[&format!("uid={QUIET}")]);
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["ret"], &rows[0]["extended"]["nonblocking"]), (&0.into(), &true.into()));
}

/// Makes requests of io_uring: folders; or with `hold` opens of a pipe that nobody reads, which wait until the process
/// ends; or with `skip` such opens whose success is not reported, and that succeed.
const REQUESTS: &str = r#"
import ctypes, mmap, os, resource, struct, sys
count, holds, skips = int(sys.argv[1]), sys.argv[2] != "no", sys.argv[2] == "skip"
MKDIRAT, OPENAT, ASYNC, SKIP, GETEVENTS = 37, 18, 16, 64, 1
libc = ctypes.CDLL(None, use_errno=True)
parameters = ctypes.create_string_buffer(120)
ring = libc.syscall(425, 64, parameters)
assert ring >= 0, ctypes.get_errno()
words = struct.unpack("30I", parameters.raw)
tail, array = words[11], words[16]
queue = mmap.mmap(ring, array + 4 * 64, offset=0)
entries = mmap.mmap(ring, 64 * 64, offset=0x10000000)
if holds:
    os.path.exists("pipe") or os.mkfifo("pipe")
    opcode, flags, mode, open_flags = OPENAT, ASYNC | skips * SKIP, 0, os.O_WRONLY
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
if skips:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100,) * 2)
    reader = os.open("pipe", os.O_RDONLY)
    while len(os.listdir("/proc/self/fd")) < count:
        pass
print("done", flush=True)
if holds:
    sys.stdin.read()
"#;

/// More requests than the kernel side remembers, of both sizes.
const REQUESTED: &str = "5400";

fn requests_that_wait_leave_room_for_others() {
    let agent = Setup::new().start();
    let (waiting, made) = (agent.scratch().folder("waiting"), agent.scratch().folder("made"));
    let attacker = Held::start(ATTACKER, &waiting, REQUESTS, &[REQUESTED, "hold"]);
    python(QUIET, &made, REQUESTS, &["3", "no"]);
    attacker.end();
    agent.until_settled("mkdir", 3);
    let agent = finish_crowded(agent, "open");
    let rows = agent.store().query("mkdir", &[&format!("uid={QUIET}")]);
    let made: Vec<_> = rows.iter().filter(|row| row["extended"]["via"][0] == "io_uring").collect();
    assert_eq!(made.len(), 3, "{rows:?}");
}

/// Holds a number of connections to itself.
const CONNECTIONS: &str = "
import resource, socket, sys
count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count + 100,) * 2)
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(64)
held = []
for number in range(count):
    held += [socket.create_connection(server.getsockname()), server.accept()[0]]
held[0].send(b'seven..')
print(held[1].recv(100), flush=True)
sys.stdin.read()
";

/// Two processes with that many connections take, with both of their ends, more than half of the room.
const CONNECTED: &str = "8500";
const HALF: u64 = 32_768;

/// A ring that has room for the ends of all connections at once.
fn with_large_ring() -> Setup {
    Setup::new().set("tracer.accept.disabled", "true").set("ebpf.data_ring", "\"64MiB\"")
}

/// Returns the bytes that each end of the user's connections had received.
fn received(agent: &Agent, uid: u32) -> Vec<u64> {
    let rows = agent.store().query("close", &[&format!("uid={uid}")]);
    rows.iter().map(|row| row["extended"]["bytes_received"].as_u64().unwrap()).collect()
}

fn connections_of_one_user_leave_room_for_others() {
    let agent = with_large_ring().start();
    let folder = agent.scratch().folder("connections");
    let attackers = [(); 2].map(|()| Held::start(ATTACKER, &folder, CONNECTIONS, &[CONNECTED]));
    Held::start(QUIET, &folder, CONNECTIONS, &["3"]).end();
    attackers.into_iter().for_each(Held::end);
    agent.until_settled("close", 34_000);
    let agent = finish_crowded(agent, "close");
    let connects = agent.store().query("connect", &[&format!("uid={QUIET}"), "ret=0"]);
    assert_eq!((connects.len(), received(&agent, QUIET).len()), (3, 6));
    assert_eq!(received(&agent, QUIET).iter().sum::<u64>(), 7);
}

fn connections_that_ended_unseen_are_forgotten_and_old_ones_are_not() {
    let agent = with_large_ring().set("ebpf.end_within", "\"1s\"").start();
    let folder = agent.scratch().folder("connections");
    let old = Held::start(QUIET, &folder, CONNECTIONS, &["1"]);
    let hold = || [(); 2].map(|()| Held::start(ATTACKER, &folder, CONNECTIONS, &[CONNECTED]));
    let attackers = hold();
    let switch = |action| assert!(agent.store().run(&["tracers", action, "close"]).status.success());
    switch("disable");
    attackers.into_iter().for_each(Held::end);
    switch("enable");
    until("what ended unseen is forgotten", SOON, || {
        hold().into_iter().for_each(Held::end);
        (lost(&agent, "close", STALE) >= HALF - 10).then_some(())
    });
    old.end();
    agent.until_settled("close", 34_000);
    let agent = agent.finish_run();
    assert_eq!(received(&agent, QUIET).iter().sum::<u64>(), 7, "of a connection older than `end_within`");
    assert!(lost(&agent, "close", STALE) <= HALF + 10, "connections that were there were forgotten");
}

fn requests_without_completions_give_their_room_back() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("requests");
    Held::start(ATTACKER, &folder, REQUESTS, &[REQUESTED, "skip"]).end();
    python(ATTACKER, &agent.scratch().folder("made"), REQUESTS, &["3", "no"]);
    agent.until_settled("mkdir", 3);
    let agent = finish_crowded(agent, "open");
    let rows = |tracer: &str| {
        let rows = agent.store().query(tracer, &[&format!("uid={ATTACKER}")]);
        rows.iter().filter(|row| row["extended"]["via"][0] == "io_uring").count()
    };
    assert_eq!(rows("mkdir"), 3);
    let opens = rows("open") as u64;
    assert_eq!((opens + lost(&agent, "open", CROWDED)).to_string(), REQUESTED, "{opens} have rows");
    assert!(opens > 1_000, "{opens}");
}

/// Reads the first byte of each of so many files, which stay open; or each byte of one file by itself.
const READS: &str = "
import os, sys
count, size = int(sys.argv[1]), int(sys.argv[2])
files = [os.open(f'{number}', os.O_RDONLY) for number in range(count)]
for file in files:
    for byte in range(size):
        assert len(os.read(file, 1)) == 1
print('done', flush=True)
sys.stdin.read()
";

/// Entries of the ledger, and more files than that.
const ENTRIES: &str = "256";
const FILES: u32 = 400;
const BYTES: u64 = 1000;

/// Returns the calls that read a file of the folder, and the number of rows that have them.
fn reads(agent: &Agent, uid: u32, folder: &Path) -> (u64, usize) {
    let rows = agent.store().query("usage", &[&format!("uid={uid}")]);
    let own: Vec<_> = rows
        .iter()
        .filter(|row| row["fname"].as_str().is_some_and(|name| Path::new(name).starts_with(folder)))
        .collect();
    (own.iter().filter_map(|row| row["extended"]["calls_read"].as_u64()).sum(), own.len())
}

fn files_of_one_user_leave_room_in_the_ledger() {
    let uids = format!("[{ATTACKER}, {QUIET}]");
    let setup = Setup::new().set("ebpf.uids", &uids).set("ebpf.usage_map", ENTRIES);
    let agent = setup.set("ebpf.usage_interval", "\"1h\"").start();
    let folder = agent.scratch().folder("files");
    for number in 0..FILES {
        fs::write(folder.join(number.to_string()), vec![b'x'; BYTES as usize]).unwrap();
    }
    // Twice: what the first took is given back.
    for round in 1..=2 {
        let attacker = Held::start(ATTACKER, &folder, READS, &[&FILES.to_string(), "1"]);
        Held::start(QUIET, &folder, READS, &["1", &BYTES.to_string()]).end();
        attacker.end();
        until("the usage is stored", SOON, || {
            (reads(&agent, QUIET, &folder).0 >= round * BYTES).then_some(())
        });
    }
    let agent = agent.finish();
    assert_eq!(
        reads(&agent, QUIET, &folder),
        (2 * BYTES, 2),
        "a row for each process, and not for each call"
    );
    let (calls, rows) = reads(&agent, ATTACKER, &folder);
    assert_eq!((calls, rows), (u64::from(2 * FILES), 2 * FILES as usize), "exact for the attacker, too");
    assert_eq!(agent.store().account("usage").lost_total(), 0);
}
