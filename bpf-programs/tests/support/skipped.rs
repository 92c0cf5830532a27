//! Programs that the kernel skips, because they are already running on that CPU.

use std::process::Command;

use anyhow::ensure;
use bpf_programs::Tier;
use bpf_programs::testing::Kind;

use crate::Test;
use crate::support::{self, DATA_RING, ENTRIES, Kernel};

pub const TESTS: &[Test] = &[("skipped_runs_are_counted", skipped_runs_are_counted)];

/// Directories that each process makes.
const DIRECTORIES: usize = 250;

/// Processes on one CPU, of which the one with the higher priority always takes the CPU from the others when it wakes up.
const CROWD: &str = r#"
import os, sys, time
for priority in range(1, 9):
    pid = os.fork()
    if pid: print(pid); continue
    os.sched_setaffinity(0, {0}); os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    for number in range(int(sys.argv[2])):
        os.mkdir(f"{sys.argv[1]}/{priority}-{number}"); time.sleep(0.0002)
    os._exit(0)
for _ in range(8):
    if os.wait()[1]: sys.exit("a process failed")
"#;

/// Each call has a record, or its program was skipped and the kernel says so. With full preemption and programs at
/// functions some are skipped; elsewhere programs at functions and system calls are not preempted.
fn skipped_runs_are_counted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| kind == Kind::Mkdir)?;
    let mut python = Command::new("/usr/bin/python3");
    let python = python.args(["-B", "-I", "-S", "-u", "-c", CROWD]).arg(folder.path());
    let done = python.arg(DIRECTORIES.to_string()).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    kernel.drain();
    let pids = String::from_utf8(done.stdout)?;
    let pids = pids.lines().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let records: usize = pids.iter().map(|pid| kernel.of(*pid, Kind::Mkdir).len()).sum();
    let (calls, skipped) = (pids.len() * DIRECTORIES, kernel.skipped(Kind::Mkdir)?);
    ensure!(calls == 8 * DIRECTORIES && records <= calls, "{records} records of {calls} calls");
    ensure!((calls - records) as u64 <= skipped, "{records} records of {calls} calls, {skipped} skipped");
    let is_preempted = std::fs::read_to_string("/proc/cmdline")?.contains("preempt=full");
    if is_preempted && support::tier() == Tier::Function {
        ensure!(records < calls && skipped > 0, "no program was skipped: {records} records of {calls} calls");
    }
    Ok(())
}
