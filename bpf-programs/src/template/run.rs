//! The loop of a template's host: load, read, decode, pass on; and an orderly end.
//!
//! ```text
//!            wanted                      not wanted, or stopping
//! (nothing) ───────► open ──► serve ───────────────────────────► close ──► (nothing)
//!                              │ ▲                                 │
//!                              ▼ │ record or timeout               ▼ until QUIET_POLLS find nothing
//!                              poll                               poll
//! ```

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{MutexGuard, TryLockError};
use std::time::Duration;

use actors::clock;
use actors::{Closed, Exit};
use model::Batch;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::compile;
use super::errors::TemplateError;
use super::host::Control;
use super::plan::Plan;
use super::work::{PollResult, Work};

/// Pause between two polls of a buffer that is being drained to its end.
const SOON: Duration = Duration::from_millis(1);
/// Number of empty polls, [`SOON`] apart, after which a buffer counts as drained: a program that was running
/// when its hook was detached may still write its record.
const QUIET_POLLS: u32 = 2;
/// Limit of that. Records that still arrive by then come from a program that can't be stopped.
const DRAIN_WAIT: Duration = Duration::from_millis(1500);
/// Progress is marked at least this often.
const MARK: Duration = Duration::from_millis(500);

/// Reason why a host's loop ends.
enum End {
    Stopped,
    GivenUp(String),
    Failed(String),
}

impl Control {
    pub(super) async fn run(self: Rc<Self>) {
        self.ctx.update(|state| state.program = self.shared.program.display().to_string());
        let end = self.live().await;
        match end {
            End::Stopped => self.ctx.end(Exit::Stopped),
            End::GivenUp(cause) => {
                self.answer(true, &Err(cause.clone()));
                self.ctx.give_up(cause);
            }
            End::Failed(cause) => self.ctx.fail(cause),
        }
    }

    async fn live(&self) -> End {
        loop {
            let wanted = self.shared.wanted.load(Relaxed);
            let there = match self.work() {
                Ok(work) => work.is_some(),
                Err(end) => return end,
            };
            match (wanted && !self.stopping.get(), there) {
                (true, false) => {
                    if let Err(cause) = self.open().await {
                        return self.refused(&cause);
                    }
                }
                (true, true) => match self.serve().await {
                    Ok(()) => {}
                    Err(end) => return end,
                },
                (false, true) => {
                    if let Err(end) = self.close().await {
                        return end;
                    }
                }
                (false, false) => {
                    self.answer(false, &Ok(()));
                    if self.stopping.get() {
                        return End::Stopped;
                    }
                    self.marking(self.wake.notified()).await;
                }
            }
        }
    }

