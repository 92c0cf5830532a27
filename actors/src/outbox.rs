//! The sending end of a bounded data channel, with a configurable policy for a full queue.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Policy for an item that is sent while the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// Waits for room. Back-pressure reaches the source: a ring or a child's pipe fills up.
    #[default]
    Block,
    /// Drops the item; its claim counts its records as lost.
    Drop,
}

/// The queue has no receiver any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the receiving actor has ended and will not run again")]
pub struct Closed;

/// Sends items into a bounded queue. Clones send into the same queue and share the counters.
pub struct Outbox<T> {
    sender: flume::Sender<T>,
    when_full: WhenFull,
    dropped: Arc<AtomicU64>,
}

impl<T> Outbox<T> {
    /// Creates a queue for `capacity` items (at least one). The reader's supervisor keeps a clone of the receiver, so
    /// that the queue outlives a crashed reader.
    pub fn channel(capacity: usize, when_full: WhenFull) -> (Self, flume::Receiver<T>) {
        let (sender, receiver) = flume::bounded(capacity.max(1));
        (Self { sender, when_full, dropped: Arc::default() }, receiver)
    }

    /// Sends one item; if the queue is full, the outbox's [`WhenFull`] policy applies.
    ///
    /// # Errors
    /// [`Closed`] when no receiver is left; the item is dropped, and with it its claim.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        match self.when_full {
            WhenFull::Block => self.sender.send_async(item).await.map_err(|_| Closed),
            WhenFull::Drop => self.try_send(item).map(|_| ()),
        }
    }

    /// Sends one item if there is room now; otherwise drops and counts it. Returns whether it was sent.
    ///
    /// # Errors
    /// [`Closed`] when no receiver is left.
    pub fn try_send(&self, item: T) -> Result<bool, Closed> {
        match self.sender.try_send(item) {
            Ok(()) => Ok(true),
            Err(flume::TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Relaxed);
                Ok(false)
            }
            Err(flume::TrySendError::Disconnected(_)) => Err(Closed),
        }
    }

    /// Sends one item if there is room now; otherwise returns it to the caller, whatever the policy.
    ///
    /// # Errors
    /// The item, when the queue is full or has no receiver any more.
    pub fn offer(&self, item: T) -> Result<(), T> {
        self.sender.try_send(item).map_err(flume::TrySendError::into_inner)
    }

    /// Returns whether the queue has no receiver any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_disconnected()
    }

    /// Returns the number of items dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Returns the number of items in the queue.
    pub fn len(&self) -> usize {
        self.sender.len()
    }

    /// Returns whether the queue has no items.
    pub fn is_empty(&self) -> bool {
        self.sender.is_empty()
    }
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), when_full: self.when_full, dropped: self.dropped.clone() }
    }
}

impl<T> fmt::Debug for Outbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("len", &self.len()).field("when_full", &self.when_full).finish()
    }
}
