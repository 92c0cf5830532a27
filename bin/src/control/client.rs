//! Asks the agent that runs on a work folder.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::{Answer, Request, short_path};

/// An agent that takes no request for this long is in trouble worth telling.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// Nobody listens.
    #[error("no agent runs on the work folder {}", .0.display())]
    NotRunning(PathBuf),
    /// Not ours to ask.
    #[error("the agent on {} runs as another user: ask as that user or as root", .0.display())]
    NotAllowed(PathBuf),
    /// It broke off.
    #[error("talking to the agent on {}", workdir.display())]
    Broken {
        /// Where.
        workdir: PathBuf,
        /// How.
        #[source]
        source: io::Error,
    },
    /// It said no.
    #[error("the agent refused: {0}")]
    Refused(String),
}

/// Asks once.
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
    let (path, _folder) = short_path(workdir)?;
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(request.patience()))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
