//! A shell tracer: a command run at an interval, whose output is records when it has changed.

mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, AsyncContext as _, Context, Handler, Message, WrapFuture as _};
use actors::{Link, Shutdown, Spec};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::duty::Duty;
use crate::host::Switch;
use crate::output::Format;
use crate::settings::ShellSettings;
use crate::wiring::Wiring;
use work::Work;

/// What a shell tracer shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShellState {
    /// A run is under way.
    pub running: bool,
    /// Runs begun.
    pub runs: u64,
    /// Records made.
    pub emitted: u64,
    /// Runs that brought nothing that the run before had not, with the cache on.
    pub unchanged: u64,
    /// Lines or elements that should have been records and were not JSON objects. Accounted for as lost records.
    pub bad_lines: u64,
    /// Lines that the pattern was not found in.
    pub unmatched: u64,
    /// Lines beyond the output limit. Accounted for as lost records.
    pub cut_lines: u64,
    /// Runs that ended with another code than 0, or by a signal.
    pub failed: u64,
    /// Runs killed because they took too long.
    pub timed_out: u64,
    /// Runs whose output was cut.
    pub cut: u64,
    /// Runs whose output was not UTF-8.
    pub not_utf8: u64,
    /// Runs that could not begin.
    pub not_started: u64,
    /// What the latest of these facts was, in words.
    pub last_fault: Option<String>,
}

/// The output of the last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    output: Vec<u8>,
    /// It was longer than this.
    cut: bool,
    /// `None`: whatever the exit code.
    code: Option<i32>,
}

/// The cache of one tracer, which outlives its incarnations.
pub(crate) type Cache = Arc<Mutex<Option<Cached>>>;

/// Asks for the output whose like is not emitted again: the last run's. duetector's `get_cache`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Vec<u8>>")]
pub struct GetCache;

/// Sets the output whose like is not to be emitted. duetector's `set_cache`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SetCache(
    /// The output, exact to the byte.
    pub Vec<u8>,
);

/// Forgets it: all of the next output is emitted.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ClearCache;

/// The actor.
pub struct ShellTracer {
    work: Work,
}

impl ShellTracer {
    pub(crate) fn new(
        link: Link<ShellState>,
        settings: Arc<ShellSettings>,
        wiring: Wiring,
        switch: Arc<Switch>,
        shared: (Cache, Arc<Semaphore>),
    ) -> Self {
        let ((cache, permits), format) = (shared, Arc::new(Format::new(&settings.parse)));
        Self { work: Work { link, settings, wiring, duty: Duty::new(switch), cache, permits, format } }
    }
}

/// How its supervisor is to keep it.
pub(crate) fn spec(settings: &ShellSettings) -> Spec {
    Spec { revivable: true, ..Spec::new(settings.name.as_str()) }
}

impl Actor for ShellTracer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.spawn(self.work.clone().work().into_actor(self));
    }
}

impl Handler<Shutdown> for ShellTracer {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.work.duty.stop();
    }
}

impl Handler<GetCache> for ShellTracer {
    type Result = Option<Vec<u8>>;

    fn handle(&mut self, _: GetCache, _: &mut Self::Context) -> Self::Result {
        lock(&self.work.cache).as_ref().map(|cached| cached.output.clone())
    }
}

impl Handler<SetCache> for ShellTracer {
    type Result = ();

    fn handle(&mut self, SetCache(output): SetCache, _: &mut Self::Context) {
        *lock(&self.work.cache) = Some(Cached { output, cut: false, code: None });
    }
}

impl Handler<ClearCache> for ShellTracer {
    type Result = ();

    fn handle(&mut self, _: ClearCache, _: &mut Self::Context) {
        *lock(&self.work.cache) = None;
    }
}

/// The cache stays usable after a panic: it is replaced whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
