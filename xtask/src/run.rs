//! Runs other programs: finds them, becomes root where that is needed, and says which one failed.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The workspace's top folder.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Cargo's target folder, two levels above this program (`<target>/xtask/xtask`), so that every way to configure it is
/// respected.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot find out where xtask itself is")?;
    own.ancestors().nth(2).map(Path::to_owned).context("xtask does not run from a target folder")
}

/// A command of the cargo that runs us, in the workspace's top folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    if in_ci() {
        // Only the next build would use it, and a clean clone has none; it takes a third of the build's disk space.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// True in CI, where no test may be skipped.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}

/// Returns whether we are root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The path of a program that is on PATH or in the system folders that ordinary users lack.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// A command that runs `program` as root: directly if we are root, else through sudo, which keeps the variables that
/// our programs read.
pub(crate) fn as_root(program: &Path) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = find("sudo") else {
        bail!("{} must run as root, but we are not root and there is no sudo", program.display());
    };
    let mut command = Command::new(sudo);
    command.arg(keep_variables()).arg(program);
    Ok(command)
}

/// sudo's option that keeps the variables which our programs read: those set now, and those set for one command.
fn keep_variables() -> String {
    let ours = |name: &String| name.starts_with("DUETECTOR_") || name == "RUST_BACKTRACE" || name == "CI";
    let mut names: Vec<_> = env::vars().map(|(name, _)| name).filter(ours).collect();
    let set_later = [
        "CARGO",
        "CARGO_MANIFEST_DIR",
        "DUETECTOR_TEST_BIN",
        "DUETECTOR_TEST_TIER",
        "DUETECTOR_EBPF__TIER",
        "DUETECTOR_TEST_VENV",
        "RUST_TEST_THREADS",
    ];
    names.extend(set_later.map(str::to_owned));
    format!("--preserve-env={}", names.join(","))
}

/// Shows the command and runs it. If it does not succeed, the error names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    say_command(command);
    let status = command.status().with_context(|| format!("cannot run {}", words(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", words(command));
    }
    Ok(())
}

/// Runs the command without showing it. If it does not succeed, the error is the command's own message.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {}", words(command)))?;
    if !output.status.success() {
        bail!("{}: {}", words(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Measures how long something takes.
pub(crate) struct Watch(Instant);

impl Watch {
    /// Starts the measurement now.
    #[expect(clippy::disallowed_methods, reason = "measures other programs; the agent's clock is not ours")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The command's standard output, trimmed; `None` if it can't be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Prints a message on stderr, like cargo's own progress.
#[expect(clippy::print_stderr, reason = "a command-line tool talks to a person")]
pub(crate) fn say(message: &str) {
    eprintln!("xtask: {message}");
}

/// Shows a command that is about to run.
pub(crate) fn say_command(command: &Command) {
    say(&format!("$ {}", words(command)));
}

fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}
