//! The switch of a tracer, through which its host attaches and detaches it.

use std::sync::Arc;

use tokio::sync::watch;

/// Signals between a host and one tracer: whether the tracer is wanted, whether a program of it is being started, and
/// whether it runs. It outlives the
/// incarnations of both.
pub(crate) struct Switch {
    pub(crate) wanted: watch::Sender<bool>,
    pub(crate) attached: watch::Sender<bool>,
    starting: watch::Sender<bool>,
}

impl Switch {
    pub(crate) fn new() -> Arc<Self> {
        let [attached, starting] = [false; 2].map(watch::Sender::new);
        Arc::new(Self { wanted: watch::Sender::new(true), attached, starting })
    }

    pub(crate) fn is_wanted(&self) -> bool {
        *self.wanted.borrow()
    }

    pub(crate) fn is_attached(&self) -> bool {
        *self.attached.borrow()
    }

    /// Makes a switch for the tracer that replaces this one: it is wanted if this one was.
    pub(crate) fn successor(&self) -> Arc<Self> {
        let successor = Self::new();
        successor.wanted.send_replace(self.is_wanted());
        successor
    }

    pub(crate) async fn until_wanted(&self, wanted: bool) {
        until(&self.wanted, wanted).await;
    }

    /// Waits until the tracer runs, or until nothing of it runs any more.
    pub(crate) async fn followed(&self, on: bool) {
        if !on {
            until(&self.starting, false).await;
        }
        until(&self.attached, on).await;
    }

    /// Marks a program of the tracer as being started until the returned value is dropped.
    pub(crate) fn start(self: &Arc<Self>) -> Starting {
        self.starting.send_replace(true);
        Starting(self.clone())
    }

    /// Marks the tracer as attached until the returned value is dropped.
    pub(crate) fn attach(self: &Arc<Self>) -> Attached {
        self.attached.send_replace(true);
        Attached(self.clone())
    }
}

pub(crate) struct Starting(Arc<Switch>);

impl Drop for Starting {
    fn drop(&mut self) {
        self.0.starting.send_replace(false);
    }
}

pub(crate) struct Attached(Arc<Switch>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.attached.send_replace(false);
    }
}

async fn until(signal: &watch::Sender<bool>, value: bool) {
    // The sender is borrowed, so waiting can't fail.
    let _ = signal.subscribe().wait_for(|now| *now == value).await;
}
