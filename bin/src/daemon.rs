//! `start --daemon`: runs the agent in the background, in a session of its own, with its log in the work folder.
//!
//! The agent is started as a new process rather than forked, because a fork must happen before any thread exists and is
//! not safe Rust. The new process leaves the caller's session by itself (`setsid`). The calling process waits until the
//! agent answers on its control socket, so that a failed start is reported with its exit code.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;

use crate::control::fetch;
use crate::exit::{Failure, Outcome};
use crate::{output, workdir};

/// Longest wait for the agent to answer. Loading all eBPF programs takes well under a second.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// The log of this process, if it runs in the background.
static LOG: OnceLock<PathBuf> = OnceLock::new();
/// Hidden option that marks the started process as the daemon.
pub(crate) const MARK: &str = "--daemon-child";

/// Starts the agent in the background with the arguments of this process, and waits until it answers.
pub(crate) fn start(folder: &Path) -> Outcome {
    workdir::make(folder)?;
    let path = daemon_log(folder);
    let log = open_log(&path).with_context(|| format!("opening the log {}", path.display()))?;
    let mut child = spawn(log).context("starting the agent in the background")?;
    let begun = actors::clock::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for the agent")? {
            let code = status.code().unwrap_or(1);
            let cause = anyhow::anyhow!(
                "the agent failed to start ({status}); the end of its log:\n{}",
                last_lines(&path)
            );
            return Err(match code {
                2 => Failure::Usage(cause),
                3 => Failure::NothingTraced(cause),
                _ => Failure::Failed(cause),
            });
        }
        if fetch(folder).is_ok_and(|status| status.pid == child.id() && status.is_settled()) {
            output::complain(&format!("started, pid {}, log {}", child.id(), path.display()));
            return Ok(());
        }
        if begun.elapsed() > START_PATIENCE {
            return Err(Failure::failed(format!(
                "the agent (pid {}) has not answered within {} s and is still running; see its log {}",
                child.id(),
                START_PATIENCE.as_secs(),
                path.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a session of its own, so that the end of the caller's session does not end this process, whose log is in `folder`.
pub(crate) fn detach(folder: &Path) -> anyhow::Result<()> {
    nix::unistd::setsid().context("starting a session of its own (setsid)")?;
    LOG.get_or_init(|| daemon_log(folder));
    Ok(())
}

/// Opens the log of a process in the background again, since it may have been rotated.
pub(crate) fn reopen_log() {
    let Some(path) = LOG.get() else { return };
    let reopened = open_log(path).and_then(|log| {
        nix::unistd::dup2_stdout(&log)?;
        Ok(nix::unistd::dup2_stderr(&log)?)
    });
    if let Err(cause) = reopened {
        tracing::error!(%cause, path = %path.display(), "the log can't be opened again; the old one is used");
    }
}

fn spawn(log: File) -> anyhow::Result<Child> {
    let own = std::env::current_exe().context("finding the path of this program")?;
    let arguments = std::env::args_os()
        .skip(1)
        .map(|argument| if argument == "--daemon" { MARK.into() } else { argument });
    Ok(Command::new(own).args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

fn open_log(path: &Path) -> std::io::Result<File> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(path)?;
    model::trusted::trusted_file(path, &log.metadata()?)?;
    Ok(log)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

/// Returns the path of the log file of `start --daemon`.
fn daemon_log(workdir: &Path) -> PathBuf {
    workdir.join("duetector-actors.log")
}
