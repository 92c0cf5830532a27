//! Supervision: builds children from factories, watches their progress, restarts, gives up and stops them.
//!
//! A `ChildTask` owns each child. It builds an incarnation with the factory, waits for its [`Exit`], and decides what
//! follows. An incarnation ends by itself (finished, failed, panicked), because it stalled (neither lane of its
//! [`Progress`] may stand still longer than `stall_after`), or because it was asked to stop. Crashes are followed by a
//! restart after a growing delay; more than `max_restarts` within `window`, or a fault that no restart fixes, and the
//! child is given up, with its first cause kept. Name, published state and status live outside the incarnations, so
//! they survive restarts; a child that blocks its own thread is abandoned with that thread and rebuilt on a new one.
//!
//! ```text
//!              factory             stop requested
//!   Starting ───────────▶ Running ────────────────▶ Stopped
//!      ▲                     │ exit
//!      │                     ├─ finished ──────────▶ Finished ──┐
//!      │ delay is over       ├─ crashed, stalled                │ revive()
//!      └───── BackingOff ◀───┤                                  ├─────────▶ Starting
//!                            └─ too often, no retry ▶ GivenUp ──┘
//! ```

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use model::lock::lock;
use tokio::sync::{Notify, oneshot, watch};

use crate::child::Shared;
use crate::clock::{self, Instant};
use crate::driver;
use crate::exit::ExitSlot;
use crate::progress::Watch;
use crate::{
    ActorCtx, AnyChild, Backoff, Child, ChildRef, ChildStatus, Exit, Phase, Progress, Shutdown, State,
};

/// Number of progress checks within `stall_after`.
const CHECKS_PER_STALL: u32 = 4;
/// Time a child that is being ended may take until its thread is considered blocked and abandoned.
const ABANDON_AFTER: Duration = Duration::from_secs(1);

/// Limits on the restarts of a child; beyond them it is given up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// Restarts allowed within `window`; the next crash makes the supervisor give up.
    pub max_restarts: u32,
    /// Period over which restarts are counted; older ones are forgotten.
    pub window: Duration,
    /// Delay before each restart.
    pub backoff: Backoff,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { max_restarts: 10, window: Duration::from_secs(60), backoff: Backoff::default() }
    }
}

/// The thread that a child runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Runs the child on the supervisor's thread.
    #[default]
    Here,
    /// Runs the child on a thread of its own, the only way to replace a child that blocks its thread.
    OwnThread,
}

/// Settings of a supervised child.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Name of the child in status and logs.
    pub name: String,
    /// Limits on the child's restarts.
    pub restart: RestartPolicy,
    /// Time without progress after which the child counts as stalled.
    pub stall_after: Duration,
    /// Time the child has to flush once it was asked to stop.
    pub stop_timeout: Duration,
    /// The thread the child runs on.
    pub placement: Placement,
    /// Builds the child once more if it is asked to stop after a crash, so that it can drain a queue that outlives its
    /// incarnations.
    pub last_try: bool,
    /// Allows [`ChildRef::revive`] after the child was given up or has finished; keeps its factory until it is stopped.
    pub revivable: bool,
}

impl Spec {
    /// Creates a spec with the default settings: stall after 30 s, stop within 5 s, on the supervisor's thread.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            restart: RestartPolicy::default(),
            stall_after: Duration::from_secs(30),
            stop_timeout: Duration::from_secs(5),
            placement: Placement::default(),
            last_try: false,
            revivable: false,
        }
    }
}

/// Builds and watches children. Clones share the same children.
#[derive(Clone, Default)]
pub struct Supervisor {
    children: Arc<Mutex<Vec<Arc<dyn AnyChild>>>>,
}

