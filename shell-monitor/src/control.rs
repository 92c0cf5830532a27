//! Control of a running tracer: it should run while its host wants it and its supervisor has not asked it to stop.

use std::sync::Arc;
use std::time::Duration;

use actors::{LoopCtx, State};

use crate::switch::Switch;

/// Maximum time between two marks of progress.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Signals for the loop of one incarnation: the supervisor's request to stop, and the host's switch.
pub(crate) struct Control<S> {
    pub(crate) ctx: LoopCtx<S>,
    switch: Arc<Switch>,
}

impl<S> Clone for Control<S> {
    fn clone(&self) -> Self {
        Self { ctx: self.ctx.clone(), switch: self.switch.clone() }
    }
}

impl<S: State> Control<S> {
    pub(crate) fn new(ctx: LoopCtx<S>, switch: Arc<Switch>) -> Self {
        Self { ctx, switch }
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.ctx.is_stopping() || !self.switch.is_wanted()
    }

    /// Waits until the tracer should not run: because it must end, or until its host wants it again.
    pub(crate) async fn halted(&self) {
        tokio::select! {
            () = self.ctx.stopped() => {}
            () = self.switch.until_wanted(false) => {}
        }
    }

    /// Waits until the host wants the tracer; returns false if it must end instead.
    pub(crate) async fn wanted(&self) -> bool {
        let wanted = async {
            tokio::select! {
                biased;
                () = self.ctx.stopped() => false,
                () = self.switch.until_wanted(true) => true,
            }
        };
        self.ctx.progress().marking(wanted).await
    }

    pub(crate) fn switch(&self) -> &Arc<Switch> {
        &self.switch
    }
}
