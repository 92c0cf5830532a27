//! The host's read loop, and the state that the loop and the message handlers share.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Exit, LoopCtx, Outbox};
use model::Account;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::at_stop::AtStop;
use super::batch::RawBatch;
use super::core::{Core, PollResult};
use super::handover::{Handover, Kept};
use super::state::HostState;
use crate::errors::AttachError;
use crate::kernel::{Attached, PinState};
use crate::programs::Tracer;
use crate::wire::Ring;

/// Wait before a full queue is tried again, and before a ring that is being drained is polled again.
const SOON: Duration = Duration::from_millis(1);
/// Limit on the wait for a detached tracer's last records: a program that was running when it was detached ends within
/// microseconds, but a queue in the agent may be full.
const DETACH_WAIT: Duration = Duration::from_secs(5);
/// Limit on the wait for last records when everything stops; records not read by then are counted as lost.
const STOP_WAIT: Duration = Duration::from_millis(1500);
/// Number of empty polls, [`SOON`] apart, after which a ring counts as drained.
const QUIET_POLLS: u32 = 2;
/// Progress is marked at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// State shared by the read loop and the message handlers.
pub(super) struct Shared {
    ctx: LoopCtx<HostState>,
    handover: Arc<Handover>,
    inner: RefCell<Inner>,
}

struct Inner {
    kept: Option<Kept>,
    /// Set while the host stops: the deadline for draining the rings.
    stopping: Option<Instant>,
    detaching: Vec<Detaching>,
    /// Successive polls that found nothing to read. One is not enough: a program that was running when its hook was
    /// detached may still write its record.
    quiet: u32,
}

/// A detach that waits for the tracer's last records.
struct Detaching {
    tracer: &'static Tracer,
    until: Instant,
    quiet: u32,
    answer: oneshot::Sender<()>,
}

/// Next action after a poll.
enum Next {
    GoOn,
    /// Waits, but not for the lifecycle ring or not for the others if these are blocked.
    Wait {
        time: Duration,
        blocked: [bool; 2],
    },
    End,
}

impl Shared {
    pub(super) fn new(ctx: LoopCtx<HostState>, handover: Arc<Handover>) -> Self {
        let inner = Inner { kept: None, stopping: None, detaching: Vec::new(), quiet: 0 };
        Self { ctx, handover, inner: RefCell::new(inner) }
    }

    /// Takes over the object of the previous incarnation, or loads one.
    pub(super) fn begin(&self) -> Result<(), Exit> {
        let _zone = self.ctx.progress().zone("loading the eBPF object");
        let kept = self.handover.take().map_err(|cause| {
            let advice = cause.advice();
            tracing::error!(%cause, ?advice, "no kernel tracer can run");
            self.ctx.update(|state| state.advice = advice);
            Exit::given_up(cause)
        })?;
        if let Some(processes) = kept.processes {
            tracing::debug!(processes, "eBPF object loaded");
            self.ctx.update(|state| state.processes = processes);
        } else {
            tracing::info!("eBPF object taken over from the host's previous incarnation");
        }
        let mut inner = self.inner.borrow_mut();
        self.ctx.update(|state| {
            state.set_poll_interval(self.handover.interval());
            if let Some(core) = &kept.core {
                state.pin = core.kernel.pin_info.shown();
                state.splits.clone_from(&core.kernel.splits);
                state.without.clone_from(&core.kernel.lacks);
                state.passed_over.clone_from(&core.kernel.passed_over);
            }
        });
        inner.kept = Some(kept);
        Ok(())
    }