impl Supervisor {
    /// Creates a supervisor without children.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds a child and supervises it. The factory runs once for each incarnation, on the child's thread.
    ///
    /// # Panics
    /// Outside an actix system.
    pub fn spawn<A: Child, S: State>(
        &self,
        spec: Spec,
        factory: impl Fn(ActorCtx<S>) -> A + Send + Sync + 'static,
    ) -> ChildRef<A, S> {
        let shared = Arc::new(Shared {
            name: spec.name.clone(),
            state: Arc::default(),
            status: watch::Sender::new(ChildStatus::default()),
            addr: watch::Sender::new(None),
            stop: watch::Sender::new(false),
            revival: spec.revivable.then(Notify::new),
        });
        let child = ChildRef { shared: shared.clone() };
        let mut children = lock(&self.children);
        // Stopped children never run again, so they are removed here: a long run with many changes must not collect them.
        children.retain(|child| child.status().phase != Phase::Stopped);
        children.push(Arc::new(child.clone()));
        drop(children);
        actix::spawn(ChildTask { spec, shared, factory: Arc::new(factory), arbiter: None }.keep());
        child
    }

    /// Returns all children that were not stopped, in the order in which they were spawned.
    pub fn children(&self) -> Vec<Arc<dyn AnyChild>> {
        lock(&self.children).clone()
    }
}

/// Supervises one child until it will not run again.
struct ChildTask<A: actix::Actor, S, F> {
    spec: Spec,
    shared: Arc<Shared<A, S>>,
    factory: Arc<F>,
    arbiter: Option<Arbiter>,
}

