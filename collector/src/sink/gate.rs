//! Closes the store for new rows when it takes all the room that it may have.

use std::sync::{Arc, Mutex};

use model::lock::lock;

/// Whether the store takes new rows. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    closed: Arc<Mutex<Option<String>>>,
}

impl Gate {
    /// Closes the gate for this reason, or opens it.
    pub fn set(&self, closed: Option<String>) {
        *lock(&self.closed) = closed;
    }

    /// Returns why the gate is closed, if it is.
    pub fn closed(&self) -> Option<String> {
        lock(&self.closed).clone()
    }
}
