//! A child process in its own process group: started, watched, signalled and reaped as a whole.
//!
//! The exit of a child is noticed through a pidfd, which does not reap it. So its process id, which is also the id of
//! its group, can't be reused before the rest of the group is killed; only then is the child reaped. If the agent
//! itself is killed, its children are not (that would need a hook between fork and exec, which is unsafe code): a
//! subprocess tracer's child then reads the end of its stdin.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{Child, ChildStdin};

use crate::pipe::Pipe;
use crate::settings::Command;
use crate::user::{Identity, UserError};

/// Environment variables of the agent that a child inherits, unless it inherits all of them.
const CLEAN_ENV: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Environment variable that holds the process id of the agent that started the child.
const HOST_VARIABLE: &str = "DUETECTOR_ACTORS_HOST";

/// Reasons why a program could not be started. The text says what to do about it.
#[derive(Debug, Error)]
pub enum StartError {
    /// The program does not exist.
    #[error("program {program:?} not found: install it, or correct comm in [{section}]")]
    Missing {
        /// Program that was to be started.
        program: String,
        /// Configuration section that names the program.
        section: String,
    },
    /// The file is not executable, or not a program.
    #[error(
        "program {program:?} can't be run ({source}): make it executable, or correct comm in [{section}]"
    )]
    NotRunnable {
        /// Program that was to be started.
        program: String,
        /// Configuration section that names the program.
        section: String,
        /// Error that the system returned.
        source: io::Error,
    },
    /// The working folder can't be entered.
    #[error(
        "working folder {cwd:?} of program {program:?} can't be entered: create it, or correct cwd in [{section}]"
    )]
    Folder {
        /// Working folder of the program.
        cwd: String,
        /// Program that was to be started.
        program: String,
        /// Configuration section that names the program.
        section: String,
    },
    /// The program can't run as the configured user.
    #[error("program {program:?}: {source}; see user in [{section}]")]
    User {
        /// Program that was to be started.
        program: String,
        /// Configuration section that names the program.
        section: String,
        /// Reason why the user can't be used.
        source: UserError,
    },
    /// The system refused for the moment.
    #[error("starting program {program:?}: {source}")]
    System {
        /// Program that was to be started.
        program: String,
        /// Error that the system returned.
        source: io::Error,
    },
}

impl StartError {
    fn new(command: &Command, section: &str, source: io::Error) -> Self {
        let (program, section) = (command.program().to_owned(), section.to_owned());
        if let Some(cwd) = command.cwd.clone().filter(|cwd| !std::path::Path::new(cwd).is_dir()) {
            return Self::Folder { cwd, program, section };
        }
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { program, section },
            io::ErrorKind::PermissionDenied => Self::NotRunnable { program, section, source },
            _ if source.raw_os_error() == Some(nix::libc::ENOEXEC) => {
                Self::NotRunnable { program, section, source }
            }
            _ => Self::System { program, source },
        }
    }

    /// Returns whether a retry can't help: the settings or the machine have to change first.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::System { .. })
    }
}

/// A child process and its process group.
pub(crate) struct Process {
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    group: Pid,
    reaped: bool,
}

/// The agent's ends of the child's pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Pipe,
    pub(crate) stderr: Pipe,
}

impl Process {
    /// Starts the program with this stdin.
    pub(crate) fn start(command: &Command, section: &str, stdin: Stdio) -> Result<(Self, Pipes), StartError> {
        let identity = match command.user.as_deref().map(Identity::find).transpose() {
            Ok(identity) => identity,
            Err(source) => {
                let (program, section) = (command.program().to_owned(), section.to_owned());
                return Err(StartError::User { program, section, source });
            }
        };
        start(command, identity.as_ref(), stdin).map_err(|source| StartError::new(command, section, source))
    }

