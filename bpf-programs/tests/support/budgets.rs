//! Budgets of owners in front of a ring that nobody reads, and who the owner of a record is.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::testing::{Header, Kind, LossCause, wait_for_programs};

use crate::Test;
use crate::connections::reported_of;
use crate::support::{ENTRIES, Kernel, tier};

pub const TESTS: &[Test] = &[
    ("a_flood_of_opens_leaves_room_for_a_quiet_user", flood),
    ("a_flood_does_not_hold_back_the_ends_of_flows", ends_of_flows),
    ("all_ids_of_a_user_namespace_have_one_owner", namespace),
    ("records_of_root_belong_to_its_cgroup", root),
];

/// Users that nobody else on the machine is.
const FLOODERS: [u32; 3] = [64_970, 64_971, 64_972];
const QUIET: u32 = 64_975;
/// First of the ids that a user may take in a namespace of his own, and how many there are.
const SUBORDINATE: (u32, u32) = (640_000, 64);
/// Bit of an owner that is a cgroup, as in `wire.h`.
const OF_CGROUP: u64 = 1 << 63;

/// Returns a command that runs a program of Python as this user.
fn python(user: u32, program: &str) -> Command {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-B", "-I", "-S", "-c", program]).uid(user).gid(user).current_dir("/");
    python
}

fn opens(count: usize) -> String {
    format!("import os\nfor _ in range({count}): os.close(os.open('/dev/null', 0))")
}

/// Opens of `/dev/null` as this user, in the ring.
fn kept(kernel: &Kernel, user: u32) -> usize {
    let headers = kernel.all(Kind::Open);
    headers.iter().filter_map(|bytes| Header::parse(bytes).ok()).filter(|header| header.euid == user).count()
}

/// While nothing reads the ring: users who flood share a part of it, and a quiet user finds room.
fn flood() -> anyhow::Result<()> {
    const MANY: usize = 6000;
    const FEW: usize = 10;
    const RING: u32 = 2 << 20;
    let mut kernel = Kernel::start_few(RING, ENTRIES)?;
    kernel.set(|settings| {
        settings.uids[..3].copy_from_slice(&FLOODERS);
        (settings.uids[3], settings.uid_count) = (QUIET, 4);
        settings.enabled = 1 << Kind::Open as u32;
    })?;
    // Other programs' opens before that.
    wait_for_programs()?;
    kernel.drain();
    let before = kernel.count(Kind::Open)?;
    let others = kernel.all(Kind::Open).len();
    for flooder in FLOODERS {
        ensure!(python(flooder, &opens(MANY)).status()?.success(), "the flood of {flooder} failed");
    }
    let mut quiet = Command::new("/usr/bin/cat");
    let quiet = quiet.args(["/dev/null"; FEW]).uid(QUIET).gid(QUIET).current_dir("/").env_clear();
    ensure!(quiet.status()?.success(), "the quiet user failed");
    kernel.set(|settings| settings.enabled = 0)?;
    kernel.drain();
    let count = kernel.count(Kind::Open)?;
    let over_budget = count.lost_for(LossCause::OverBudget);
    ensure!(over_budget > MANY as u64 && count.kept_out() == over_budget, "{count:?}");
    // The program opens files of its own, too.
    let quiet = kept(&kernel, QUIET);
    ensure!(quiet >= FEW, "{quiet} opens of the quiet user, {count:?}");
    let total: usize = FLOODERS.iter().map(|user| kept(&kernel, *user)).sum();
    let arrived = kernel.all(Kind::Open).len() - others;
    ensure!(total + quiet == arrived, "{total} {quiet} {arrived}");
    ensure!((count.seen - before.seen - over_budget) as usize == arrived, "{arrived} {count:?}");
    // The first fills half of the ring, and all share the next eighth.
    for flooder in FLOODERS {
        let kept = kept(&kernel, flooder);
        ensure!(kept > 0 && kept < MANY, "{kept} of {flooder}, {count:?}");
    }
    Ok(())
}

