//! Compares this agent with another one, such as the version before: the same loops without an agent, under the other and
//! under this, in turn.

use std::path::Path;

use tests::workload::generate;
use tests::{Agent, Scratch, Setup};

use crate::figure::{cpu_seconds, median};
use crate::loads::drain;

const UID: u32 = 9964;
/// Number of events that the agents' CPU time is measured with.
const EVENTS: &str = "400000";

/// A loop or a quantity, by agent: none, the other, this.
pub(crate) struct Compared {
    what: &'static str,
    values: [Vec<f64>; 3],
}

/// Measures in `rounds` rounds.
pub(crate) fn take(other: &Path, rounds: usize) -> Vec<Compared> {
    let scratch = Scratch::new();
    let file = scratch.file("file", "x");
    std::os::unix::fs::chown(&file, Some(UID), Some(UID)).expect("a file can't be given away");
    let file = file.display().to_string();
    let loops: [(&str, &[&str]); 5] = [
        ("open/close, ns", &["open", &file, "--count", EVENTS]),
        ("4 KiB read/write, ns", &["read-write", &file, "--count", EVENTS]),
        ("fork+exec, ns", &["spawn", "/bin/true", "--count", "1000"]),
        ("connect, ns", &["connect", "--count", "10000"]),
        ("an unrelated system call, ns", &["unrelated", "--count", "5000000"]),
    ];
    let whats = loops.iter().map(|(what, _)| *what).chain(["agent's CPU time for all loops, ms"]);
    let mut rows: Vec<_> = whats.map(|what| Compared { what, values: Default::default() }).collect();
    for _ in 0..rounds {
        for at in 0..3 {
            let agent = match at {
                0 => None,
                1 => Some(Setup::new().binary(other).start()),
                _ => Some(Setup::new().start()),
            };
            for (row, (_, words)) in rows.iter_mut().zip(&loops) {
                let done = generate(UID, words);
                let of = |key: &str| done[key].as_f64().unwrap_or(f64::NAN);
                row.values[at].push(of("ns") / of("count"));
            }
            let cpu = agent.map_or(f64::NAN, cpu_of);
            rows[loops.len()].values[at].push(cpu);
        }
    }
    rows
}

/// Stops the agent; returns the milliseconds of CPU time that it has used once it has settled all that it saw.
fn cpu_of(agent: Agent) -> f64 {
    drain(&agent);
    let used = cpu_seconds(&agent) * 1000.0;
    drop(agent.finish_run());
    used
}

/// Returns medians as a table, and the smallest times, which other work on the machine changes least.
pub(crate) fn report(rows: &[Compared]) -> String {
    let mut text = String::from(
        "\n| median (smallest) | no agent | other agent | this agent | this / other, smallest |\n|---|---|---|---|---|\n",
    );
    for Compared { what, values } in rows {
        let smallest = |at: usize| values[at].iter().copied().fold(f64::NAN, f64::min);
        let cell = |at: usize| match smallest(at) {
            least if least.is_nan() => "–".to_owned(),
            least => format!("{:.0} ({least:.0})", median(values[at].clone())),
        };
        text.push_str(&format!(
            "| {what} | {} | {} | {} | {:.3} |\n",
            cell(0),
            cell(1),
            cell(2),
            smallest(2) / smallest(1)
        ));
    }
    text
}
