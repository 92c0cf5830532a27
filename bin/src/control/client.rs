//! Sends requests to the agent that uses a work folder.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use super::{Answer, Request};
use crate::exit::Failure;
use crate::socket;
use crate::status::Status;

/// Longest wait for the agent to take the request.
const PATIENCE: Duration = Duration::from_secs(10);

/// The reason why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// No process listens on the control socket.
    #[error(
        "no agent is running with the work folder {}; if it uses another folder, name that with --workdir",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// The agent belongs to another user.
    #[error("the agent with the work folder {} runs as another user: use this command as that user or as root", .0.display())]
    NotAllowed(PathBuf),
    /// The connection failed, or there was no answer in time.
    #[error("sending a request to the agent with the work folder {}", workdir.display())]
    Broken {
        /// The work folder.
        workdir: PathBuf,
        /// The error of the connection.
        #[source]
        source: io::Error,
    },
    /// The agent answered with an error.
    #[error("the agent refused: {0}")]
    Refused(String),
}

impl From<AskError> for Failure {
    fn from(cause: AskError) -> Self {
        Self::Failed(cause.into())
    }
}

/// Sends one request and waits for the answer.
pub(crate) fn ask(workdir: &Path, request: &Request) -> Result<Value, AskError> {
    let answer = exchange(workdir, request).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning(workdir.to_owned())
        }
        io::ErrorKind::PermissionDenied => AskError::NotAllowed(workdir.to_owned()),
        _ => AskError::Broken { workdir: workdir.to_owned(), source },
    })?;
    match answer {
        Answer::Ok(value) => Ok(value),
        Answer::Error(why) => Err(AskError::Refused(why)),
    }
}

fn exchange(workdir: &Path, request: &Request) -> io::Result<Answer> {
    let mut stream = socket::CONTROL.connect(workdir)?;
    stream.set_read_timeout(Some(request.patience()))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Requests the state of the agent.
pub(crate) fn fetch(workdir: &Path) -> Result<Status, Failure> {
    fetch_answer(workdir, &Request::Status)
}

/// Sends any request to the agent and decodes the answer.
pub(crate) fn fetch_answer<T: DeserializeOwned>(workdir: &Path, request: &Request) -> Result<T, Failure> {
    read_answer(ask(workdir, request)?)
}

/// Decodes an answer of the agent.
pub(crate) fn read_answer<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(value)
        .map_err(|cause| Failure::Failed(anyhow::Error::new(cause).context("decoding the agent's answer")))
}
