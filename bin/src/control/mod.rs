//! The control socket: one JSON request a line, one JSON answer a line, root or the same user only.

mod client;
mod server;

use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// The configuration that holds.
    Config,
    /// Load the configuration anew and apply it. Answered when that is done.
    Reload,
    /// Turn these tracers on or off. Answered when that is done.
    Turn {
        /// Their names.
        tracers: Vec<String>,
        /// Which of the two.
        on: bool,
    },
    /// A shell tracer's cache, changed first if it is to be.
    Cache {
        /// Its name in `status`.
        tracer: String,
        /// What is to be done first.
        change: Change,
    },
    /// Stop. Answered before the agent ends.
    Stop {
        /// Leave pinned rings and programs at work, or don't; else as configured.
        #[serde(default)]
        keep: Option<bool>,
    },
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

impl Answer {
    /// What was found out, or why nothing was.
    pub(crate) fn of<T: Serialize>(found: Result<T, String>) -> Self {
        let value = found.and_then(|found| serde_json::to_value(found).map_err(|cause| cause.to_string()));
        value.map_or_else(Self::Error, Self::Ok)
    }
}

impl Request {
    /// How long the agent may take to answer. A change is answered when it is done: a sink may have to write what
    /// waits, a tracer its last records.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Reload | Self::Turn { .. } => Duration::from_secs(120),
            _ => Duration::from_secs(10),
        }
    }
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
