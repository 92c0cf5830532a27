//! How an incarnation of a child ended: a value, not a log line.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why an actor's incarnation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Its work is done; it is not restarted.
    Finished,
    /// It was asked to stop and did.
    Stopped,
    /// It could not go on.
    Failed {
        /// What went wrong.
        cause: String,
        /// Another try may help. If not (a missing permission, a bad command), the supervisor gives up at once.
        retry: bool,
    },
    /// It panicked, with this message.
    Panicked(String),
    /// It made no progress, in the words of who noticed.
    Stalled(String),
}

impl Exit {
    /// Whether a new incarnation should be tried.
    pub fn wants_restart(&self) -> bool {
        match self {
            Self::Finished | Self::Stopped => false,
            Self::Failed { retry, .. } => *retry,
            Self::Panicked(_) | Self::Stalled(_) => true,
        }
    }

    /// The cause in words; `None` for ends that are no fault.
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Finished | Self::Stopped => None,
            _ => Some(self.to_string()),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed { cause, .. } => f.write_str(cause),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
            Self::Stalled(how) => write!(f, "stalled: {how}"),
        }
    }
}

/// How often a child's incarnations ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCounts {
    /// Work done.
    pub finished: u64,
    /// Asked to stop.
    pub stopped: u64,
    /// Could not go on.
    pub failed: u64,
    /// Panicked.
    pub panicked: u64,
    /// Made no progress.
    pub stalled: u64,
}

impl ExitCounts {
    pub(crate) fn count(&mut self, exit: &Exit) {
        let counter = match exit {
            Exit::Finished => &mut self.finished,
            Exit::Stopped => &mut self.stopped,
            Exit::Failed { .. } => &mut self.failed,
            Exit::Panicked(_) => &mut self.panicked,
            Exit::Stalled(_) => &mut self.stalled,
        };
        *counter += 1;
    }
}
