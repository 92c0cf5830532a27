//! Transfers whose descriptor another thread gives to another file while they wait (`moving.py`): rows have the file that the
//! kernel worked with, or they are `unverified`.

use std::fs::read_to_string;
use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::details::{Direction, Usage};
use model::{Details, Record};

use crate::Test;
use crate::ledger::flush_both_buffers;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[
    ("race_transfers_whose_descriptor_changes", descriptor_changes),
    ("race_connect_whose_descriptor_changes", connect_changes),
];

const PROGRAM: &str = include_str!("moving.py");

/// A line of the program: name, and device and inode number of both files.
struct Moved<'a> {
    name: &'a str,
    file: (u64, u64),
    other: (u64, u64),
    bytes: u64,
}

impl<'a> Moved<'a> {
    fn parse(line: &'a str) -> anyhow::Result<Self> {
        let [name, dev, ino, other_dev, other_ino, bytes] = line.split(' ').collect::<Vec<_>>()[..] else {
            anyhow::bail!("{line}")
        };
        let file = (dev.parse()?, ino.parse()?);
        Ok(Self { name, file, other: (other_dev.parse()?, other_ino.parse()?), bytes: bytes.parse()? })
    }

    /// Returns whether the kernel itself says which file it was.
    fn is_certain(&self) -> anyhow::Result<bool> {
        let by_function = self.name.ends_with("-read") || self.name.ends_with("-readv");
        Ok(by_function && support::tier() == Tier::Function
            || self.name.starts_with("socket") && has_lengths()?)
    }
}

/// Returns whether the kernel has tracepoints for the bytes that sockets send and receive (since 6.3).
fn has_lengths() -> anyhow::Result<bool> {
    let release = read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    Ok((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 3))
}

fn descriptor_changes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| kind == Kind::Usage)?;
    let (pid, output) = support::run_python(PROGRAM, &[folder.path()])?;
    flush_both_buffers(&mut kernel)?;
    let mut rows = Vec::new();
    for bytes in kernel.of(pid, Kind::Usage) {
        let Record { identity, details: Details::Usage(usage), .. } = decode(Kind::Usage, &bytes)? else {
            continue;
        };
        rows.push((*usage, identity.context("no identity")?.unverified));
    }
    let mut count = 0;
    for line in output.lines() {
        let moved = Moved::parse(line)?;
        check(&moved, &rows).with_context(|| line.to_owned())?;
        count += 1;
    }
    ensure!(count == 7, "{count} transfers");
    Ok(())
}

fn check(moved: &Moved<'_>, rows: &[(Usage, bool)]) -> anyhow::Result<()> {
    let sends = moved.name.ends_with("sendto");
    let direction = if sends { Direction::Written } else { Direction::Read };
    let of = |(dev, ino): (u64, u64)| {
        let is_it = move |usage: &Usage| usage.file.is_some_and(|file| (file.dev, file.ino) == (dev, ino));
        rows.iter().filter(move |(usage, _)| is_it(usage) && usage.direction == direction).collect::<Vec<_>>()
    };
    let (right, wrong) = (of(moved.file), of(moved.other));
    let sums = |rows: &[&(Usage, bool)]| {
        (
            rows.iter().map(|(usage, _)| usage.calls).sum::<u64>(),
            rows.iter().map(|(usage, _)| usage.bytes).sum::<u64>(),
        )
    };
    if moved.is_certain()? {
        ensure!(wrong.is_empty(), "recorded for the other file: {wrong:?}");
        ensure!(sums(&right) == (1, moved.bytes), "{right:?}");
        ensure!(right.iter().all(|(_, unverified)| !unverified), "{right:?}");
    } else {
        ensure!(sums(&wrong) == (1, moved.bytes), "{wrong:?}");
        ensure!(wrong.iter().all(|(_, unverified)| *unverified), "{wrong:?}");
    }
    Ok(())
}

/// The first connect fills the queue of the listening socket, so the second waits; meanwhile another thread puts another
/// socket behind its descriptor.
const CONNECTING: &str = r#"
import os, socket, sys, threading
path = sys.argv[1] + "/s"
server, first, second, decoy = (socket.socket(socket.AF_UNIX) for _ in range(4))
server.bind(path); server.listen(0); first.connect(path)
def waits(tid):
    with open(f"/proc/self/task/{tid}/syscall") as f: call = f.read().split()[0]
    with open(f"/proc/self/task/{tid}/stat") as f: state = f.read().rsplit(") ", 1)[1][0]
    return call == "42" and state == "S"
thread = threading.Thread(target=lambda: second.connect(path)); thread.start()
while not waits(thread.native_id): os.sched_yield()
os.dup2(decoy.fileno(), second.fileno())
server.accept(); thread.join()
"#;

fn connect_changes() -> anyhow::Result<()> {
    const KINDS: [Kind; 3] = [Kind::Bind, Kind::Connect, Kind::Accept];
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| KINDS.contains(&kind))?;
    let mut python = Command::new("/usr/bin/python3");
    let mut python = python.args(["-B", "-I", "-S", "-c", CONNECTING]).arg(folder.path()).spawn()?;
    let pid = python.id();
    ensure!(python.wait()?.success(), "the program failed");
    kernel.drain();
    // Without other threads, what the descriptor refers to is certain.
    for (kind, expected) in KINDS.into_iter().zip([&[false, false][..], &[false, true], &[true]]) {
        let records = kernel.of(pid, kind).into_iter().map(|bytes| decode(kind, &bytes));
        let marks = records.map(|record| Ok(record?.identity.context("no identity")?.unverified));
        let marks = marks.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(marks == expected, "{kind:?}: {marks:?}");
    }
    Ok(())
}