    /// Locks the loaded object. If another thread holds it, that thread is stuck and the object is lost with
    /// it.
    fn work(&self) -> Result<MutexGuard<'_, Option<Work>>, End> {
        match self.shared.work.try_lock() {
            Ok(work) => Ok(work),
            // Each step leaves the object whole; the batch in hand was already counted as lost.
            Err(TryLockError::Poisoned(work)) => Ok(work.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(End::GivenUp("the previous incarnation is stuck and still holds the object".to_owned()))
            }
        }
    }

    /// Reads or compiles the program, loads and attaches it.
    async fn open(&self) -> Result<(), TemplateError> {
        let shared = &self.shared;
        let bytes = self.marking(compile::object(&shared.program, &shared.config.cflags)).await?;
        let work = {
            let _zone = self.ctx.progress().zone("loading an eBPF object");
            let plan = Plan::new(&shared.config, &shared.program, bytes)?;
            Work::load(plan, shared.account.clone())?
        };
        for without in &work.attached.without {
            tracing::warn!(tracer = shared.name, without, "tracer runs without a hook");
        }
        tracing::info!(tracer = shared.name, "tracer attached");
        tracing::debug!(tracer = shared.name, hooks = ?work.attached.hooks, "hooks of the tracer");
        self.ctx.update(|state| {
            state.attached = true;
            state.hooks.clone_from(&work.attached.hooks);
            state.without.clone_from(&work.attached.without);
            state.map = work.map();
            state.ring_losses = work.how_losses_are_known().to_owned();
            (state.last_error, state.advice) = (None, Vec::new());
        });
        *shared.work.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(work);
        self.answer(true, &Ok(()));
        Ok(())
    }

    fn refused(&self, cause: &TemplateError) -> End {
        let (words, advice) = (cause.to_string(), cause.advice());
        tracing::error!(tracer = self.shared.name, cause = words, ?advice, "tracer can't run");
        self.ctx.update(|state| {
            state.attached = false;
            (state.last_error, state.advice) = (Some(words.clone()), advice);
        });
        End::GivenUp(words)
    }

    /// Reads records until the template is detached or stopped.
    async fn serve(&self) -> Result<(), End> {
        let (waker, timeout) = {
            let work = self.work()?;
            let Some(work) = &*work else { return Ok(()) };
            (work.waker(), work.poll_timeout())
        };
        #[expect(
            deprecated,
            reason = "unsound for descriptors that may be closed under it; an OwnedFd can't be"
        )]
        let watch = |fd: OwnedFd| AsyncFd::with_interest(fd, Interest::READABLE);
        let waker = waker
            .and_then(watch)
            .map_err(|cause| End::Failed(format!("watch the template's buffer: {cause}")))?;
        while self.shared.wanted.load(Relaxed) && !self.stopping.get() {
            if self.poll().await? {
                // Control messages first: a flood in the buffer may never end.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                Ok(mut ready) = waker.readable() => ready.clear_ready(),
                () = self.wake.notified() => {}
                () = clock::sleep(timeout.min(MARK)) => {}
            }
        }
        Ok(())
    }

    /// Detaches, takes what is left in the buffer, drops the object.
    async fn close(&self) -> Result<(), End> {
        if let Some(work) = &mut *self.work()? {
            work.detach();
        }
        self.ctx.update(|state| {
            state.attached = false;
            state.hooks.clear();
        });
        let (until, mut quiet) = (clock::now() + DRAIN_WAIT, 0);
        while quiet < QUIET_POLLS && clock::now() < until {
            quiet = if self.poll().await? { 0 } else { quiet + 1 };
            clock::sleep(SOON).await;
        }
        *self.work()? = None;
        tracing::info!(tracer = self.shared.name, "tracer detached");
        self.answer(false, &Ok(()));
        Ok(())
    }

    /// Takes up to a batch of records out of the buffer; returns whether there may be more.
    async fn poll(&self) -> Result<bool, End> {
        self.ctx.progress().mark();
        let result = {
            let mut work = self.work()?;
            let Some(work) = &mut *work else { return Ok(false) };
            work.poll(self.panic_next.get())
                .map_err(|cause| End::Failed(format!("read the template's counters: {cause}")))?
        };
        self.show(&result);
        if let Some(batch) = result.batch {
            self.pass_on(batch).await?;
        }
        Ok(result.more)
    }

    fn show(&self, result: &PollResult) {
        if let Some(cause) = &result.error {
            let (tracer, count) = (&self.shared.name, result.errors);
            tracing::warn!(tracer, count, cause, "records could not be decoded");
        }
        if result.decoded > 0 || result.errors > 0 {
            self.ctx.update(|state| {
                state.decoded += result.decoded;
                state.decode_errors += result.errors;
                state.last_error = result.error.clone().or(state.last_error.take());
            });
        }
    }

    async fn pass_on(&self, batch: Batch) -> Result<(), End> {
        // Waiting for room in the queue is not a stall.
        let sent = self.marking(self.shared.collector.send(batch)).await;
        sent.map_err(|Closed| End::GivenUp("the collector has ended".to_owned()))
    }

    /// Waits for `work`, marking progress meanwhile.
    async fn marking<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            self.ctx.progress().mark();
            tokio::select! {
                done = &mut work => return done,
                () = clock::sleep(MARK) => {}
            }
        }
    }

    /// Answers the requests to attach or detach that now hold; those for the opposite were overtaken.
    fn answer(&self, attached: bool, how: &Result<(), String>) {
        for (wanted, answer) in self.waiting.borrow_mut().drain(..) {
            let overtaken = || Err("an opposite request came in meanwhile".to_owned());
            // The receiver may be gone.
            let _ = answer.send(if wanted == attached { how.clone() } else { overtaken() });
        }
    }
}
