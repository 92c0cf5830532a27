//! Control of a running tracer: it should run while its host wants it and its supervisor has not asked it to stop.

use std::sync::Arc;
use std::time::Duration;

use actors::{Progress, clock};
use tokio::sync::watch;

use crate::host::{Switch, until};

/// Interval at which a tracer that only waits reports progress.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Stop signal and host's switch of one incarnation. Clones share them.
#[derive(Clone)]
pub(crate) struct Control {
    switch: Arc<Switch>,
    stop: Arc<watch::Sender<bool>>,
}

impl Control {
    pub(crate) fn new(switch: Arc<Switch>) -> Self {
        Self { switch, stop: Arc::new(watch::Sender::new(false)) }
    }

    /// Asks the tracer to end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.is_stopped() || !self.switch.is_wanted()
    }

    /// Waits until the tracer should not run: because it must end, or until its host wants it again.
    pub(crate) async fn halted(&self) {
        tokio::select! {
            () = until(&self.stop, true) => {}
            () = self.switch.until_wanted(false) => {}
        }
    }

    /// Waits until the host wants the tracer; returns false if it must end instead.
    pub(crate) async fn wanted(&self, progress: &Progress) -> bool {
        loop {
            progress.mark();
            tokio::select! {
                biased;
                () = until(&self.stop, true) => return false,
                () = self.switch.until_wanted(true) => return true,
                () = clock::sleep(PROGRESS_INTERVAL) => {}
            }
        }
    }

    pub(crate) fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }
}