    pub(super) fn attach(
        &self,
        tracer: &'static Tracer,
        account: &Arc<Account>,
        outbox: Outbox<RawBatch>,
    ) -> Result<Attached, AttachError> {
        let _zone = self.ctx.progress().zone("attaching a tracer");
        let slot = self.handover.slot_for(tracer, account);
        let mut inner = self.inner.borrow_mut();
        if self.ctx.is_stopping() {
            return Err(AttachError::Stopping { tracer: tracer.name });
        }
        let Some(core) = inner.core() else { return Err(AttachError::Unknown { tracer: tracer.name }) };
        let attached = core.attach(&slot, outbox.clone())?;
        // An earlier detach that still waits is superseded.
        inner.detaching.retain(|waiting| waiting.tracer.kind != tracer.kind);
        slot.set_outbox(Some(outbox));
        self.handover.store_slot(slot);
        self.show_attached();
        tracing::info!(tracer = tracer.name, "tracer attached");
        tracing::debug!(tracer = tracer.name, hooks = ?attached.hooks, "hooks of the tracer");
        Ok(attached)
    }

    pub(super) fn detach(&self, tracer: &'static Tracer) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let mut inner = self.inner.borrow_mut();
        if let Some(core) = inner.core() {
            core.kernel.detach(tracer);
            inner.detaching.push(Detaching { tracer, until: clock::now() + DETACH_WAIT, quiet: 0, answer });
        }
        self.ctx.wake();
        answered
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        self.handover.set_interval(interval);
        self.ctx.update(|state| state.set_poll_interval(interval));
        self.ctx.wake();
    }

    /// Applies a change to the object, unless the host has ended.
    pub(super) fn with_core(&self, change: impl FnOnce(&mut Core)) {
        if let Some(core) = self.inner.borrow_mut().core() {
            change(core);
        }
    }

    pub(super) fn unpin(&self, why: String) {
        self.with_core(|core| {
            if core.kernel.pin_info.state.pin.is_none() {
                return;
            }
            tracing::warn!(why, "nothing is pinned any more: events between two runs will be missed");
            core.kernel.hooks.unpin();
            core.accounts.unpin();
            core.kernel.pin_info.state = PinState { problem: Some(why), ..PinState::default() };
            self.ctx.update(|state| state.pin = core.kernel.pin_info.shown());
        });
    }

    fn show_attached(&self) {
        let slots = self.handover.slots().into_iter().filter(|slot| slot.outbox().is_some());
        let names = slots.map(|slot| slot.tracer.name.to_owned()).collect();
        self.ctx.update(|state| state.attached = names);
    }

    /// Reads the rings until the host is stopped.
    pub(super) async fn run(self: Rc<Self>) -> Exit {
        let wakers = match self.wakers() {
            Ok(wakers) => wakers,
            Err(cause) => return Exit::failed(format!("watching eBPF rings: {cause}")),
        };
        self.show_attached();
        loop {
            let next = self.step();
            self.ctx.progress().mark();
            match next {
                // Yields to control messages: a flood in the rings may never end.
                Next::GoOn => tokio::task::yield_now().await,
                Next::Wait { time, blocked } => self.wait(&wakers, time, blocked).await,
                Next::End => return Exit::Stopped,
            }
        }
    }

