//! A child process in a process group of its own: started, watched, signalled and reaped as a whole.
//!
//! The end of a child is learnt through a pidfd, which leaves it unreaped. So its process id, and with it its
//! group's, can't have been given to somebody else by the time the rest of the group is killed; only then is
//! it reaped. Should the agent itself be killed, children are not (that would need a hook between fork and
//! exec, which is unsafe code): a subprocess tracer's child sees its stdin end.

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

/// What a child gets of the agent's environment unless it is to have all of it.
const CLEAN_ENV: [&str; 4] = ["PATH", "HOME", "LANG", "TZ"];

/// Tells a child the process id of the agent that started it.
const HOST_VARIABLE: &str = "DUETECTOR_ACTORS_HOST";

/// Why a program did not start. The text says what to do about it.
#[derive(Debug, Error)]
pub enum StartError {
    /// There is no such program.
    #[error("program {program:?} not found: install it, or correct comm in [{section}]")]
    Missing {
        /// The program.
        program: String,
        /// Where it is configured.
        section: String,
    },
    /// It may not be run, or is no program.
    #[error(
        "program {program:?} can't be run ({source}): make it executable, or correct comm in [{section}]"
    )]
    NotRunnable {
        /// The program.
        program: String,
        /// Where it is configured.
        section: String,
        /// The system's words.
        source: io::Error,
    },
    /// Its folder can't be entered.
    #[error("folder {cwd:?} of program {program:?} can't be entered: make it, or correct cwd in [{section}]")]
    Folder {
        /// The folder.
        cwd: String,
        /// The program.
        program: String,
        /// Where it is configured.
        section: String,
    },
    /// It can't run as that user.
    #[error("program {program:?}: {source}; see user in [{section}]")]
    User {
        /// The program.
        program: String,
        /// Where it is configured.
        section: String,
        /// What is wrong with the user.
        source: UserError,
    },
    /// The system would not, now.
    #[error("starting program {program:?}: {source}")]
    System {
        /// The program.
        program: String,
        /// The system's words.
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

    /// Another try can't help: the settings or the machine have to change first.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::System { .. })
    }
}

/// A child and its group.
pub(crate) struct Process {
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    group: Pid,
    reaped: bool,
}

/// Our ends of its pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Pipe,
    pub(crate) stderr: Pipe,
}

impl Process {
    /// Starts it, with a pipe to its stdin or without anything there.
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

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.group.as_raw().unsigned_abs()
    }

    /// Waits until it has ended. It stays unreaped.
    pub(crate) async fn ended(&self) {
        // The descriptor stays readable once the process has ended. Waiting fails only when the runtime shuts
        // down; then this is dropped with it.
        if self.pidfd.ready(Interest::READABLE).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Signals all of its group.
    pub(crate) fn signal(&self, signal: Signal) {
        if !self.reaped {
            // Nobody left to signal is what was wanted.
            let _ = killpg(self.group, signal);
        }
    }

    /// Kills what is left of its group and reaps it. To be called when it has ended; else waits until it has.
    pub(crate) async fn reap(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::SIGKILL);
        let status = self.child.wait().await;
        self.reaped = true;
        status
    }
}

impl Drop for Process {
    /// An actor that fell leaves nobody behind: the runtime reaps what is killed here.
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
        return Err(io::Error::other("no descriptor to watch it by"));
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
    // By which a child of ours that is an agent too knows that its host reads without pause.
    built.env(HOST_VARIABLE, std::process::id().to_string());
    built.envs(&command.env);
    if let Some(cwd) = &command.cwd {
        built.current_dir(cwd);
    }
    built
}

/// How it ended, in words.
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
    async fn dropped_by_an_actor_that_fell_it_leaves_nobody_behind() {
        let comm = ["sh", "-c", "trap '' TERM; sleep 1000 & echo $!; wait"].map(str::to_owned).to_vec();
        let command = Command { comm, ..Command::default() };
        let (process, pipes) = Process::start(&command, "here", Stdio::null()).unwrap();
        pipes.stdout.readable().await;
        let mut buffer = [0; 64];
        let crate::pipe::Look::Bytes(count) = pipes.stdout.read(&mut buffer) else { panic!("no grandchild") };
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
