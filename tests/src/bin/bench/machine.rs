//! Describes the machine of a measurement.

use std::fs;
use std::process::Command;

/// Returns machine, kernel, commit and date, one line each.
pub(crate) fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<_> = cpus.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models.first().and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = if output("git", &["status", "--porcelain"]).is_empty() { "" } else { " with changes" };
    format!(
        "- machine: {} × {model}, {} GiB\n- kernel: {}\n- commit: {commit}{changed}\n- date: {}\n",
        models.len(),
        kib.unwrap_or(0) / (1 << 20),
        kernel.trim(),
        output("date", &["-u", "+%Y-%m-%d"]),
    )
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(tests::binary::workspace()).output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
