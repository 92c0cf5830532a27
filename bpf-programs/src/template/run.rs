//! The loop of a template's host: load, read, decode, hand on; and in order at the end.

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
use super::host::Body;
use super::plan::Plan;
use super::work::{Look, Work};

/// How soon a buffer that is being drained to its end is looked at again.
const SOON: Duration = Duration::from_millis(1);
/// Looks that have to find nothing, [`SOON`] apart, before a buffer is taken to be drained: a program that was
/// running when its hook was taken away may be about to write its record.
const QUIET_LOOKS: u32 = 2;
/// How long that may take. Records that are still coming by then come from a program that nobody can stop.
const DRAIN_WAIT: Duration = Duration::from_millis(1500);
/// Progress is marked at least this often.
const MARK: Duration = Duration::from_millis(500);

/// Why a host's loop ends.
enum End {
    Stopped,
    GivenUp(String),
    Failed(String),
}

impl Body {
    pub(super) async fn run(self: Rc<Self>) {
        self.link.update(|state| state.program = self.fixture.program.display().to_string());
        let end = self.live().await;
        match end {
            End::Stopped => self.link.end(Exit::Stopped),
            End::GivenUp(cause) => {
                self.answer(true, &Err(cause.clone()));
                self.link.give_up(cause);
            }
            End::Failed(cause) => self.link.fail(cause),
        }
    }

    async fn live(&self) -> End {
        loop {
            let wanted = self.fixture.wanted.load(Relaxed);
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

    /// The loaded object. One that another thread holds is lost with it: that thread is stuck.
    fn work(&self) -> Result<MutexGuard<'_, Option<Work>>, End> {
        match self.fixture.work.try_lock() {
            Ok(work) => Ok(work),
            // Each step leaves it whole; the batch that was in hand has been booked.
            Err(TryLockError::Poisoned(work)) => Ok(work.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(End::GivenUp("its last incarnation is stuck with the object".to_owned()))
            }
        }
    }

    /// Reads or compiles, loads, attaches.
    async fn open(&self) -> Result<(), TemplateError> {
        let fixture = &self.fixture;
        let bytes = self.marking(compile::object(&fixture.program, &fixture.config.cflags)).await?;
        let work = {
            let _zone = self.link.progress().zone("loading an eBPF object");
            let plan = Plan::new(&fixture.config, &fixture.program, bytes)?;
            Work::load(plan, fixture.account.clone())?
        };
        for without in &work.attached.without {
            tracing::warn!(tracer = fixture.name, without, "tracer runs without");
        }
        tracing::info!(tracer = fixture.name, hooks = ?work.attached.hooks, "tracer attached");
        self.link.update(|state| {
            state.attached = true;
            state.hooks.clone_from(&work.attached.hooks);
            state.without.clone_from(&work.attached.without);
            state.map = work.map();
            state.ring_losses = work.how_losses_are_known().to_owned();
            (state.last_error, state.advice) = (None, Vec::new());
        });
        *fixture.work.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(work);
        self.answer(true, &Ok(()));
        Ok(())
    }

    fn refused(&self, cause: &TemplateError) -> End {
        let (words, advice) = (cause.to_string(), cause.advice());
        tracing::error!(tracer = self.fixture.name, cause = words, ?advice, "tracer can't run");
        self.link.update(|state| {
            state.attached = false;
            (state.last_error, state.advice) = (Some(words.clone()), advice);
        });
        End::GivenUp(words)
    }

    /// Reads until it is wanted no more.
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
        let waker =
            waker.and_then(watch).map_err(|cause| End::Failed(format!("watching its buffer: {cause}")))?;
        while self.fixture.wanted.load(Relaxed) && !self.stopping.get() {
            if self.look().await? {
                // Control first: a flood in the buffer may go on for ever.
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

    /// Detaches, takes what is left, lets the object go.
    async fn close(&self) -> Result<(), End> {
        if let Some(work) = &mut *self.work()? {
            work.detach();
        }
        self.link.update(|state| {
            state.attached = false;
            state.hooks.clear();
        });
        let (until, mut quiet) = (clock::now() + DRAIN_WAIT, 0);
        while quiet < QUIET_LOOKS && clock::now() < until {
            quiet = if self.look().await? { 0 } else { quiet + 1 };
            clock::sleep(SOON).await;
        }
        *self.work()? = None;
        tracing::info!(tracer = self.fixture.name, "tracer detached");
        self.answer(false, &Ok(()));
        Ok(())
    }

    /// Takes what is in the buffer, up to a batch; says whether there may be more.
    async fn look(&self) -> Result<bool, End> {
        self.link.progress().mark();
        let look = {
            let mut work = self.work()?;
            let Some(work) = &mut *work else { return Ok(false) };
            work.look(self.panic_next.get())
                .map_err(|cause| End::Failed(format!("reading its counters: {cause}")))?
        };
        self.show(&look);
        if let Some(batch) = look.batch {
            self.pass_on(batch).await?;
        }
        Ok(look.more)
    }

    fn show(&self, look: &Look) {
        if let Some(cause) = &look.error {
            let (tracer, count) = (&self.fixture.name, look.errors);
            tracing::warn!(tracer, count, cause, "records could not be decoded");
        }
        if look.decoded > 0 || look.errors > 0 {
            self.link.update(|state| {
                state.decoded += look.decoded;
                state.decode_errors += look.errors;
                state.last_error = look.error.clone().or(state.last_error.take());
            });
        }
    }

    async fn pass_on(&self, batch: Batch) -> Result<(), End> {
        // Waiting for room is no stall.
        let sent = self.marking(self.fixture.collector.send(batch)).await;
        sent.map_err(|Closed| End::GivenUp("the collector is gone for good".to_owned()))
    }

    /// Waits for it, and says meanwhile that this lives.
    async fn marking<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            self.link.progress().mark();
            tokio::select! {
                done = &mut work => return done,
                () = clock::sleep(MARK) => {}
            }
        }
    }

    /// Answers those who wait for it to be attached or not; those who wait for the opposite were overtaken.
    fn answer(&self, attached: bool, how: &Result<(), String>) {
        for (wanted, answer) in self.waiting.borrow_mut().drain(..) {
            let overtaken = || Err("it was asked for the opposite meanwhile".to_owned());
            // Nobody may be waiting any more.
            let _ = answer.send(if wanted == attached { how.clone() } else { overtaken() });
        }
    }
}