    fn wakers(&self) -> io::Result<[AsyncFd<OwnedFd>; 3]> {
        let mut inner = self.inner.borrow_mut();
        let core = inner.core().ok_or_else(|| io::Error::other("no eBPF object"))?;
        #[expect(
            deprecated,
            reason = "unsound for descriptors that may be closed under it; an OwnedFd can't be"
        )]
        let watch = |fd: OwnedFd| AsyncFd::with_interest(fd, Interest::READABLE);
        let waker = |ring: Ring| watch(core.kernel.rings[ring as usize].waker()?);
        Ok([waker(Ring::Lifecycle)?, waker(Ring::Security)?, waker(Ring::Data)?])
    }

    async fn wait(
        &self,
        [lifecycle, security, data]: &[AsyncFd<OwnedFd>; 3],
        time: Duration,
        blocked: [bool; 2],
    ) {
        tokio::select! {
            // While a queue is full, records stay in the rings, which are then always readable.
            Ok(mut ready) = lifecycle.readable(), if !blocked[0] => ready.clear_ready(),
            Ok(mut ready) = security.readable(), if !blocked[1] => ready.clear_ready(),
            Ok(mut ready) = data.readable(), if !blocked[1] => ready.clear_ready(),
            () = self.ctx.woken() => {}
            () = clock::sleep(time) => {}
        }
    }

    /// Polls the rings once and decides what to do next.
    fn step(&self) -> Next {
        let mut inner = self.inner.borrow_mut();
        if inner.kept.as_ref().is_none_or(Kept::is_outdated) {
            return Next::End;
        }
        if self.ctx.is_stopping() && inner.stopping.is_none() {
            inner.stop(self.handover.at_stop());
        }
        let Some(core) = inner.core() else { return Next::End };
        let polled = core.poll();
        self.show(core, polled);
        let empty = !polled.more && core.is_done();
        inner.quiet = if empty { inner.quiet.saturating_add(1) } else { 0 };
        let done = inner.quiet >= QUIET_POLLS;
        if inner.stopping.is_some_and(|until| done || clock::now() >= until) {
            inner.finish();
            return Next::End;
        }
        self.answer_detached(&mut inner, polled);
        if polled.more {
            return Next::GoOn;
        }
        let soon = polled.blocked || inner.stopping.is_some() || !inner.detaching.is_empty();
        let time = if soon { SOON } else { self.handover.interval().min(LONGEST_WAIT) };
        Next::Wait { time, blocked: [polled.lifecycle_blocked, polled.blocked] }
    }

    fn answer_detached(&self, inner: &mut Inner, polled: PollResult) {
        if inner.detaching.is_empty() || polled.more {
            return;
        }
        let now = clock::now();
        for mut waiting in std::mem::take(&mut inner.detaching) {
            let Some(core) = inner.core() else { return };
            waiting.quiet = if core.is_drained(waiting.tracer) { waiting.quiet + 1 } else { 0 };
            if waiting.quiet < QUIET_POLLS && now < waiting.until {
                inner.detaching.push(waiting);
                continue;
            }
            core.forget(waiting.tracer);
            let slot = self.handover.slot(waiting.tracer.kind);
            if let Some(slot) = slot.filter(|slot| slot.outbox().is_some()) {
                slot.set_outbox(None);
                tracing::info!(tracer = waiting.tracer.name, "tracer detached");
            }
            // The receiver may be gone.
            let _ = waiting.answer.send(());
        }
        self.show_attached();
    }

    fn show(&self, core: &mut Core, polled: PollResult) {
        let counters = core.demux.counters;
        let filtered = core.filtered_by();
        let table = core.demux.table.size();
        self.ctx.update(|state| {
            if let Some(filtered) = filtered {
                state.filtered = filtered;
            }
            state.blocked = polled.blocked;
            state.table = table;
            state.lifecycle_lost = counters.lifecycle_lost;
            state.malformed = counters.malformed;
            state.unreadable = counters.unreadable;
            state.usage_paths_cut = counters.usage_paths_cut;
            state.meddled_full = counters.meddled_full;
            state.given_back = counters.given_back;
        });
    }
}

impl Inner {
    fn core(&mut self) -> Option<&mut Core> {
        self.kept.as_mut().and_then(|kept| kept.core.as_mut())
    }

    /// Switches everything off; the rings are then read to their end.
    fn stop(&mut self, at_stop: AtStop) {
        hang_if_wanted();
        self.quiet = 0;
        if let Some(core) = self.core() {
            core.switch_off(at_stop);
        }
        self.stopping = Some(clock::now() + STOP_WAIT);
    }

    /// Closes all accounts and drops the object.
    fn finish(&mut self) {
        if let Some(mut core) = self.kept.as_mut().and_then(|kept| kept.core.take()) {
            core.finish();
        }
        self.kept = None;
    }
}

/// Blocks the thread for ever if a test wants a host that does not stop.
#[cfg(feature = "fault-injection")]
fn hang_if_wanted() {
    if std::env::var_os("DUETECTOR_FAULT_HANG_AT_STOP").is_some() {
        tracing::info!("hanging at the stop");
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(feature = "fault-injection"))]
fn hang_if_wanted() {}
