//! A shell tracer: runs a command at an interval, and makes records of output that has changed.

mod work;

use std::sync::{Arc, Mutex};

use actix::{Handler, Message};
use actors::{ActorLoop, Exit, LoopActor, LoopCtx, Spec};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::control::Control;
use crate::host::Switch;
use crate::output::Format;
use crate::settings::ShellSettings;
use crate::wiring::Wiring;
use model::lock::lock;
use work::Work;

/// State that a shell tracer publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShellState {
    /// True while the command runs.
    pub running: bool,
    /// Number of runs begun.
    pub runs: u64,
    /// Number of records made.
    pub emitted: u64,
    /// Runs without any output that the previous run did not have, with the cache enabled.
    pub unchanged: u64,
    /// Lines or elements that should have been records but were not JSON objects. They count as lost records.
    pub bad_lines: u64,
    /// Lines in which the pattern was not found.
    pub unmatched: u64,
    /// Lines beyond the output limit. They count as lost records.
    pub cut_lines: u64,
    /// Runs that ended with an exit code other than 0, or by a signal.
    pub failed: u64,
    /// Runs killed because they took too long.
    pub timed_out: u64,
    /// Runs whose output was cut.
    pub cut: u64,
    /// Runs whose output was not UTF-8.
    pub not_utf8: u64,
    /// Runs that could not be started.
    pub not_started: u64,
    /// Description of the latest of these faults.
    pub last_fault: Option<String>,
}

/// Output of the last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    output: Vec<u8>,
    /// True if the output was longer and has been cut.
    cut: bool,
    /// Exit code of the run; `None` matches any.
    code: Option<i32>,
}

/// Cache of one tracer; it outlives the tracer's incarnations.
pub(crate) type Cache = Arc<Mutex<Option<Cached>>>;

/// Reads the cached output, which is not emitted again; duetector's `get_cache`.
#[derive(Clone, Copy, Debug)]
pub struct GetCache;

impl Message for GetCache {
    type Result = Option<Vec<u8>>;
}

/// Sets the cached output, which is not emitted again; duetector's `set_cache`.
#[derive(Clone, Debug)]
pub struct SetCache(
    /// Exact bytes of the output.
    pub Vec<u8>,
);

impl Message for SetCache {
    type Result = ();
}

/// Clears the cache, so that all of the next output is emitted.
#[derive(Clone, Copy, Debug)]
pub struct ClearCache;

impl Message for ClearCache {
    type Result = ();
}

/// Actor that runs one command at an interval.
pub struct ShellTracer {
    work: Work,
}

impl ShellTracer {
    pub(crate) fn new(
        ctx: LoopCtx<ShellState>,
        settings: Arc<ShellSettings>,
        wiring: Wiring,
        switch: Arc<Switch>,
        shared: (Cache, Arc<Semaphore>),
    ) -> Self {
        let ((cache, permits), format) = (shared, Arc::new(Format::new(&settings.parse)));
        let control = Control::new(ctx.clone(), switch);
        Self { work: Work { ctx, settings, wiring, control, cache, permits, format } }
    }
}

/// Returns how the supervisor runs the tracer.
pub(crate) fn spec(settings: &ShellSettings) -> Spec {
    Spec { revivable: true, ..Spec::new(settings.name.as_str()) }
}

impl ActorLoop for ShellTracer {
    type State = ShellState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        self.work.clone().run()
    }
}

impl Handler<GetCache> for LoopActor<ShellTracer> {
    type Result = Option<Vec<u8>>;

    fn handle(&mut self, _: GetCache, _: &mut Self::Context) -> Self::Result {
        lock(&self.work.cache).as_ref().map(|cached| cached.output.clone())
    }
}

impl Handler<SetCache> for LoopActor<ShellTracer> {
    type Result = ();

    fn handle(&mut self, SetCache(output): SetCache, _: &mut Self::Context) {
        *lock(&self.work.cache) = Some(Cached { output, cut: false, code: None });
    }
}

impl Handler<ClearCache> for LoopActor<ShellTracer> {
    type Result = ();

    fn handle(&mut self, _: ClearCache, _: &mut Self::Context) {
        *lock(&self.work.cache) = None;
    }
}
