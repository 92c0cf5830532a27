//! A shell tracer: runs a command at an interval, and makes records of output that has changed.

mod work;

use std::sync::Arc;

use actix::{Handler, Message};
use actors::{ActorLoop, Exit, LoopActor, LoopCtx, Spec};
use tokio::sync::Semaphore;

use crate::control::Control;
use crate::output::Format;
use crate::settings::ShellSettings;
use crate::state::ShellState;
use crate::switch::Switch;
use crate::wiring::Wiring;
use model::lock::lock;
use work::{Cached, Work};

pub(crate) use work::Cache;

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