/// While nothing reads the ring and a flood has filled the part of it that is for everybody, a quiet user's flows end.
fn ends_of_flows() -> anyhow::Result<()> {
    const FLOWS: usize = 3;
    let script = "
import socket
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for part in ('127.1.0', '127.2.0'):
    for number in range(3):
        sender.sendto(b'x', (f'{part}.{number}', 9))
    print('sent', flush=True)
    input()
";
    let mut kernel =
        Kernel::start_on(tier(), 2 << 20, ENTRIES, |kind| matches!(kind, Kind::Open | Kind::Udp))?;
    kernel.set(|settings| {
        (settings.uids[0], settings.uids[1], settings.uid_count) = (FLOODERS[0], QUIET, 2);
        settings.enabled = 1 << Kind::Open as u32 | 1 << Kind::Udp as u32;
        settings.flow_idle_ms = u32::MAX;
    })?;
    let mut quiet = python(QUIET, script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(quiet.stdout.take().context("no output")?).lines();
    lines.next().context("no line")??;
    ensure!(python(FLOODERS[0], &opens(6000)).status()?.success(), "the flood failed");
    kernel.set(|settings| settings.flow_idle_ms = 1)?;
    let mut input = quiet.stdin.take().context("no input")?;
    input.write_all(b"\n")?;
    lines.next().context("no line")??;
    input.write_all(b"\n")?;
    ensure!(quiet.wait()?.success(), "the quiet user failed");
    let sockets = reported_of(&mut kernel, quiet.id(), Kind::Udp)?;
    let ended = sockets.iter().filter(|socket| socket.traffic.is_some()).count();
    ensure!(ended >= FLOWS, "{ended} flows ended: {sockets:?}");
    Ok(())
}

/// A user takes many ids in a namespace of his own, and in one below it: all are his.
fn namespace() -> anyhow::Result<()> {
    let user = FLOODERS[0];
    let program = "import os, sys, ctypes\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        assert libc.unshare(0x10000000) == 0, os.strerror(ctypes.get_errno())\n\
        print('made', flush=True)\n\
        sys.stdin.readline()\n\
        for id in range(1, 9):\n\
        \x20   if not os.fork():\n\
        \x20       os.setresgid(id, id, id)\n\
        \x20       os.setresuid(id, id, id)\n\
        \x20       if id == 8: assert libc.unshare(0x10000000) == 0\n\
        \x20       os.close(os.open('/dev/zero', 0))\n\
        \x20       os._exit(0)\n\
        \x20   assert os.wait()[1] == 0\n";
    let mut kernel = Kernel::start()?;
    let mut child =
        python(user, program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("python")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("stdout")?).read_line(&mut line)?;
    ensure!(line == "made\n", "no namespace: {line:?}");
    for map in ["uid_map", "gid_map"] {
        let (first, count) = SUBORDINATE;
        std::fs::write(format!("/proc/{}/{map}", child.id()), format!("0 {first} {count}\n"))?;
    }
    child.stdin.take().context("stdin")?.write_all(b"\n")?;
    ensure!(child.wait()?.success(), "the program failed");
    kernel.drain();
    let opens = kernel.all(Kind::Open);
    let headers: Vec<_> = opens.iter().filter_map(|bytes| Header::parse(bytes).ok()).collect();
    for id in 1..9 {
        let euid = SUBORDINATE.0 + id;
        let of: Vec<_> = headers.iter().filter(|header| header.euid == euid).collect();
        ensure!(!of.is_empty(), "no open of {euid}");
        ensure!(of.iter().all(|header| header.owner == u64::from(user)), "{of:?}");
    }
    Ok(())
}

fn root() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    std::fs::File::open("/dev/null")?;
    let opens = kernel.wait_for(std::process::id(), Kind::Open, 1)?;
    for bytes in opens {
        let header = Header::parse(&bytes)?;
        ensure!(header.owner == OF_CGROUP | header.cgroup_id, "{header:?}");
    }
    Ok(())
}
