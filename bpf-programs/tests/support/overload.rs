//! A data ring that is full, or nearly: entries that wait, records that are lost and counted, records that
//! sampling leaves out and counts.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::ensure;
use bpf_programs::testing::{Kind, LossCause, Ring, wait_for_programs};
use bpf_programs::tracers;

use crate::ledger::of_file;
use crate::support::{ENTRIES, Kernel};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("ledger_waits_for_room_in_the_ring", no_room),
    ("open_counts_what_it_loses", storm),
    ("data_is_sampled_while_a_ring_is_more_than_half_full", sampled),
];

/// A ring with room for a few rows only: the others stay in the ledger, and come later.
fn no_room() -> anyhow::Result<()> {
    const FILES: usize = 400;
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::small()?;
    let files: Vec<File> = (0..FILES)
        .map(|number| File::create(folder.path().join(format!("{number}"))))
        .collect::<Result<_, _>>()?;
    for file in &files {
        file.write_all_at(b"seven b", 0)?;
    }
    let mut sweep = kernel.sweep()?;
    ensure!(sweep.left != 0, "the ring took {} rows", sweep.flushed);
    let mut rounds = 0;
    while sweep.left != 0 {
        ensure!(rounds < 100, "still rows left");
        kernel.drain();
        sweep = kernel.flush()?;
        rounds += 1;
    }
    kernel.drain();
    for file in &files {
        let of = of_file(&kernel, std::process::id(), &file.metadata()?)?;
        let sum = of.iter().map(|usage| usage.bytes).sum::<u64>();
        ensure!(of.len() == 1 && sum == 7, "{of:?}");
    }
    let count = kernel.count(Kind::Usage)?;
    ensure!(count.kept_out() == 0 && count.seen >= FILES as u64, "{count:?}");
    Ok(())
}

/// A ring that is too small while nothing drains it: every event is seen, and what is missing is counted as
/// lost.
fn storm() -> anyhow::Result<()> {
    let mut kernel = Kernel::small()?;
    for _ in 0..TIMES * 1000 {
        File::open("/dev/null")?;
    }
    // Other processes of the machine open files too.
    kernel.set(|settings| settings.enabled = 0)?;
    let (_, taken) = kernel.drain();
    let open = kernel.count(Kind::Open)?;
    let (mut seen, mut lost) = (0, 0);
    for tracer in tracers().filter(|tracer| tracer.kind.ring() == Ring::Data) {
        let count = kernel.count(tracer.kind)?;
        seen += count.seen;
        lost += count.kept_out();
    }
    ensure!(open.seen >= (TIMES * 1000) as u64 && open.kept_out() > 0, "{open:?}");
    ensure!(seen == taken + lost, "{seen} {lost} {taken}");
    Ok(())
}

/// While nothing reads: of the tracer that floods one in 64 gets in, and the same user's records of another find room.
fn sampled() -> anyhow::Result<()> {
    // Only this user's events, so that other programs do not fill the small ring.
    const USER: u32 = 64_998;
    const RING: u32 = 256 << 10;
    const OPENS: usize = TIMES * 100;
    let mut kernel = Kernel::start_few(RING, ENTRIES)?;
    kernel.set(|settings| {
        (settings.uids[0], settings.uid_count) = (USER, 1);
        (settings.sample, settings.sampled) = (64, 1 << Kind::Open as u32);
    })?;
    // Events of the loading itself.
    wait_for_programs()?;
    kernel.drain();
    let before = kernel.count(Kind::Open)?;
    let flood = format!(
        "import os\nfor _ in range({}): os.close(os.open('/dev/null', 0))\nfor _ in range({TIMES}):\n\
         \x20   try: os.rename('/missing', '/')\n    except OSError: pass",
        OPENS
    );
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-B", "-I", "-S", "-c", &flood]).uid(USER).gid(USER).current_dir("/");
    ensure!(python.status()?.success(), "the flood failed");
    kernel.set(|settings| settings.enabled = 0)?;
    kernel.drain();
    let (open, rename) = (kernel.count(Kind::Open)?.since(before), kernel.count(Kind::Rename)?);
    let sampled = open.lost_for(LossCause::Sampled);
    ensure!(sampled > 0 && open.seen >= OPENS as u64, "{open:?}");
    ensure!(rename.kept_out() == 0 && rename.seen >= TIMES as u64, "{rename:?}");
    // By chance: of the records after the ring was half full only about one in 64.
    let kept = open.seen - open.kept_out();
    ensure!(
        open.lost_for(LossCause::RingFull) == 0 && kept > (RING / 2 / 400).into() && kept < open.seen / 2,
        "{open:?}"
    );
    Ok(())
}
