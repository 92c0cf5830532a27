//! The sending end of a bounded data channel, with a named policy for when it is full.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What to do with an item when the queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// Wait. Back-pressure goes up to the source: a ring fills, a child's pipe fills.
    #[default]
    Block,
    /// Drop the newest item. Its claim books its records as lost.
    Drop,
}

/// Nobody will ever read the queue again.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the receiving actor is gone for good")]
pub struct Closed;

/// The sending end. Clones send into the same queue and share the counters.
pub struct Outbox<T> {
    sender: flume::Sender<T>,
    when_full: WhenFull,
    dropped: Arc<AtomicU64>,
}

impl<T> Outbox<T> {
    /// A queue for `capacity` items (at least one). Whoever supervises the reader keeps a clone of the receiver,
    /// so that the queue outlives the reader.
    pub fn channel(capacity: usize, when_full: WhenFull) -> (Self, flume::Receiver<T>) {
        let (sender, receiver) = flume::bounded(capacity.max(1));
        (Self { sender, when_full, dropped: Arc::default() }, receiver)
    }

    /// Sends one item; what happens when the queue is full is the outbox's policy.
    ///
    /// # Errors
    /// [`Closed`] when no receiver is left; the item is dropped, and with it its claim.
    pub async fn send(&self, item: T) -> Result<(), Closed> {
        match self.when_full {
            WhenFull::Block => self.sender.send_async(item).await.map_err(|_| Closed),
            WhenFull::Drop => self.try_send(item).map(|_| ()),
        }
    }

    /// Sends one item if there is room now, else drops it and counts; says which of the two.
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

    /// Offers one item: it comes back when the queue is full, whatever the policy.
    ///
    /// # Errors
    /// The item, when the queue is full or nobody reads it any more.
    pub fn offer(&self, item: T) -> Result<(), T> {
        self.sender.try_send(item).map_err(flume::TrySendError::into_inner)
    }

    /// Whether nobody will ever read the queue again.
    pub fn is_closed(&self) -> bool {
        self.sender.is_disconnected()
    }

    /// Items dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Items waiting.
    pub fn len(&self) -> usize {
        self.sender.len()
    }

    /// None is waiting.
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
