//! The host's loop, and what the loop and the message handlers share.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::clock::{self, Instant};
use actors::{Exit, Link, Outbox};
use model::Account;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, oneshot};

use super::core::{Core, Look};
use super::handover::{Handover, Kept};
use super::source::Attached;
use super::{HostState, RawBatch};
use crate::loader::{AttachError, LoadError};
use crate::programs::Tracer;
use crate::rules::Lowered;

/// How soon a full queue is tried again, and a ring that is being drained to its end is looked at again.
const SOON: Duration = Duration::from_millis(1);
/// How long a detached tracer's last records are waited for: a program that was running when it was detached
/// ends within microseconds, but a queue in the agent may be full.
const DETACH_WAIT: Duration = Duration::from_secs(5);
/// The same when everything is stopped; what has not come out of a ring by then is booked as lost.
const STOP_WAIT: Duration = Duration::from_millis(1500);
/// Looks that have to find nothing, [`SOON`] apart, before a ring is taken to be drained.
const QUIET_LOOKS: u32 = 2;
/// Progress is marked at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

pub(super) struct Shared {
    link: Link<HostState>,
    handover: Arc<Handover>,
    inner: RefCell<Inner>,
    wake: Notify,
}

struct Inner {
    kept: Option<Kept>,
    interval: Duration,
    /// Being stopped, and until when the rings' ends are waited for.
    stopping: Option<Instant>,
    detaching: Vec<Detaching>,
    /// Looks in a row that found nothing left to read. One is not enough: a program that was running when its
    /// hook was taken away may be about to write its record.
    quiet: u32,
}

struct Detaching {
    tracer: &'static Tracer,
    until: Instant,
    quiet: u32,
    answer: oneshot::Sender<()>,
}

/// What to do after a look.
enum Next {
    GoOn,
    Wait { time: Duration, for_data: bool },
    End,
}

impl Shared {
    pub(super) fn new(link: Link<HostState>, handover: Arc<Handover>) -> Self {
        let interval = handover.interval();
        let inner = Inner { kept: None, interval, stopping: None, detaching: Vec::new(), quiet: 0 };
        Self { link, handover, inner: RefCell::new(inner), wake: Notify::new() }
    }

    /// Takes over from the predecessor, or loads.
    pub(super) fn begin(&self) -> Result<(), LoadError> {
        let kept = self.handover.take()?;
        if let Some(processes) = kept.processes {
            tracing::info!(processes, "eBPF object loaded");
            self.link.update(|state| state.processes = processes);
        } else {
            tracing::info!("eBPF object taken over from the host's last incarnation");
        }
        let mut inner = self.inner.borrow_mut();
        let pin = kept.core.as_ref().and_then(Core::pin_state);
        let splits = kept.core.as_ref().map(Core::splits).unwrap_or_default();
        let without = kept.core.as_ref().map(Core::lacks).unwrap_or_default();
        self.link.update(|state| {
            state.look_interval_ms = inner.interval.as_millis() as u64;
            state.pin = pin;
            state.splits = splits;
            state.without = without;
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
        let seat = self.handover.seat_for(tracer, account);
        let mut inner = self.inner.borrow_mut();
        if inner.stopping.is_some() {
            return Err(AttachError::Stopping { tracer: tracer.name });
        }
        let Some(core) = inner.core() else { return Err(AttachError::Unknown { tracer: tracer.name }) };
        let attached = core.attach(&seat, outbox.clone())?;
        // Whoever waits for an earlier detach has been overtaken.
        inner.detaching.retain(|waiting| waiting.tracer.kind != tracer.kind);
        seat.set_outbox(Some(outbox));
        self.handover.keep_seat(seat);
        self.show_attached();
        tracing::info!(tracer = tracer.name, hooks = ?attached.hooks, "tracer attached");
        Ok(attached)
    }

    pub(super) fn detach(&self, tracer: &'static Tracer) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let mut inner = self.inner.borrow_mut();
        if let Some(core) = inner.core() {
            core.detach(tracer);
            inner.detaching.push(Detaching { tracer, until: clock::now() + DETACH_WAIT, quiet: 0, answer });
        }
        self.wake.notify_one();
        answered
    }

    pub(super) fn set_interval(&self, interval: Duration) {
        self.handover.set_interval(interval);
        self.inner.borrow_mut().interval = interval;
        self.link.update(|state| state.look_interval_ms = interval.as_millis() as u64);
        self.wake.notify_one();
    }

    pub(super) fn set_uids(&self, uids: &[u32]) {
        if let Some(core) = self.inner.borrow_mut().core() {
            core.set_uids(uids);
        }
    }

    pub(super) fn set_rules(&self, rules: &Lowered) {
        if let Some(core) = self.inner.borrow_mut().core() {
            core.set_rules(rules);
        }
        self.link.update(|state| state.splits.clone_from(&rules.splits));
    }

    pub(super) fn stop(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.quiet = 0;
        inner.stopping = Some(clock::now() + STOP_WAIT);
        let keep = self.handover.keep();
        match inner.core() {
            Some(core) => core.close(keep),
            None => self.link.end(Exit::Stopped),
        }
        self.wake.notify_one();
    }

    fn show_attached(&self) {
        let seats = self.handover.seats().into_iter().filter(|seat| seat.outbox().is_some());
        let names = seats.map(|seat| seat.tracer.name.to_owned()).collect();
        self.link.update(|state| state.attached = names);
    }

    /// Reads the rings until told to stop.
    pub(super) async fn run(self: Rc<Self>) {
        let wakers = match self.wakers() {
            Ok(wakers) => wakers,
            Err(cause) => return self.link.fail(format!("watching eBPF rings: {cause}")),
        };
        self.show_attached();
        loop {
            let next = self.step();
            self.link.progress().mark();
            match next {
                // Control first: a flood in the rings may go on for ever.
                Next::GoOn => tokio::task::yield_now().await,
                Next::Wait { time, for_data } => self.wait(&wakers, time, for_data).await,
                Next::End => return self.link.end(Exit::Stopped),
            }
        }
    }

    fn wakers(&self) -> io::Result<[AsyncFd<OwnedFd>; 2]> {
        let mut inner = self.inner.borrow_mut();
        let core = inner.core().ok_or_else(|| io::Error::other("no eBPF object"))?;
        let [lifecycle, data] = core.wakers()?;
        #[expect(
            deprecated,
            reason = "unsound for descriptors that may be closed under it; an OwnedFd can't be"
        )]
        let watch = |fd: OwnedFd| AsyncFd::with_interest(fd, Interest::READABLE);
        Ok([watch(lifecycle)?, watch(data)?])
    }