    /// Returns the child's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.group.as_raw().unsigned_abs()
    }

    /// Waits until the child has exited, without reaping it.
    pub(crate) async fn ended(&self) {
        // The descriptor stays readable once the process has exited. Waiting fails only when the runtime shuts down;
        // then this is dropped with it.
        if self.pidfd.ready(Interest::READABLE).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Sends a signal to the whole process group.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.reaped {
            // If no process is left, there is nothing to signal.
            let _ = killpg(self.group, signal);
        }
    }

    /// Kills the rest of the process group and reaps the child. To be called after the child has exited; otherwise it
    /// waits for that.
    pub(crate) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        let status = self.child.wait().await;
        self.reaped = true;
        status
    }
}

impl Drop for Process {
    /// Kills the process group, so that an actor that crashed leaves no process behind; the runtime reaps the child.
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn start(command: &Command, identity: Option<&Identity>, stdin: Stdio) -> io::Result<(Process, Pipes)> {
    let mut built = build(command, identity, stdin);
    let mut child = match identity {
        None => built.spawn()?,
        Some(identity) => {
            let runtime = tokio::runtime::Handle::current();
            identity.run(move || {
                let _runtime = runtime.enter();
                built.spawn()
            })?
        }
    };
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
    let watched = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    let pidfd = pidfd_open(watched, PidfdFlags::NONBLOCK).map_err(io::Error::from);
    #[expect(
        deprecated,
        reason = "sound for an OwnedFd, which keeps its descriptor; the successor is unsafe code"
    )]
    let pidfd = pidfd.and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE));
    let (Ok(pidfd), Some(stdout), Some(stderr)) = (pidfd, child.stdout.take(), child.stderr.take()) else {
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        return Err(io::Error::other("no pidfd or pipe for the child"));
    };
    let stdin = child.stdin.take();
    let process = Process { child, pidfd, group: Pid::from_raw(pid), reaped: false };
    Ok((
        process,
        Pipes {
            stdin,
            stdout: Pipe::new(stdout.into_owned_fd()?)?,
            stderr: Pipe::new(stderr.into_owned_fd()?)?,
        },
    ))
}

fn build(command: &Command, identity: Option<&Identity>, stdin: Stdio) -> tokio::process::Command {
    let mut built = tokio::process::Command::new(command.program());
    built.args(command.comm.iter().skip(1)).process_group(0);
    built.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    if !command.preserve_env {
        built.env_clear();
        built.envs(CLEAN_ENV.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    }
    built.envs(identity.map(Identity::environment).unwrap_or_default());
    // A child that is an agent of this kind learns from this that its host reads all the time.
    built.env(HOST_VARIABLE, std::process::id().to_string());
    built.envs(&command.env);
    if let Some(cwd) = &command.cwd {
        built.current_dir(cwd);
    }
    built
}

/// Describes how the process ended.
pub(crate) fn describe(status: io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => match Signal::try_from(signal) {
                Ok(signal) => format!("killed by {signal}"),
                Err(_) => format!("killed by signal {signal}"),
            },
            (None, None) => "ended".to_owned(),
        },
        Err(cause) => format!("ended, and could not be reaped: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use actors::clock;

    use super::*;

    #[tokio::test]
    async fn a_dropped_process_leaves_no_process_of_its_group_behind() {
        let comm = ["sh", "-c", "trap '' TERM; sleep 1000 & echo $!; wait"].map(str::to_owned).to_vec();
        let command = Command { comm, ..Command::default() };
        let (process, pipes) = Process::start(&command, "here", Stdio::null()).unwrap();
        pipes.stdout.readable().await;
        let mut buffer = [0; 64];
        let crate::pipe::PollResult::Bytes(count) = pipes.stdout.read(&mut buffer) else {
            panic!("no grandchild")
        };
        let grandchild = String::from_utf8_lossy(&buffer[..count]).trim().to_owned();
        let all = [process.pid().to_string(), grandchild].map(|pid| PathBuf::from("/proc").join(pid));
        assert!(all.iter().all(|path| path.is_dir()));
        drop(process);
        let end = clock::now() + Duration::from_secs(30);
        while all.iter().any(|path| path.exists()) {
            assert!(clock::now() < end, "{all:?}");
            clock::sleep(Duration::from_millis(2)).await;
        }
    }
}
