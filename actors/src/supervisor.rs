//! Builds children from factories, watches them, builds them anew, gives up on them, stops them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle};
use tokio::sync::{Notify, oneshot, watch};

use crate::child::{Shared, lock};
use crate::clock::{self, Instant};
use crate::driver::{self, ExitSlot};
use crate::progress::Watch;
use crate::{
    ActorCtx, AnyChild, Backoff, Child, ChildRef, ChildStatus, Exit, Phase, Progress, Shutdown, State,
};

/// How often a child's progress is looked at, as a share of `stall_after`.
const LOOKS_PER_STALL: u32 = 4;
/// How long a child that was told to end may take to be dropped before its thread is given up as blocked.
const ABANDON_AFTER: Duration = Duration::from_secs(1);

/// When to stop trying.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// More restarts than this within `window`, and the child is given up.
    pub max_restarts: u32,
    /// Restarts older than this are forgotten.
    pub window: Duration,
    /// How long to wait before each.
    pub backoff: Backoff,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { max_restarts: 10, window: Duration::from_secs(60), backoff: Backoff::default() }
    }
}

/// Which thread a child runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// The supervisor's.
    #[default]
    Here,
    /// One of its own. A child that blocks its thread can be replaced only here.
    OwnThread,
}

/// How a child is to be kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its name in status and logs.
    pub name: String,
    /// When to stop trying.
    pub restart: RestartPolicy,
    /// No progress for this long is a stall.
    pub stall_after: Duration,
    /// Asked to stop, it has this long to flush.
    pub stop_timeout: Duration,
    /// Its thread.
    pub placement: Placement,
    /// Asked to stop while it has fallen, it is built once more: for children whose queue outlives them and must
    /// not be left behind.
    pub last_try: bool,
    /// Given up or finished, it can be started again ([`ChildRef::revive`]); its factory is kept until it is stopped.
    pub revivable: bool,
}

impl Spec {
    /// With the usual settings: stall after 30 s, stop within 5 s, on the supervisor's thread.
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

/// Keeps children. Clones keep the same ones.
#[derive(Clone, Default)]
pub struct Supervisor {
    children: Arc<Mutex<Vec<Arc<dyn AnyChild>>>>,
}

impl Supervisor {
    /// Without children.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds a child and keeps it. The factory runs once for each incarnation, on the child's thread.
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
        // Those that were stopped never come back: a long run with many changes must not collect them.
        children.retain(|child| child.status().phase != Phase::Stopped);
        children.push(Arc::new(child.clone()));
        drop(children);
        actix::spawn(ChildTask { spec, shared, factory: Arc::new(factory), arbiter: None }.keep());
        child
    }

    /// All children that were not stopped, in the order of their making.
    pub fn children(&self) -> Vec<Arc<dyn AnyChild>> {
        lock(&self.children).clone()
    }
}

/// Keeps one child.
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

    /// Waits until it is wanted again; false when it never will be.
    async fn revived(&self) -> bool {
        let Some(revival) = &self.shared.revival else { return false };
        tokio::select! {
            () = revival.notified() => true,
            () = stop_requested(&self.shared.stop) => {
                // It may have been asked for both: then it is `Starting`, and somebody waits for its end.
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

    /// An incarnation for nothing but to be stopped in order.
    async fn try_once_more(&mut self) {
        if self.spec.last_try {
            let exit = self.run_once().await;
            self.note(&exit);
        }
    }

    /// Waits before the next try; false if the child is to stop instead.
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

    /// Waits for the incarnation's end; ends it when it stalls, or when it is asked to stop and does not.
    async fn watch(&mut self, mut end: oneshot::Receiver<Exit>, slot: &ExitSlot, mut watch: Watch) -> Exit {
        let look = (self.spec.stall_after / LOOKS_PER_STALL).max(Duration::from_millis(1));
        loop {
            tokio::select! {
                exit = &mut end => return exit.unwrap_or_else(|_| thread_died()),
                () = stop_requested(&self.shared.stop) => return self.stop(end, slot).await,
                () = clock::sleep(clock::until_tick(look)) => {}
            }
            if let Some(how) = watch.stalled(self.spec.stall_after) {
                return self.force(end, slot, Exit::Stalled(how)).await;
            }
        }
    }

    /// Asks it to stop. It may still be starting, in which case it is asked as soon as it has an address.
    async fn stop(&mut self, mut end: oneshot::Receiver<Exit>, slot: &ExitSlot) -> Exit {
        let mut addrs = self.shared.addr.subscribe();
        let ask = async {
            let addr = addrs.wait_for(Option::is_some).await.ok().and_then(|addr| addr.clone());
            if let Some(addr) = addr {
                // The answer says only that the request was taken; the end is what counts.
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

    /// Ends it from outside. One that blocks its thread can't be ended: its thread is left behind.
    async fn force(&mut self, mut end: oneshot::Receiver<Exit>, slot: &ExitSlot, exit: Exit) -> Exit {
        slot.set(exit.clone());
        if self.spec.placement == Placement::Here {
            return end.await.unwrap_or(exit);
        }
        tokio::select! {
            ended = &mut end => ended.unwrap_or(exit),
            () = clock::sleep(ABANDON_AFTER) => {
                tracing::error!(child = self.spec.name, "thread is blocked and left behind");
                self.arbiter = None;
                exit
            }
        }
    }

    fn note(&self, exit: &Exit) {
        let cause = exit.cause();
        match &cause {
            // One that is given up at once is told then.
            Some(cause) if exit.wants_restart() => {
                tracing::warn!(child = self.spec.name, cause, "child fell")
            }
            _ => tracing::debug!(child = self.spec.name, how = %exit, "child ended"),
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
    Exit::Panicked("its thread ended".to_owned())
}