impl<A: Child, S: State, F: Fn(ActorCtx<S>) -> A + Send + Sync + 'static> ChildTask<A, S, F> {
    async fn keep(mut self) {
        loop {
            let phase = self.keep_until_it_ends().await;
            if let Some(arbiter) = self.arbiter.take() {
                arbiter.stop();
            }
            self.shared.status.send_modify(|status| status.phase = phase);
            if phase == Phase::Stopped || !self.revived().await {
                return;
            }
        }
    }

    /// Waits until the child is revived; returns false if it is stopped instead or cannot be revived.
    async fn revived(&self) -> bool {
        let Some(revival) = &self.shared.revival else { return false };
        tokio::select! {
            () = revival.notified() => true,
            () = stop_requested(&self.shared.stop) => {
                // If it was both revived and stopped, its phase is `Starting`, and `stop` waits for a terminal one.
                self.shared.status.send_modify(|status| {
                    if !status.phase.is_terminal() {
                        status.phase = Phase::Stopped;
                    }
                });
                false
            }
        }
    }

    async fn keep_until_it_ends(&mut self) -> Phase {
        let mut restarts: Vec<Instant> = Vec::new();
        loop {
            let exit = self.run_once().await;
            self.note(&exit);
            if *self.shared.stop.borrow() {
                if matches!(exit, Exit::Panicked(_) | Exit::Failed { retry: true, .. }) {
                    self.try_once_more().await;
                }
                break Phase::Stopped;
            }
            match exit {
                Exit::Finished => break Phase::Finished,
                Exit::Stopped => break Phase::Stopped,
                _ => {}
            }
            restarts.retain(|at| at.elapsed() < self.spec.restart.window);
            if !exit.wants_restart() || restarts.len() >= self.spec.restart.max_restarts as usize {
                tracing::error!(child = self.spec.name, cause = %exit, restarts = restarts.len(), "given up");
                break Phase::GivenUp;
            }
            if !self.back_off(restarts.len() as u32).await {
                self.try_once_more().await;
                break Phase::Stopped;
            }
            restarts.push(clock::now());
        }
    }

    /// Runs one more incarnation, only so that it can stop in order, if the spec asks for that.
    async fn try_once_more(&mut self) {
        if self.spec.last_try {
            let exit = self.run_once().await;
            self.note(&exit);
        }
    }

    /// Waits before the next restart; returns false if the child is to stop instead.
    async fn back_off(&self, retry: u32) -> bool {
        let delay = self.spec.restart.backoff.delay(retry, rand::random());
        self.shared.status.send_modify(|status| status.phase = Phase::BackingOff);
        tokio::select! {
            () = clock::sleep(delay) => {}
            () = stop_requested(&self.shared.stop) => return false,
        }
        self.shared.status.send_modify(|status| {
            status.phase = Phase::Starting;
            status.restarts += 1;
        });
        true
    }

    /// Runs one incarnation to its end.
    async fn run_once(&mut self) -> Exit {
        let (slot, progress) = (ExitSlot::default(), Progress::default());
        let (ended, end) = oneshot::channel();
        let ctx = ActorCtx::new(&self.spec.name, self.shared.state.clone(), progress.clone(), slot.clone());
        let (factory, shared, driven) = (self.factory.clone(), self.shared.clone(), slot.clone());
        let run = move || async move {
            let started = move |addr| {
                shared.addr.send_replace(Some(addr));
                shared.status.send_modify(|status| status.phase = Phase::Running);
            };
            let exit = driver::drive(move |ctx| factory(ctx), ctx, driven, started).await;
            let _ = ended.send(exit);
        };
        match self.arbiter() {
            None => drop(actix::spawn(run())),
            Some(arbiter) => drop(arbiter.spawn_fn(move || drop(actix::spawn(run())))),
        }
        let exit = self.watch(end, &slot, Watch::new(progress)).await;
        self.shared.addr.send_replace(None);
        exit
    }

    fn arbiter(&mut self) -> Option<ArbiterHandle> {
        match self.spec.placement {
            Placement::Here => None,
            Placement::OwnThread => Some(self.arbiter.get_or_insert_with(Arbiter::new).handle()),
        }
    }

    /// Waits for the incarnation's end; ends it if it stalls, or if it does not stop in time when asked to.
    async fn watch(&mut self, mut end: oneshot::Receiver<Exit>, slot: &ExitSlot, mut watch: Watch) -> Exit {
        let interval = (self.spec.stall_after / CHECKS_PER_STALL).max(Duration::from_millis(1));
        loop {
            tokio::select! {
                exit = &mut end => return exit.unwrap_or_else(|_| thread_died()),
                () = stop_requested(&self.shared.stop) => return self.stop(end, slot).await,
                () = clock::sleep(clock::until_tick(interval)) => {}
            }
            if let Some(how) = watch.stalled(self.spec.stall_after) {
                return self.force(end, slot, Exit::Stalled(how)).await;
            }
        }
    }

    /// Asks the incarnation to stop; one that is still starting is asked as soon as it has an address.
    async fn stop(&mut self, mut end: oneshot::Receiver<Exit>, slot: &ExitSlot) -> Exit {
        let mut addrs = self.shared.addr.subscribe();
        let ask = async {
            let addr = addrs.wait_for(Option::is_some).await.ok().and_then(|addr| addr.clone());
            if let Some(addr) = addr {
                // The answer says only that the request was received; the exit follows separately.
                let _ = addr.send(Shutdown).await;
            }
            std::future::pending::<()>().await;
        };
        let limit = self.spec.stop_timeout;
        tokio::select! {
            exit = &mut end => match exit.unwrap_or_else(|_| thread_died()) {
                Exit::Finished => Exit::Stopped,
                exit => exit,
            },
            () = ask => Exit::Stopped,
            () = clock::sleep(limit) => {
                let how = format!("did not stop within {:.1} s", limit.as_secs_f64());
                self.force(end, slot, Exit::Stalled(how)).await
            }
        }
    }

    /// Ends the incarnation from outside. If it blocks its own thread, the thread is abandoned.
    async fn force(&mut self, mut end: oneshot::Receiver<Exit>, slot: &ExitSlot, exit: Exit) -> Exit {
        slot.set(exit.clone());
        if self.spec.placement == Placement::Here {
            return end.await.unwrap_or(exit);
        }
        tokio::select! {
            ended = &mut end => ended.unwrap_or(exit),
            () = clock::sleep(ABANDON_AFTER) => {
                tracing::error!(child = self.spec.name, "the actor blocks its thread; the thread is abandoned");
                self.arbiter = None;
                exit
            }
        }
    }

    fn note(&self, exit: &Exit) {
        let cause = exit.cause();
        match &cause {
            // A fault without retry is logged where the child is given up.
            Some(cause) if exit.wants_restart() => {
                tracing::warn!(child = self.spec.name, cause, "child crashed")
            }
            _ => tracing::debug!(child = self.spec.name, how = %exit, "child exited"),
        }
        self.shared.status.send_modify(|status| {
            status.exits.count(exit);
            if let Some(cause) = cause {
                status.first_cause.get_or_insert_with(|| cause.clone());
                status.last_cause = Some(cause);
            }
        });
    }
}

async fn stop_requested(stop: &watch::Sender<bool>) {
    let mut stop = stop.subscribe();
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn thread_died() -> Exit {
    Exit::Panicked("the actor's thread ended".to_owned())
}
