//! Running other programs: where they are, whether we are root, and what to say when one fails.

use std::env;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The workspace's top folder.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Cargo's target folder, found by where this program itself was put (`<target>/debug/xtask`), so that
/// every way to configure it is respected.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where xtask itself is")?;
    own.ancestors().nth(2).map(Path::to_owned).context("xtask does not run from a target folder")
}

/// The cargo that runs us, to be used for everything below.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    if in_ci() {
        // Of use to the next build alone, which a clean clone does not have; a third of the build's disk space.
        command.env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Nothing may be skipped here.
pub(crate) fn in_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1")
}

/// We are root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The program's place on PATH, if it is there; the system folders ordinary users lack are looked at, too.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|place| place.is_file())
}

/// A command that runs `program` as root: itself when we are, else through sudo, with our own variables kept.
pub(crate) fn as_root(program: &Path) -> Result<Command> {
    if is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = find("sudo") else {
        bail!("{} must run as root: neither are we root nor is sudo here", program.display());
    };
    let mut command = Command::new(sudo);
    command.arg(keep_variables()).arg(program);
    Ok(command)
}

/// sudo's option that keeps the variables which mean something to us.
fn keep_variables() -> String {
    let ours = |name: &String| name.starts_with("DUETECTOR_") || name == "RUST_BACKTRACE";
    let mut names: Vec<_> = env::vars().map(|(name, _)| name).filter(ours).collect();
    // Set for the command itself, by `cargo xtask bench`.
    names.push("DUETECTOR_TEST_BIN".to_owned());
    format!("--preserve-env={}", names.join(","))
}

/// Shows the command and runs it; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    say(&format!("$ {}", words(command)));
    let status = command.status().with_context(|| format!("cannot run {}", words(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", words(command));
    }
    Ok(())
}

/// Runs the command without a word; anything but success is an error with the command's own words.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {}", words(command)))?;
    if !output.status.success() {
        bail!("{}: {}", words(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// How long something takes.
pub(crate) struct Watch(Instant);

impl Watch {
    /// From now on.
    #[expect(clippy::disallowed_methods, reason = "measures other programs; the agent's clock is not ours")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Until now, rounded.
    pub(crate) fn seconds(&self) -> u64 {
        self.0.elapsed().as_secs_f64().round() as u64
    }
}

/// Its standard output, trimmed; `None` if it can't be run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What we do is told on stderr, like cargo's own progress.
#[expect(clippy::print_stderr, reason = "a command-line tool talks to a person")]
pub(crate) fn say(message: &str) {
    eprintln!("xtask: {message}");
}

fn words(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| word.to_string_lossy());
    words.collect::<Vec<_>>().join(" ")
}
