//! Starts a program through the launcher (see [`crate::launcher`]): what the agent asks it for, and its answer.
//!
//! Both travel over a socket that is the launcher's stdin. Waiting for the answer does not block a thread, and is limited:
//! once the launcher has the user's ids, that user may stop it.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as Socket;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::process::Child;

use crate::user::Ids;

/// Hidden command of the agent that runs the launcher.
pub const COMMAND: &str = "launch-program";
/// Longest time from the start of the launcher to the start of the program.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read; none is longer.
const LONGEST_ANSWER: u64 = 4096;
/// Byte that the launcher sends when only the program's execution is left.
pub(crate) const READY: &[u8] = b"\n";

/// The command that runs the launcher.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: PathBuf,
    arguments: Vec<String>,
}

/// A program for the launcher to execute, and the ids to execute it with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Process id of the agent.
    pub(crate) agent: u32,
    /// Program and its arguments.
    pub(crate) comm: Vec<String>,
    /// The program's whole environment: names and values. JSON has no object with such keys.
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) cwd: Option<String>,
    /// Ids to take on; `None`: the agent's.
    pub(crate) ids: Option<Ids>,
    pub(crate) allow_setuid: bool,
}

/// Steps of the launcher that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    Prepare,
    Ids,
    Folder,
    Execute,
}

/// The launcher's answer if it could not execute the program.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) step: Step,
    pub(crate) errno: i32,
}

impl Launcher {
    /// Describes a launcher that is another executable.
    pub fn new(program: impl Into<PathBuf>, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { program: program.into(), arguments }
    }

    /// Describes the launcher that is the agent's own executable, even if its file was replaced meanwhile.
    pub fn own() -> Self {
        Self::new("/proc/self/exe", &[COMMAND])
    }

    /// Starts the launcher, with an empty environment; returns it and the socket to it.
    pub(crate) fn spawn(&self) -> io::Result<(Child, Socket)> {
        let (ours, theirs) = Socket::pair()?;
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).env_clear();
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok((command.spawn()?, ours))
    }
}

/// Sends the request and the program's stdin, and waits until the program is executed or refused.
pub(crate) async fn launch(
    socket: Socket,
    stdin: OwnedFd,
    request: &Request,
) -> io::Result<Result<(), Refusal>> {
    let answer = tokio::time::timeout(PATIENCE, exchange(socket, stdin, request)).await;
    let answer = answer.map_err(|_| {
        io::Error::other(format!("the launcher did not execute it within {} s", PATIENCE.as_secs()))
    })??;
    if answer == READY {
        return Ok(Ok(()));
    }
    let refusal = serde_json::from_slice(answer.strip_prefix(READY).unwrap_or(&answer));
    refusal.map(Err).map_err(|_| io::Error::other("the launcher ended before it could execute it"))
}

async fn exchange(socket: Socket, stdin: OwnedFd, request: &Request) -> io::Result<Vec<u8>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [stdin.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(&socket, &[IoSlice::new(READY)], &mut control, SendFlags::NOSIGNAL)?;
    drop(stdin);
    socket.set_nonblocking(true)?;
    let mut socket = UnixStream::from_std(socket)?;
    // If the launcher has ended, its answer says why.
    let _ = socket.write_all(&serde_json::to_vec(request)?).await;
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    socket.take(LONGEST_ANSWER).read_to_end(&mut answer).await?;
    Ok(answer)
}
