//! The control socket: one JSON request a line, one JSON answer a line, root or the same user only.

mod client;
mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::commands::cache::Change;

pub(crate) use client::{AskError, ask};
pub(crate) use server::{Ask, ControlServer, bind};

/// What can be asked of a running agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// How is everybody?
    Status,
    /// A shell tracer's cache, changed first if it is to be.
    Cache {
        /// Its name in `status`.
        tracer: String,
        /// What is to be done first.
        change: Change,
    },
    /// Stop. Answered before the agent ends.
    Stop,
    /// Make this actor panic: to see that it comes back. Only with the feature `fault-injection`.
    #[cfg(feature = "fault-injection")]
    InjectPanic {
        /// Its name in `status`.
        actor: String,
    },
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Done; what was asked for.
    Ok(serde_json::Value),
    /// Not done, and why.
    Error(String),
}

/// Longest request line: nobody has to say more (a cache to be set, with every character escaped), and nobody may make
/// the agent hold more.
const MAX_REQUEST: u64 = 8 << 20;

/// Where the socket is.
pub(crate) fn socket_path(workdir: &Path) -> PathBuf {
    workdir.join("control.sock")
}

/// A path to the socket that fits a socket address (108 bytes, unix(7)) however deep the work folder is: through
/// the folder's own descriptor, which has to stay open meanwhile.
fn short_path(workdir: &Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    use std::os::fd::AsRawFd as _;
    let folder = std::fs::File::open(workdir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/control.sock", folder.as_raw_fd()));
    Ok((path, folder))
}
