//! The distribution of records over data rings.

use std::fs::File;

use anyhow::ensure;
use bpf_programs::testing::Kind;

use crate::support::Kernel;
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[("data_goes_to_its_cpus_ring", by_cpu)];

/// Two rings, each for every other CPU's records: each record is in one of them, whole.
fn by_cpu() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let cpus = std::thread::available_parallelism()?.get();
    kernel.set(|settings| (settings.data_rings, settings.cpus_a_ring) = (2, 1))?;
    for cpu in 0..TIMES * cpus {
        let mut set = nix::sched::CpuSet::new();
        set.set(cpu % cpus)?;
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set)?;
        File::open("/dev/null")?;
    }
    kernel.set(|settings| settings.enabled = 0)?;
    let (_, first) = kernel.drain();
    let second = kernel.drain_second();
    let all = [Kind::Open, Kind::Connect, Kind::Rename, Kind::Unlink, Kind::Link];
    let open = kernel.count(Kind::Open)?;
    let seen: u64 = all.iter().map(|kind| kernel.count(*kind).map_or(0, |count| count.seen)).sum();
    ensure!(open.kept_out() == 0 && seen <= first + second, "{open:?} {first} {second}");
    ensure!(first >= TIMES as u64 && (cpus == 1 || second >= TIMES as u64), "{first} {second}");
    Ok(())
}
