//! Agents that record the opens of one user, and the loads that several measurements make.

use std::time::Duration;

use tests::workload::generate;
use tests::{Agent, Cgroups, Setup, until};

use crate::watchers::open_only;

const DRAINED: Duration = Duration::from_secs(120);
/// Rates to try, in opens per second, until a record is lost.
const RATES: [u64; 12] =
    [10_000, 20_000, 35_000, 50_000, 100_000, 150_000, 200_000, 250_000, 300_000, 400_000, 500_000, 700_000];

/// Returns the highest rate at which nothing is lost and that the generator really reaches.
pub(crate) fn lossless_rate(uid: u32, seconds: u64, setup: impl Fn() -> Setup) -> f64 {
    highest(|rate| loses(uid, seconds, rate, setup().start()))
}

/// Returns the highest rate at which nothing is lost while the agent with its processes gets only so many hundredths of one CPU.
/// Then the agent limits the rate, and not the generator.
pub(crate) fn lossless_rate_of(percent: u32, uid: u32, seconds: u64, setup: impl Fn() -> Setup) -> f64 {
    let groups = Cgroups::new();
    highest(|rate| {
        let agent = setup().start();
        groups.limit_cpu("agent", agent.pid(), percent);
        loses(uid, seconds, rate, agent)
    })
}

/// Returns whether an agent loses records at that rate, or the generator does not reach it.
fn loses(uid: u32, seconds: u64, rate: u64, agent: Agent) -> bool {
    let file = agent.scratch().file("file", "");
    let path = file.to_str().unwrap_or_default();
    let (rate, time) = (rate.to_string(), seconds.to_string());
    let done = generate(uid, &["paced", path, "--rate", &rate, "--seconds", &time]);
    let took = done["ns"].as_f64().unwrap_or(f64::INFINITY) / 1e9;
    drain(&agent);
    let agent = agent.finish();
    agent.store().account("open").lost_total() > 0 || took > seconds as f64 * 1.05
}

/// Returns the highest rate that does not lose, found to an eighth of the step between two rates that are tried.
fn highest(loses: impl Fn(u64) -> bool) -> f64 {
    let first_lost = RATES.iter().position(|rate| loses(*rate)).unwrap_or(RATES.len());
    let mut best = first_lost.checked_sub(1).map_or(0, |index| RATES[index]);
    let Some(mut lossy) = RATES.get(first_lost).copied() else { return best as f64 };
    for _ in 0..3 {
        let middle = best.midpoint(lossy);
        *if loses(middle) { &mut lossy } else { &mut best } = middle;
    }
    best as f64
}

pub(crate) fn only(uid: u32) -> Setup {
    open_only().set("ebpf.uids", &format!("[{uid}]"))
}

/// Waits until no record is in flight; returns the number of stored rows.
pub(crate) fn drain(agent: &Agent) -> u64 {
    until("everything is stored", DRAINED, || {
        let open = agent.tracer("open");
        (open["in_flight"] == 0).then(|| open["stored"].as_u64()).flatten()
    })
}
