//! State that the tracers publish.

use serde::Serialize;

use crate::stderr::StderrCounts;
use crate::stdout_parser::LineCounts;

/// State that a shell tracer publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShellState {
    /// True while the command runs.
    pub running: bool,
    /// Number of runs begun.
    pub runs: u64,
    /// Number of records made.
    pub emitted: u64,
    /// Runs without any output that the previous run did not have, with the cache enabled.
    pub unchanged: u64,
    /// Lines or elements that should have been records but were not JSON objects. They count as lost records.
    pub bad_lines: u64,
    /// Lines in which the pattern was not found.
    pub unmatched: u64,
    /// Lines beyond the output limit. They count as lost records.
    pub cut_lines: u64,
    /// Runs that ended with an exit code other than 0, or by a signal.
    pub failed: u64,
    /// Runs killed because they took too long.
    pub timed_out: u64,
    /// Runs whose output was cut.
    pub cut: u64,
    /// Runs whose output was not UTF-8.
    pub not_utf8: u64,
    /// Runs that could not be started.
    pub not_started: u64,
    /// Description of the latest of these faults.
    pub last_fault: Option<String>,
}

/// State that a subprocess tracer publishes. Counts continue over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SubprocessState {
    /// Process id of the running child.
    pub pid: Option<u32>,
    /// Number of children started.
    pub starts: u64,
    /// Lines that the children wrote to stdout.
    pub stdout: LineCounts,
    /// Lines that the children wrote to stderr.
    pub stderr: StderrCounts,
    /// Number of `event` messages sent.
    pub polls: u64,
    /// Number of `event` messages not sent, because the child has not read the previous one or has closed its stdin.
    pub polls_skipped: u64,
    /// Number of children that closed stdout and kept running.
    pub stdout_closed: u64,
    /// Number of children ended because they wrote nothing for too long.
    pub silent: u64,
    /// Description of how the last child ended.
    pub last_exit: Option<String>,
}
