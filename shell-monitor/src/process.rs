//! A child process in its own session and process group: started, watched, signalled and reaped as a whole.
//!
//! The exit of a child is noticed through a pidfd, which does not reap it. So its process id, which is also the id of
//! its group, can't be reused before the rest of the group is killed; only then is the child reaped. The launcher starts
//! it (see [`crate::launcher`]), in a session of its own. If the agent itself is killed, its children get SIGTERM, and a
//! subprocess tracer's child also reads the end of its stdin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::Sender;
use tokio::process::Child;

use crate::launch::{self, Launcher, Refusal, Request, Step};
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
        "working folder {cwd:?} of program {program:?} can't be entered ({source}): create it, or correct cwd in \
         [{section}]"
    )]
    Folder {
        /// Working folder of the program.
        cwd: String,
        /// Program that was to be started.
        program: String,
        /// Configuration section that names the program.
        section: String,
        /// Error that the system returned.
        source: io::Error,
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
    /// The agent may not change the ids of the program.
    #[error(
        "program {program:?} can't run as {user:?} ({source}): give the agent CAP_SETUID and CAP_SETGID, or remove user \
         from [{section}]"
    )]
    Ids {
        /// User that the program was to run as.
        user: String,
        /// Program that was to be started.
        program: String,
        /// Configuration section that names the program.
        section: String,
        /// Error that the system returned.
        source: io::Error,
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
    fn system(command: &Command, source: io::Error) -> Self {
        Self::System { program: command.program().to_owned(), source }
    }

    fn refused(command: &Command, section: &str, refusal: &Refusal) -> Self {
        let (program, section) = (command.program().to_owned(), section.to_owned());
        let source = io::Error::from_raw_os_error(refusal.errno);
        match (refusal.step, source.kind()) {
            (Step::Folder, _) => {
                Self::Folder { cwd: command.cwd.clone().unwrap_or_default(), program, section, source }
            }
            (Step::Ids, io::ErrorKind::PermissionDenied) => {
                Self::Ids { user: command.user.clone().unwrap_or_default(), program, section, source }
            }
            (Step::Execute, io::ErrorKind::NotFound) => Self::Missing { program, section },
            (Step::Execute, io::ErrorKind::PermissionDenied) => {
                Self::NotRunnable { program, section, source }
            }
            (Step::Execute, _) if refusal.errno == nix::libc::ENOEXEC => {
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
    pub(crate) stdin: Option<Sender>,
    pub(crate) stdout: Pipe,
    pub(crate) stderr: Pipe,
}

impl Process {
    /// Starts the program and waits until it is executed. Its stdin is a pipe if `piped`, else empty.
    pub(crate) async fn start(
        launcher: &Launcher,
        command: &Command,
        section: &str,
        piped: bool,
    ) -> Result<(Self, Pipes), StartError> {
        let identity = command.user.as_deref().map(Identity::find).transpose().map_err(|source| {
            let (program, section) = (command.program().to_owned(), section.to_owned());
            StartError::User { program, section, source }
        })?;
        let request = request(command, identity.as_ref());
        let system = |source| StartError::system(command, source);
        let (theirs, stdin) = if piped {
            let (theirs, ours) = io::pipe().map_err(system)?;
            (theirs.into(), Some(Sender::from_owned_fd(ours.into()).map_err(system)?))
        } else {
            (File::open("/dev/null").map_err(system)?.into(), None)
        };
        let (child, socket) = launcher.spawn().map_err(|cause| {
            system(io::Error::new(cause.kind(), format!("starting the agent's launcher: {cause}")))
        })?;
        let (mut process, mut pipes) = Self::watch(child).map_err(system)?;
        pipes.stdin = stdin;
        if let Err(refusal) = launch::launch(socket, theirs, &request).await.map_err(system)? {
            // Only the launcher is left, which ends by itself or is killed here.
            let _ = process.reap().await;
            return Err(StartError::refused(command, section, &refusal));
        }
        Ok((process, pipes))
    }

    fn watch(mut child: Child) -> io::Result<(Self, Pipes)> {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        let watched = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(watched, PidfdFlags::NONBLOCK).map_err(io::Error::from);
        #[expect(
            deprecated,
            reason = "sound for an OwnedFd, which keeps its descriptor; the successor is unsafe code"
        )]
        let pidfd = pidfd.and_then(|fd| AsyncFd::with_interest(fd, Interest::READABLE));
        let (Ok(pidfd), Some(stdout), Some(stderr)) = (pidfd, child.stdout.take(), child.stderr.take())
        else {
            let _ = child.start_kill();
            return Err(io::Error::other("no pidfd or pipe for the child"));
        };
        let stdout = Pipe::new(stdout.into_owned_fd()?)?;
        let stderr = Pipe::new(stderr.into_owned_fd()?)?;
        let process = Self { child, pidfd, group: Pid::from_raw(pid), reaped: false };
        Ok((process, Pipes { stdin: None, stdout, stderr }))
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
            // Before its setsid the launcher is alone, in the agent's group.
            if killpg(self.group, signal) == Err(Errno::ESRCH) {
                // If no process is left, there is nothing to signal.
                let _ = kill(self.group, signal);
            }
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

fn request(command: &Command, identity: Option<&Identity>) -> Request {
    let mut env: BTreeMap<OsString, OsString> = if command.preserve_env {
        std::env::vars_os().collect()
    } else {
        let kept = CLEAN_ENV.iter().filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        kept.collect()
    };
    if let Some(identity) = identity {
        identity.set_environment(&mut env);
    }
    // A child that is an agent of this kind learns from this that its host reads all the time.
    env.insert(HOST_VARIABLE.into(), std::process::id().to_string().into());
    env.extend(command.env.iter().map(|(name, value)| (name.into(), value.into())));
    Request {
        agent: std::process::id(),
        comm: command.comm.clone(),
        env: env.into_iter().collect(),
        cwd: command.cwd.clone(),
        ids: identity.and_then(Identity::ids),
        allow_setuid: command.allow_setuid,
    }
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
    use std::process::Stdio;
    use std::time::Duration;

    use actors::clock;

    use super::*;

    #[tokio::test]
    async fn a_dropped_process_leaves_no_process_of_its_group_behind() {
        // As the launcher does, setsid executes the program in a session of its own.
        let mut command = tokio::process::Command::new("setsid");
        command.args(["sh", "-c", "trap '' TERM; sleep 1000 & echo $!; wait"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (process, pipes) = Process::watch(child).unwrap();
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
