//! Whether a tracer is to be at work: wanted by its host, and not asked to stop by its supervisor.

use std::sync::Arc;
use std::time::Duration;

use actors::{Progress, clock};
use tokio::sync::watch;

use crate::host::{Switch, until};

/// How often somebody who only waits says that it lives.
pub(crate) const MARK: Duration = Duration::from_secs(1);

/// One incarnation's duty. Clones share it.
#[derive(Clone)]
pub(crate) struct Duty {
    switch: Arc<Switch>,
    stop: Arc<watch::Sender<bool>>,
}

impl Duty {
    pub(crate) fn new(switch: Arc<Switch>) -> Self {
        Self { switch, stop: Arc::new(watch::Sender::new(false)) }
    }

    /// The supervisor wants it to end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.is_stopped() || !self.switch.is_wanted()
    }

    /// Waits until it is to leave off: for good, or until it is wanted again.
    pub(crate) async fn halted(&self) {
        tokio::select! {
            () = until(&self.stop, true) => {}
            () = self.switch.until_wanted(false) => {}
        }
    }

    /// Waits until it is wanted; false when it is to end instead.
    pub(crate) async fn wanted(&self, progress: &Progress) -> bool {
        loop {
            progress.mark();
            tokio::select! {
                biased;
                () = until(&self.stop, true) => return false,
                () = self.switch.until_wanted(true) => return true,
                () = clock::sleep(MARK) => {}
            }
        }
    }

    pub(crate) fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }
}
