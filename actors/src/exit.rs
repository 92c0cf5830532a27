//! Exits: how an incarnation of a child ended, as a value rather than a log line.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use model::lock::lock;
use serde::{Deserialize, Serialize};

/// The way in which an actor's incarnation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The actor's work is done; it is not restarted.
    Finished,
    /// The actor was asked to stop and did.
    Stopped,
    /// The actor could not continue.
    Failed {
        /// Description of the fault.
        cause: String,
        /// True if a restart may help. If not (a missing permission, a bad command), the supervisor gives up at once.
        retry: bool,
    },
    /// The actor panicked, with this message.
    Panicked(String),
    /// The actor made no progress; the text says what stood still and for how long.
    Stalled(String),
}

impl Exit {
    /// Makes the exit for a fault that a restart may fix.
    pub fn failed(cause: impl fmt::Display) -> Self {
        Self::Failed { cause: cause.to_string(), retry: true }
    }

    /// Makes the exit for a fault that no restart fixes: a missing permission, a bad command.
    pub fn given_up(cause: impl fmt::Display) -> Self {
        Self::Failed { cause: cause.to_string(), retry: false }
    }

    /// Returns whether a new incarnation should be tried.
    pub fn wants_restart(&self) -> bool {
        match self {
            Self::Finished | Self::Stopped => false,
            Self::Failed { retry, .. } => *retry,
            Self::Panicked(_) | Self::Stalled(_) => true,
        }
    }

    /// Returns the cause as text; `None` for exits that are not faults.
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

/// Number of a child's incarnations that ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCounts {
    /// Incarnations that finished their work.
    pub finished: u64,
    /// Incarnations that stopped when asked to.
    pub stopped: u64,
    /// Incarnations that could not continue.
    pub failed: u64,
    /// Incarnations that panicked.
    pub panicked: u64,
    /// Incarnations that were ended because they made no progress.
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

/// Holds an incarnation's exit once the actor or its supervisor has set one. The first one set counts.
#[derive(Clone, Default)]
pub(crate) struct ExitSlot {
    inner: Arc<Mutex<(Option<Exit>, Option<Waker>)>>,
}

impl ExitSlot {
    pub(crate) fn set(&self, exit: Exit) {
        let mut slot = lock(&self.inner);
        slot.0.get_or_insert(exit);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Exit> {
        let mut slot = lock(&self.inner);
        if let Some(exit) = slot.0.clone() {
            return Poll::Ready(exit);
        }
        slot.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}
