//! Starts a guest, waits for its end, and reads its results.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use super::image;
use super::matrix::{Boot, Guest};
use super::report::Column;
use crate::plan::exactly;
use crate::run::{self, say};
use crate::test::Outcome;

/// Kernel parameters of every guest. On a busy machine the emulator may not run while the kernel checks that its timer
/// ticks, and the kernel would give up; what protects processors against spying only takes time here.
const PARAMETERS: &str = "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off";

/// Number of lines of a console or of a suite's output that are shown.
const TAIL: usize = 40;

/// Boots the kernel with that initramfs and returns a column for each step of the boot.
pub(crate) fn boot(
    kernel_name: &str,
    kernel: &Path,
    image: &Path,
    boot: &Boot,
    guest: &Guest,
    logs: &Path,
) -> Result<Vec<Column>> {
    let name = boot.label(kernel_name);
    let logs = logs.join(image::label(&name));
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    let log = |name: &str| logs.join(name);
    let mut command = Command::new("timeout");
    // Never assisted by hardware, so that it is the same everywhere. One thread emulates all processors: before version
    // 8.1 the emulator with a thread for each could go on with a translation of code that another processor had already
    // patched, and a kernel that switches a static branch then dies of an `int3` that nobody knows any more.
    command.args([
        "--kill-after=5",
        &guest.seconds.to_string(),
        "qemu-system-x86_64",
        "-accel",
        "tcg,thread=single",
        "-cpu",
        "max",
    ]);
    command.args(["-m", &guest.memory_mib.to_string(), "-smp", &guest.processors.to_string()]);
    command.args(["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]);
    for serial in ["console", "results", "output"] {
        command.arg("-serial").arg(format!("file:{}", log(serial).display()));
    }
    // A parameter that the kernel does not know, and that has no dot in it, becomes a variable of the first process.
    let parameters = format!("{PARAMETERS} {} boot={}", boot.parameters, image::label(&name));
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(image).args(["-append", &parameters]);
    say(&format!("booting {name} (logs in {})", logs.display()));
    let watch = run::Watch::start();
    let status = command.stdin(Stdio::null()).status().context("cannot run the emulator")?;
    say(&format!("{name} ended after {}", exactly(watch.elapsed())));
    let results = read(&log("results"));
    let names: Vec<_> = boot.steps.iter().map(|step| boot.column(kernel_name, step)).collect();
    let mut columns = Column::parse_steps(&names, &results);
    if !results.lines().any(|line| line.starts_with("done ")) {
        let how = how_it_ended(status, guest);
        // The last step that began; none begins if the kernel does not boot.
        let at = columns.iter().rposition(|column| column.outcomes().next().is_some()).unwrap_or(0);
        columns[at].fault = Some(format!("{how}\n{}", tail(&read(&log("console")))));
    }
    let failed = |column: &&mut Column| {
        column.fault.is_some() || column.outcomes().any(|outcome| matches!(outcome, Outcome::Failed(_)))
    };
    if let Some(column) = columns.iter_mut().find(failed) {
        column.notes.push(format!("what its suites printed last:\n{}", tail(&read(&log("output")))));
    }
    Ok(columns)
}

fn how_it_ended(status: ExitStatus, guest: &Guest) -> String {
    match status.code() {
        Some(124 | 137) => format!("hung: no end within {} s", guest.seconds),
        Some(0) => "ended early: panic, or a crash of its first process".to_owned(),
        _ => format!("the emulator ended with {status}"),
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\r', "")
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("    | {line}\n")).collect()
}
