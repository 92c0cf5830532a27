//! Processes that share their descriptors with others, more of one user than the kernel side has room for: rows of other users stay
//! as they are.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::Details;

use crate::Test;
use crate::support::{DATA_RING, ENTRIES, Kernel, decode, tier};

pub const TESTS: &[Test] = &[
    ("sharing_by_one_user_leaves_others_rows_certain", crowd),
    ("sharing_of_before_is_found_at_the_start", before),
];

/// Users that nobody else on the machine is.
const CROWD: u32 = 64_981;
const QUIET: u32 = 64_982;
/// Processes that the kernel side has room for, and that share their descriptors.
const ROOM: u32 = 64;
const SHARING: &str = "40";

/// Makes children that share its descriptors, and one with its own, which sends a signal by a descriptor; prints who that was.
const PROGRAM: &str = "
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
CLONE = {'x86_64': 56, 'aarch64': 220}[os.uname().machine]
children = []
for _ in range(int(sys.argv[1])):
    children.append(libc.syscall(CLONE, 0x400 | signal.SIGCHLD, 0, 0, 0, 0))
    assert children[-1] >= 0
    while not children[-1]:
        signal.pause()
other = os.fork()
if not other:
    own = os.pidfd_open(os.getpid())
    os._exit(libc.syscall(424, own, 0, None, 0))
assert os.waitpid(other, 0)[1] == 0
print(other, flush=True)
sys.stdin.readline()
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
";

/// Starts the program; returns it, and the process that sent the signal.
fn start(user: u32, sharing: &str) -> anyhow::Result<(std::process::Child, u32)> {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-B", "-I", "-S", "-c", PROGRAM, sharing]).uid(user).gid(user).current_dir("/");
    let mut child = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
    Ok((child, line.trim().parse()?))
}

/// Returns whether the row of the signal is unverified.
fn is_unverified(kernel: &mut Kernel, pid: u32) -> anyhow::Result<bool> {
    let rows = kernel.wait_for(pid, Kind::Kill, 1)?;
    ensure!(rows.len() == 1, "{} rows", rows.len());
    let record = decode(Kind::Kill, &rows[0])?;
    ensure!(matches!(&record.details, Details::Act(act) if act.call == "pidfd_send_signal"), "{record:?}");
    Ok(record.identity.context("no identity")?.unverified)
}

fn crowd() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    kernel.set(|settings| settings.meddled_room = ROOM)?;
    let before = kernel.refused_marks()?;
    let (mut crowd, marked) = start(CROWD, SHARING)?;
    let refused = kernel.refused_marks()? - before;
    // Its part is half of the room; who has more than a 64th of it then gets nothing.
    ensure!(refused >= 40 - u64::from(ROOM / 2), "{refused} processes found no room");
    let (mut quiet, certain) = start(QUIET, "0")?;
    ensure!(is_unverified(&mut kernel, marked)?, "a row of the user with many such processes is not marked");
    ensure!(!is_unverified(&mut kernel, certain)?, "a row of another user is marked");
    ensure!(kernel.refused_marks()? - before == refused, "the other user was refused");
    for child in [&mut crowd, &mut quiet] {
        drop(child.stdin.take());
        ensure!(child.wait()?.success(), "the program failed");
    }
    for pid in [crowd.id(), quiet.id()] {
        kernel.wait_for(pid, Kind::Exit, 1)?;
    }
    let gone: Vec<_> = kernel.marked()?.into_iter().filter(|pid| !is_alive(*pid)).collect();
    ensure!(gone.is_empty(), "processes that ended have entries: {gone:?}");
    Ok(())
}

/// Processes share their descriptors before the programs are loaded: the list of processes that the agent reads at its start marks them.
fn before() -> anyhow::Result<()> {
    let (mut pair, _) = start(CROWD, "1")?;
    let (mut single, _) = start(QUIET, "0")?;
    let mut kernel = Kernel::start_on(tier(), DATA_RING, ENTRIES, |kind| kind == Kind::Kill)?;
    ensure!(!kernel.marked()?.contains(&pair.id()), "marked before the list was read");
    kernel.processes()?;
    let marked = kernel.marked()?;
    ensure!(marked.contains(&pair.id()) && !marked.contains(&single.id()), "{marked:?}");
    for child in [&mut pair, &mut single] {
        drop(child.stdin.take());
        ensure!(child.wait()?.success(), "the program failed");
    }
    Ok(())
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