    async fn wait(&self, [lifecycle, data]: &[AsyncFd<OwnedFd>; 2], time: Duration, for_data: bool) {
        tokio::select! {
            Ok(mut ready) = lifecycle.readable() => ready.clear_ready(),
            // With a queue full, data stays in its ring: that it is there is no news.
            Ok(mut ready) = data.readable(), if for_data => ready.clear_ready(),
            () = self.wake.notified() => {}
            () = clock::sleep(time) => {}
        }
    }

    /// One look at the rings and what follows from it.
    fn step(&self) -> Next {
        let mut inner = self.inner.borrow_mut();
        if inner.kept.as_ref().is_none_or(Kept::is_outdated) {
            return Next::End;
        }
        let Some(core) = inner.core() else { return Next::End };
        let look = core.look();
        self.show(core, look);
        let empty = !look.more && core.is_done();
        inner.quiet = if empty { inner.quiet.saturating_add(1) } else { 0 };
        let done = inner.quiet >= QUIET_LOOKS;
        if inner.stopping.is_some_and(|until| done || clock::now() >= until) {
            inner.finish();
            return Next::End;
        }
        self.answer_detached(&mut inner, look);
        if look.more {
            return Next::GoOn;
        }
        let soon = look.blocked || look.held || inner.stopping.is_some() || !inner.detaching.is_empty();
        let time = if soon { SOON } else { inner.interval.min(LONGEST_WAIT) };
        Next::Wait { time, for_data: !look.blocked }
    }

    fn answer_detached(&self, inner: &mut Inner, look: Look) {
        if inner.detaching.is_empty() || look.more {
            return;
        }
        let now = clock::now();
        for mut waiting in std::mem::take(&mut inner.detaching) {
            let Some(core) = inner.core() else { return };
            waiting.quiet = if core.is_drained(waiting.tracer) { waiting.quiet + 1 } else { 0 };
            if waiting.quiet < QUIET_LOOKS && now < waiting.until {
                inner.detaching.push(waiting);
                continue;
            }
            core.forget(waiting.tracer);
            let seat = self.handover.seat(waiting.tracer.kind);
            if let Some(seat) = seat.filter(|seat| seat.outbox().is_some()) {
                seat.set_outbox(None);
                tracing::info!(tracer = waiting.tracer.name, "tracer detached");
            }
            // Nobody may be waiting any more.
            let _ = waiting.answer.send(());
        }
        self.show_attached();
    }

    fn show(&self, core: &mut Core, look: Look) {
        let strays = core.strays();
        let filtered = core.filtered_by();
        self.link.update(|state| {
            if let Some(filtered) = filtered {
                state.filtered = filtered;
            }
            state.blocked = look.blocked;
            state.lifecycle_lost = strays.lifecycle_lost;
            state.malformed = strays.malformed;
            state.unreadable = strays.unreadable;
        });
    }
}

impl Inner {
    fn core(&mut self) -> Option<&mut Core> {
        self.kept.as_mut().and_then(|kept| kept.core.as_mut())
    }

    /// Ends the books and lets the object go.
    fn finish(&mut self) {
        if let Some(mut core) = self.kept.as_mut().and_then(|kept| kept.core.take()) {
            core.finish();
        }
        self.kept = None;
    }
}
