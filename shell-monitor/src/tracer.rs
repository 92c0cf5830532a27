//! Handle to a tracer of either kind.

use std::sync::Arc;

use actors::{AnyChild, LoopRef};
use model::TracerName;

use crate::shell::{Cache, ShellTracer};
use crate::switch::Switch;

/// Kind of a tracer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Runs a command at an interval.
    Shell,
    /// Keeps a child process running.
    Subprocess,
}

/// A shell or subprocess tracer.
#[derive(Clone)]
pub struct Tracer {
    /// Name that its rows are stored under.
    pub name: TracerName,
    /// Configuration section that defines it.
    pub section: String,
    pub kind: Kind,
    /// The tracer's actor.
    pub child: Arc<dyn AnyChild>,
    /// The same actor and its cache, if this is a shell tracer.
    pub(crate) shell: Option<(LoopRef<ShellTracer>, Cache)>,
    pub(crate) switch: Arc<Switch>,
}

impl Tracer {
    /// Returns whether the tracer runs; a shell tracer also does between its runs.
    pub fn is_attached(&self) -> bool {
        self.switch.is_attached()
    }

    /// Returns whether the tracer should run, which is true unless it was detached.
    pub fn is_wanted(&self) -> bool {
        self.switch.is_wanted()
    }
}
