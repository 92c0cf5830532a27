//! One boot: the guest started, waited for, and read.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::image;
use super::matrix::{Guest, Run};
use super::report::{Column, Outcome};
use crate::run::{self, say};

/// Every guest's. A busy machine may not let the emulator run while the kernel looks whether its timer ticks, and it
/// would give up on it; what guards processors against spying only takes time here.
const PARAMETERS: &str = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off";

/// How much of a console or of a suite's output is shown.
const TAIL: usize = 40;

/// Boots the kernel with that initramfs and gives what the suites in it found.
pub(crate) fn boot(
    name: &str,
    kernel: &Path,
    image: &Path,
    run: &Run,
    guest: &Guest,
    logs: &Path,
) -> Result<Column> {
    let logs = logs.join(image::label(name));
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let place = |name: &str| logs.join(name);
    let mut command = Command::new("timeout");
    // Never assisted by hardware, so that it is the same everywhere.
    command.args([
        "--kill-after=5",
        &guest.seconds.to_string(),
        "qemu-system-x86_64",
        "-accel",
        "tcg",
        "-cpu",
        "max",
    ]);
    command.args(["-m", &guest.memory_mib.to_string(), "-smp", &guest.processors.to_string()]);
    command.args(["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    for serial in ["console", "results", "output"] {
        command.arg("-serial").arg(format!("file:{}", place(serial).display()));
    }
    // What the kernel does not know, and has no dot in it, becomes a variable of the first process.
    let parameters = format!("{PARAMETERS} {} column={}", run.parameters, image::label(name));
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(image).args(["-append", &parameters]);
    say(&format!("booting {name} (logs in {})", logs.display()));
    let watch = run::Watch::start();
    let status = command.stdin(Stdio::null()).status().context("cannot run the emulator")?;
    let results = read(&place("results"));
    let mut column = Column::parse(name, &results);
    column.seconds = Some(watch.seconds());
    if !results.lines().any(|line| line.starts_with("done ")) {
        let how = match status.code() {
            Some(124 | 137) => format!("hung: no end within {} s", guest.seconds),
            Some(0) => "ended early: panic, or a crash of its first process".to_owned(),
            _ => format!("the emulator ended with {status}"),
        };
        column.fault = Some(format!("{how}\n{}", tail(&read(&place("console")))));
    }
    if column.fault.is_some() || column.outcomes().any(|outcome| matches!(outcome, Outcome::Failed(_))) {
        column.notes.push(format!("what its suites printed last:\n{}", tail(&read(&place("output")))));
    }
    Ok(column)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', "")
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("    | {line}\n")).collect()
}
