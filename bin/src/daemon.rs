//! `start --daemon`: the same agent, in a session of its own, with its log in the work folder.
//!
//! The agent is started as a new process rather than forked: a fork would have to come before any thread, and
//! is not safe Rust. It leaves the caller's session by itself (`setsid`). Whoever started it waits until it
//! answers, so that a failing start is reported as one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::commands::control::fetch;
use crate::commands::start::daemon_log;
use crate::exit::{Failure, Outcome};
use crate::{output, workdir};

/// How long an agent may take until it answers; loading all programs takes well under a second.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Tells the started process that it is the daemon.
pub(crate) const MARK: &str = "--daemon-child";

/// Starts the agent in the background with this process's own arguments, and waits until it answers.
pub(crate) fn start(folder: &Path) -> Outcome {
    workdir::make(folder)?;
    let path = daemon_log(folder);
    let log = open_log(&path).with_context(|| format!("opening the log {}", path.display()))?;
    let mut child = spawn(log).context("starting the agent")?;
    let begun = actors::clock::now();
    loop {
        if let Some(status) = child.try_wait().context("waiting for the agent")? {
            let code = status.code().unwrap_or(1);
            let cause = anyhow::anyhow!("the agent ended at once ({status}):\n{}", last_lines(&path));
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
                "the agent (pid {}) does not answer after {} s; its log is {}",
                child.id(),
                START_PATIENCE.as_secs(),
                path.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Leaves the session of whoever started this process.
pub(crate) fn detach() -> anyhow::Result<()> {
    nix::unistd::setsid().context("leaving the caller's session")?;
    Ok(())
}

fn spawn(log: File) -> anyhow::Result<Child> {
    let own = std::env::current_exe().context("finding the agent's own program")?;
    let arguments = std::env::args_os()
        .skip(1)
        .map(|argument| if argument == "--daemon" { MARK.into() } else { argument });
    Ok(Command::new(own).args(arguments).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

fn open_log(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW).open(path)
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
