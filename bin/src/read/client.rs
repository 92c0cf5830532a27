//! Follows the agent that uses a work folder.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::{Begun, Message, Request};
use crate::control::Answer;
use crate::exit::Failure;
use crate::socket;
use crate::status::Status;

/// Longest wait for the agent to take the request and answer it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest line of the agent in bytes.
const MAX_LINE: u64 = 1 << 20;
/// Most bytes of one message. A message has the rows of one batch.
const MAX_BYTES: u64 = 1 << 30;

/// The reason why the agent can't be followed any longer.
#[derive(Debug, Error)]
pub(crate) enum FollowError {
    /// No process listens on the socket.
    #[error(
        "no agent is running with the work folder {}; if it uses another folder, name that with --workdir",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket's mode forbids it.
    #[error(
        "you may not follow the agent with the work folder {}: use this command as root, as the agent's user, or as a member \
         of the group in its setting store.group",
        .0.display()
    )]
    NotAllowed(PathBuf),
    /// The agent answered with an error.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// The connection ended without a word of the agent.
    #[error("lost the connection to the agent: it was killed, or this reader took nothing for a minute")]
    Lost,
    /// The connection failed.
    #[error("following the agent")]
    Broken(#[from] io::Error),
}

impl From<FollowError> for Failure {
    fn from(cause: FollowError) -> Self {
        Self::Failed(cause.into())
    }
}

/// A connection on which the agent sends rows.
pub(crate) struct Following {
    stream: BufReader<UnixStream>,
    /// The answer of the agent, with which the rows begin.
    pub(crate) begun: Begun,
}

impl Following {
    /// Begins to follow.
    pub(crate) fn begin(workdir: &Path, request: &Request) -> Result<Self, FollowError> {
        let (stream, begun) = ask(workdir, request)?;
        let begun = serde_json::from_value(begun).map_err(io::Error::from)?;
        stream.get_ref().set_read_timeout(None)?;
        Ok(Self { stream, begun })
    }

    /// Returns another handle to the connection, to end it from another thread.
    pub(crate) fn handle(&self) -> io::Result<UnixStream> {
        self.stream.get_ref().try_clone()
    }

    /// Waits for the next message, whose bytes replace those in `bytes`.
    pub(crate) fn next(&mut self, bytes: &mut Vec<u8>) -> Result<Message, FollowError> {
        let line = read_line(&mut self.stream)?.ok_or(FollowError::Lost)?;
        let message = serde_json::from_str(&line).map_err(io::Error::from)?;
        if let Message::Rows(carried) = &message {
            let length = u64::from(carried.schema) + u64::from(carried.data);
            if length > MAX_BYTES {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long").into());
            }
            bytes.clear();
            self.stream.by_ref().take(length).read_to_end(bytes)?;
            if bytes.len() as u64 != length {
                return Err(FollowError::Lost);
            }
        }
        Ok(message)
    }
}

/// Returns the state of the agent that uses a work folder.
///
/// # Errors
/// No agent answers, or this user may not ask it.
pub(crate) fn status(workdir: &Path) -> Result<Status, FollowError> {
    let (_, status) = ask(workdir, &Request::Status)?;
    Ok(serde_json::from_value(status).map_err(io::Error::from)?)
}

/// Sends a request; returns the answer, and the connection for what follows it.
fn ask(workdir: &Path, request: &Request) -> Result<(BufReader<UnixStream>, Value), FollowError> {
    let mut stream = socket::READ.connect(workdir).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            FollowError::NotRunning(workdir.to_owned())
        }
        io::ErrorKind::PermissionDenied => FollowError::NotAllowed(workdir.to_owned()),
        _ => FollowError::Broken(cause),
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
    line.push(b'\n');
    // An agent that refuses does so before it reads.
    let sent = stream.write_all(&line);
    let mut stream = BufReader::new(stream);
    let answer: Answer = match read_line(&mut stream)? {
        Some(line) => serde_json::from_str(&line).map_err(io::Error::from)?,
        None => return Err(sent.err().map_or(FollowError::Lost, FollowError::Broken)),
    };
    match answer {
        Answer::Ok(answer) => Ok((stream, answer)),
        Answer::Error(why) => Err(FollowError::Refused(why)),
    }
}

/// Reads a line; `None` if the connection has ended.
fn read_line(stream: &mut BufReader<UnixStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = stream.by_ref().take(MAX_LINE).read_line(&mut line);
    match read {
        Ok(_) if line.ends_with('\n') => Ok(Some(line)),
        Ok(_) => Ok(None),
        Err(cause) if cause.kind() == io::ErrorKind::ConnectionReset => Ok(None),
        Err(cause) => Err(cause),
    }
}
