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
use model::lock::lock;
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
/// Maximum wait between two polls, and so between two marks of progress.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

impl Control {
    pub(super) async fn run(self: Rc<Self>) -> Exit {
        self.ctx.update(|state| state.program = self.shared.program.display().to_string());
        let exit = self.live().await.err().unwrap_or(Exit::Stopped);
        if let Exit::Failed { cause, retry: false } = &exit {
            self.answer(true, &Err(cause.clone()));
        }
        exit
    }

    /// Does what is wanted until the template is stopped.
    async fn live(&self) -> Result<(), Exit> {
        loop {
            let wanted = self.shared.wanted.load(Relaxed) && !self.ctx.is_stopping();
            let there = self.work()?.is_some();
            match (wanted, there) {
                (true, false) => self.open().await.map_err(|cause| self.refused(&cause))?,
                (true, true) => self.serve().await?,
                (false, true) => self.close().await?,
                (false, false) => {
                    self.answer(false, &Ok(()));
                    if self.ctx.is_stopping() {
                        return Ok(());
                    }
                    self.ctx.progress().marking(self.ctx.woken()).await;
                }
            }
        }
    }

    /// Locks the loaded object. If another thread holds it, that thread is stuck and the object is lost with
    /// it.
    fn work(&self) -> Result<MutexGuard<'_, Option<Work>>, Exit> {
        match self.shared.work.try_lock() {
            Ok(work) => Ok(work),
            // Each step leaves the object whole; the batch in hand was already counted as lost.
            Err(TryLockError::Poisoned(work)) => Ok(work.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(Exit::given_up("the previous incarnation is stuck and still holds the object"))
            }
        }
    }

    /// Reads or compiles the program, loads and attaches it.
    async fn open(&self) -> Result<(), TemplateError> {
        let shared = &self.shared;
        let bytes =
            self.ctx.progress().marking(compile::object(&shared.program, &shared.config.cflags)).await?;
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
        *lock(&shared.work) = Some(work);
        self.answer(true, &Ok(()));
        Ok(())
    }

    fn refused(&self, cause: &TemplateError) -> Exit {
        let (words, advice) = (cause.to_string(), cause.advice());
        tracing::error!(tracer = self.shared.name, cause = words, ?advice, "tracer can't run");
        self.ctx.update(|state| {
            state.attached = false;
            (state.last_error, state.advice) = (Some(words.clone()), advice);
        });
        Exit::given_up(words)
    }

    /// Reads records until the template is detached or stopped.
    async fn serve(&self) -> Result<(), Exit> {
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
            .map_err(|cause| Exit::failed(format!("watch the template's buffer: {cause}")))?;
        while self.shared.wanted.load(Relaxed) && !self.ctx.is_stopping() {
            if self.poll().await? {
                // Control messages first: a flood in the buffer may never end.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                Ok(mut ready) = waker.readable() => ready.clear_ready(),
                () = self.ctx.woken() => {}
                () = clock::sleep(timeout.min(LONGEST_WAIT)) => {}
            }
        }
        Ok(())
    }

    /// Detaches, takes what is left in the buffer, drops the object.
    async fn close(&self) -> Result<(), Exit> {
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
    async fn poll(&self) -> Result<bool, Exit> {
        self.ctx.progress().mark();
        let result = {
            let mut work = self.work()?;
            let Some(work) = &mut *work else { return Ok(false) };
            work.poll(|| self.ctx.panic_if_asked())
                .map_err(|cause| Exit::failed(format!("read the template's counters: {cause}")))?
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

    async fn pass_on(&self, batch: Batch) -> Result<(), Exit> {
        let sent = self.ctx.progress().marking(self.shared.collector.send(batch)).await;
        sent.map_err(|Closed| Exit::given_up("the collector has ended"))
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
