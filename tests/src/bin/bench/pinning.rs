//! Compares agents that pin with agents that don't: rates without loss, losses of an agent that gets too little CPU time,
//! CPU time and memory. Both are measured in turn.

use std::process::{Command, Stdio};

use tests::Setup;
use tests::workload::{generate, generator};

use crate::figure::{cpu_seconds, median};
use crate::loads::{drain, lossless_rate, only};

const UID: u32 = 9964;
/// Opens per second at which CPU time is measured.
const STEADY: &str = "100000";
/// Bursts of opens that are made with a higher priority than the agent's.
const BURST: &str = "400000";

/// A quantity with pinning and without.
pub(crate) struct Pinning {
    what: &'static str,
    digits: usize,
    pinned: f64,
    unpinned: f64,
}

#[derive(Default)]
struct Runs {
    rate: Vec<f64>,
    lost: Vec<f64>,
    cpu: Vec<f64>,
    peak: Vec<f64>,
}

/// Returns medians of `rounds` rounds, at most three.
pub(crate) fn take(rounds: usize, seconds: u64) -> Vec<Pinning> {
    let mut all = [Runs::default(), Runs::default()];
    for _ in 0..rounds.clamp(1, 3) {
        for (runs, pin) in all.iter_mut().zip(["true", "false"]) {
            let setup = || only(UID).set("ebpf.pin", pin);
            runs.rate.push(lossless_rate(UID, seconds, setup));
            runs.lost.push(lost_in_a_burst(setup()));
            let (cpu, peak) = steady(setup(), seconds);
            runs.cpu.push(cpu);
            runs.peak.push(peak);
        }
    }
    let [pinned, unpinned] = all;
    let line = |what, digits, of: fn(&Runs) -> &Vec<f64>| Pinning {
        what,
        digits,
        pinned: median(of(&pinned).clone()),
        unpinned: median(of(&unpinned).clone()),
    };
    vec![
        line("highest paced rate without loss, opens/s", 0, |runs| &runs.rate),
        line("lost in bursts of 400,000 opens by a program of higher priority, %", 2, |runs| &runs.lost),
        line("CPU at 100,000 opens/s, s per million", 2, |runs| &runs.cpu),
        line("peak memory at 100,000 opens/s, MiB", 0, |runs| &runs.peak),
    ]
}

/// Returns the figures as a table.
pub(crate) fn report(lines: &[Pinning]) -> String {
    let mut text = String::from("\n| pinning (`ebpf.pin`) | pinned | not pinned |\n|---|---|---|\n");
    for Pinning { what, digits, pinned, unpinned } in lines {
        text.push_str(&format!("| {what} | {pinned:.digits$} | {unpinned:.digits$} |\n"));
    }
    text
}

/// Returns the share in percent that is lost while the agent gets little CPU time: a generator on each CPU precedes it.
fn lost_in_a_burst(setup: Setup) -> f64 {
    let agent = setup.start();
    let file = agent.scratch().file("file", "");
    let opens = generator(UID, &["open", file.to_str().unwrap_or_default(), "--count", BURST]);
    let bursts: Vec<_> = (0..2)
        .map(|_| {
            let mut first = Command::new("nice");
            first.args(["-n", "-15"]).arg(opens.get_program()).args(opens.get_args()).stdout(Stdio::null());
            first.spawn().expect("the generator can't be started")
        })
        .collect();
    for mut burst in bursts {
        assert!(burst.wait().is_ok_and(|status| status.success()), "the generator failed");
    }
    drain(&agent);
    let agent = agent.finish();
    let open = agent.store().account("open");
    open.lost_total() as f64 / open.seen as f64 * 100.0
}

/// Returns the agent's CPU seconds per million opens at a steady rate, and the most memory that it had resident, in MiB.
fn steady(setup: Setup, seconds: u64) -> (f64, f64) {
    let agent = setup.start();
    let file = agent.scratch().file("file", "");
    let before = cpu_seconds(&agent);
    let path = file.to_str().unwrap_or_default();
    generate(UID, &["paced", path, "--rate", STEADY, "--seconds", &seconds.to_string()]);
    let stored = drain(&agent);
    let cpu = (cpu_seconds(&agent) - before) * 1e6 / stored as f64;
    let peak = agent.peak_mib() as f64;
    agent.finish();
    (cpu, peak)
}
