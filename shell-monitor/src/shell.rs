//! A shell tracer: a command run at an interval, whose output is a record when it has changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Actor, AsyncContext as _, Context, Handler, Message, WrapFuture as _};
use actors::{Exit, Link, Shutdown, Spec, clock};
use model::{Batch, Claim, Details, Moment, Record, Text};
use serde::Serialize;
use serde_json::Map;
use tokio::sync::Semaphore;

use crate::command::{self, Run, Why};
use crate::duty::{Duty, MARK};
use crate::host::Switch;
use crate::pending;
use crate::process::StartError;
use crate::settings::ShellSettings;
use crate::wiring::Wiring;

/// What a shell tracer shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShellState {
    /// A run is under way.
    pub running: bool,
    /// Runs begun.
    pub runs: u64,
    /// Records made.
    pub emitted: u64,
    /// Runs whose output was that of the run before, with the cache on.
    pub unchanged: u64,
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

/// What was emitted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    output: Vec<u8>,
    /// `None`: whatever the exit code.
    code: Option<i32>,
}

/// The cache of one tracer, which outlives its incarnations.
pub(crate) type Cache = Arc<Mutex<Option<Cached>>>;

/// Asks for the output that is not emitted again. duetector's `get_cache`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Vec<u8>>")]
pub struct GetCache;

/// Sets the output that is not to be emitted. duetector's `set_cache`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SetCache(
    /// The output, exact to the byte.
    pub Vec<u8>,
);

/// Forgets it: the next output is emitted, whatever it is.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ClearCache;

/// The actor.
pub struct ShellTracer {
    work: Work,
}

/// What the actor and its loop share.
#[derive(Clone)]
struct Work {
    link: Link<ShellState>,
    settings: Arc<ShellSettings>,
    wiring: Wiring,
    duty: Duty,
    cache: Cache,
    permits: Arc<Semaphore>,
}

impl ShellTracer {
    pub(crate) fn new(
        link: Link<ShellState>,
        settings: Arc<ShellSettings>,
        wiring: Wiring,
        switch: Arc<Switch>,
        shared: (Cache, Arc<Semaphore>),
    ) -> Self {
        let (cache, permits) = shared;
        Self { work: Work { link, settings, wiring, duty: Duty::new(switch), cache, permits } }
    }
}

/// How its supervisor is to keep it.
pub(crate) fn spec(settings: &ShellSettings) -> Spec {
    Spec { revivable: true, ..Spec::new(settings.name.as_str()) }
}

impl Work {
    async fn work(self) {
        while self.duty.wanted(self.link.progress()).await {
            let _attached = self.duty.switch().attach();
            while !self.duty.is_halted() {
                let next = clock::now() + self.settings.interval;
                if !self.run_once().await {
                    return;
                }
                self.rest_until(next).await;
            }
        }
        self.link.end(Exit::Stopped);
    }

    /// Runs the command and emits what it said; false when this incarnation has ended.
    async fn run_once(&self) -> bool {
        let Some(_permit) = self.permit().await else { return true };
        self.link.update(|state| {
            state.runs += 1;
            state.running = true;
        });
        let ran = command::run(&self.settings, &self.duty, self.link.progress()).await;
        self.link.update(|state| state.running = false);
        match ran {
            Err(cause) => self.not_started(&cause),
            Ok(run) => self.note(run).await,
        }
    }

    /// Waits until not too many commands run; `None` when it is to leave off instead.
    async fn permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        loop {
            self.link.progress().mark();
            tokio::select! {
                // The semaphore is never closed.
                permit = self.permits.acquire() => return permit.ok(),
                () = self.duty.halted() => return None,
                () = clock::sleep(MARK) => {}
            }
        }
    }

    /// A program that is not there on its first run is a mistake to be mended; one that has run before may be on
    /// its way back, as during an upgrade.
    fn not_started(&self, cause: &StartError) -> bool {
        self.fault(cause.to_string(), |state| &mut state.not_started);
        let state = self.link.read();
        if cause.is_permanent() && state.not_started == state.runs {
            self.link.give_up(cause);
            return false;
        }
        true
    }

    async fn note(&self, run: Run) -> bool {
        if run.why == Why::Halted {
            return true;
        }
        self.log_stderr(&run);
        if run.why == Why::TimedOut {
            let limit = self.settings.timeout.as_secs_f64();
            self.fault(format!("took longer than {limit:.1} s, {}", run.status), |state| {
                &mut state.timed_out
            });
            return true;
        }
        if run.code != Some(0) {
            self.fault(run.status.clone(), |state| &mut state.failed);
        }
        if run.output.cut > 0 {
            let cause = format!("output longer by {} bytes than its limit", run.output.cut);
            self.fault(cause, |state| &mut state.cut);
        }
        if self.is_unchanged(&run) {
            self.link.update(|state| state.unchanged += 1);
            return true;
        }
        self.emit(run).await
    }

    fn is_unchanged(&self, run: &Run) -> bool {
        self.settings.enable_cache
            && lock(&self.cache).as_ref().is_some_and(|cached| {
                cached.output == run.output.bytes && (cached.code.is_none() || cached.code == run.code)
            })
    }

    async fn emit(&self, run: Run) -> bool {
        let text = Text::from_bytes(&run.output.bytes);
        let mut fields = Map::new();
        fields.insert("output".to_owned(), text.as_str().into());
        if let Some(hex) = text.raw_hex() {
            fields.insert("output_bytes".to_owned(), hex.into());
            self.fault("output is not UTF-8".to_owned(), |state| &mut state.not_utf8);
        }
        if run.output.cut > 0 {
            fields.insert("output_cut".to_owned(), run.output.cut.into());
        }
        if run.code != Some(0) {
            fields.insert("exit".to_owned(), run.status.into());
        }
        let now = clock::boot_ns();
        let record = Record { at: Moment::Boot(now), identity: None, details: Details::Fields(fields) };
        let claim = Claim::on_new(self.wiring.accounts.of(&self.settings.name), 1, (now, now));
        let batch = Batch { claim, records: vec![record] };
        if pending::send(&self.wiring.outbox, batch, self.link.progress()).await.is_err() {
            self.link.give_up("the collector takes no records any more");
            return false;
        }
        *lock(&self.cache) = Some(Cached { output: run.output.bytes, code: run.code });
        self.link.update(|state| state.emitted += 1);
        true
    }

    async fn rest_until(&self, next: clock::Instant) {
        while clock::now() < next {
            self.link.progress().mark();
            tokio::select! {
                () = self.duty.halted() => return,
                () = clock::sleep(next.saturating_duration_since(clock::now()).min(MARK)) => {}
            }
        }
    }

    /// Counts it, and logs it unless it is what was logged last: a command may fail at each of its runs.
    fn fault(&self, cause: String, counter: impl FnOnce(&mut ShellState) -> &mut u64) {
        if self.link.read().last_fault.as_ref() != Some(&cause) {
            tracing::warn!(tracer = %self.settings.name, cause, "command went wrong");
        }
        self.link.update(|state| {
            *counter(state) += 1;
            state.last_fault = Some(cause);
        });
    }

    fn log_stderr(&self, run: &Run) {
        if !run.stderr.bytes.is_empty() {
            let text = crate::stderr::printable(&run.stderr.bytes);
            tracing::info!(tracer = %self.settings.name, text, cut = run.stderr.cut, "command wrote to stderr");
        }
    }
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
        *lock(&self.work.cache) = Some(Cached { output, code: None });
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
