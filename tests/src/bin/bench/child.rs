//! Measures a command: its time, CPU time and peak memory. The kernel tells these of all children of a process together, so each
//! command is run by a process of its own, which is this program again.

use std::process::{Command, ExitCode, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};
use tests::wait::now;
use tests::workload::succeed;

/// Time and memory that a command took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_mib: f64,
}

/// Runs a command, which must succeed, and measures it.
pub(crate) fn measure(command: &Command) -> Cost {
    let own = std::env::current_exe().expect("no path of this program");
    let mut between = Command::new(own);
    between.arg("--measure").arg(command.get_program()).args(command.get_args());
    serde_json::from_slice(&succeed(&mut between).stdout).expect("no figures of a command")
}

/// Runs the command and prints what it took.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let start = now();
    let status =
        Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let seconds = start.elapsed().as_secs_f64();
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return ExitCode::FAILURE };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cost = Cost { seconds, cpu_seconds: micros as f64 / 1e6, peak_mib: usage.max_rss() as f64 / 1024.0 };
    crate::say::say(&serde_json::to_string(&cost).unwrap_or_default());
    if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
