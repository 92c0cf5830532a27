//! Workloads to record: scripts and the generator, run under a uid that nothing else on the machine has.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::binary;

/// Readable by every user, and its records' `comm` is `python3`.
pub const PYTHON: &str = "/usr/bin/python3";

/// Runs a Python script as that user, and waits for it.
///
/// # Panics
/// When it fails.
pub fn python(uid: u32, folder: &Path, script: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(PYTHON);
    command.args(["-c", script]).args(arguments).current_dir(folder).uid(uid).gid(uid);
    succeed(&mut command)
}

/// A run of the generator: its subcommand and options.
pub fn generator(uid: u32, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary::generator());
    // It changes its uid itself: the target folder need not be readable for others.
    command.args(["--uid", &uid.to_string()]).args(arguments);
    command
}

/// Runs the generator to its end, and gives what it says it did.
///
/// # Panics
/// When it fails.
pub fn generate(uid: u32, arguments: &[&str]) -> Value {
    let output = succeed(&mut generator(uid, arguments));
    serde_json::from_slice(&output.stdout).expect("the generator printed no JSON")
}

/// Runs a command, which must succeed.
///
/// # Panics
/// When it does not.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|why| panic!("{command:?} can't be run: {why}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}: {errors}", output.status);
    output
}
