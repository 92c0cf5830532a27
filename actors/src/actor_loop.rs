//! Actors that consist of one loop. Such an actor's mailbox only controls the loop: stop, wake up, panic for a test.
//!
//! ```text
//!  Shutdown, InjectPanic ──▶ LoopActor ──▶ LoopCtx ──▶ the loop ──▶ Exit
//!  messages of the actor ──▶ (mailbox)    (signals)   (start())
//! ```
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//!
//! use actix::{Handler, Message, System};
//! use actors::{ActorLoop, Exit, LoopActor, LoopCtx, Spec, Supervisor};
//!
//! /// Adds up the numbers it is sent.
//! struct Counter {
//!     ctx: LoopCtx<u64>,
//!     inbox: Rc<Cell<u64>>,
//! }
//!
//! impl ActorLoop for Counter {
//!     type State = u64;
//!
//!     fn start(&mut self) -> impl Future<Output = Exit> + 'static {
//!         let (ctx, inbox) = (self.ctx.clone(), self.inbox.clone());
//!         async move {
//!             while !ctx.is_stopping() {
//!                 ctx.progress().marking(ctx.woken()).await;
//!                 ctx.update(|total| *total += inbox.take());
//!             }
//!             Exit::Stopped
//!         }
//!     }
//! }
//!
//! struct Count(u64);
//!
//! impl Message for Count {
//!     type Result = ();
//! }
//!
//! impl Handler<Count> for LoopActor<Counter> {
//!     type Result = ();
//!     fn handle(&mut self, Count(by): Count, _: &mut Self::Context) {
//!         self.inbox.set(self.inbox.get() + by);
//!         self.ctx().wake();
//!     }
//! }
//!
//! System::new().block_on(async {
//!     let make = |ctx| Counter { ctx, inbox: Rc::default() };
//!     let counter = Supervisor::new().spawn_loop(Spec::new("counter"), make);
//!     counter.ask(Count(3)).await.unwrap();
//!     assert_eq!(counter.stop().await.exits.stopped, 1);
//!     assert_eq!(counter.state(), 3);
//! });
//! ```

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

use actix::{Actor, AsyncContext, Context, Handler, WrapFuture};
use tokio::sync::Notify;

use crate::{ActorCtx, ChildRef, Exit, Shutdown, Spec, State, Supervisor};

/// The loop of an actor, and the data that the loop shares with the actor's message handlers.
pub trait ActorLoop: Sized + Unpin + 'static {
    /// State that the actor publishes.
    type State: State;

    /// Starts the loop; called once for each incarnation, before its first message. The loop returns how the incarnation
    /// ends, and should return soon after [`LoopCtx::is_stopping`] has become true.
    fn start(&mut self) -> impl Future<Output = Exit> + 'static;
}

/// A handle to a supervised [`LoopActor`].
pub type LoopRef<L> = ChildRef<LoopActor<L>, <L as ActorLoop>::State>;

/// The actor that runs an [`ActorLoop`] and passes it the signals of the mailbox. Dereferences to the loop's data.
pub struct LoopActor<L: ActorLoop> {
    ctx: LoopCtx<L::State>,
    body: L,
}

impl<L: ActorLoop> LoopActor<L> {
    /// Returns the handle that the loop has, too.
    pub fn ctx(&self) -> &LoopCtx<L::State> {
        &self.ctx
    }
}

impl<L: ActorLoop> Deref for LoopActor<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.body
    }
}

impl<L: ActorLoop> Actor for LoopActor<L> {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (running, ctx) = (self.body.start(), self.ctx.clone());
        context.spawn(async move { ctx.end(running.await) }.into_actor(self));
    }
}

impl<L: ActorLoop> Handler<Shutdown> for LoopActor<L> {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.ctx.signals.stopping.set(true);
        self.ctx.signals.wake.notify_waiters();
        self.ctx.wake();
    }
}

/// Makes the actor panic the next time its loop calls [`LoopCtx::panic_if_asked`]. For tests of supervision.
#[cfg(feature = "fault-injection")]
#[derive(Clone, Copy, Debug)]
pub struct InjectPanic;

#[cfg(feature = "fault-injection")]
impl actix::Message for InjectPanic {
    type Result = ();
}

#[cfg(feature = "fault-injection")]
impl<L: ActorLoop> Handler<InjectPanic> for LoopActor<L> {
    type Result = ();

    fn handle(&mut self, _: InjectPanic, _: &mut Self::Context) {
        self.ctx.signals.panic.set(true);
        self.ctx.wake();
    }
}

/// An [`ActorCtx`] with the signals that the mailbox of a [`LoopActor`] passes to its loop. Clones share the signals.
pub struct LoopCtx<S> {
    ctx: ActorCtx<S>,
    signals: Rc<Signals>,
}

#[derive(Default)]
struct Signals {
    stopping: Cell<bool>,
    panic: Cell<bool>,
    wake: Notify,
}

impl<S> Clone for LoopCtx<S> {
    fn clone(&self) -> Self {
        Self { ctx: self.ctx.clone(), signals: self.signals.clone() }
    }
}

impl<S> Deref for LoopCtx<S> {
    type Target = ActorCtx<S>;

    fn deref(&self) -> &ActorCtx<S> {
        &self.ctx
    }
}

impl<S> LoopCtx<S> {
    /// Returns whether the actor was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.signals.stopping.get()
    }

    /// Waits until the actor is asked to stop. Any number of tasks may wait.
    pub async fn stopped(&self) {
        loop {
            let woken = self.signals.wake.notified();
            if self.is_stopping() {
                return;
            }
            woken.await;
        }
    }

    /// Wakes the loop; a message handler calls this when there is something to do.
    pub fn wake(&self) {
        self.signals.wake.notify_one();
    }

    /// Waits for a [`Self::wake`], a request to stop, or an injected panic, since the last time. Only the loop itself may
    /// wait, since each signal wakes one waiter.
    pub async fn woken(&self) {
        self.signals.wake.notified().await;
    }

    /// Panics if a test has asked for it.
    ///
    /// # Panics
    /// See above.
    pub fn panic_if_asked(&self) {
        assert!(!self.signals.panic.get(), "injected panic");
    }
}

impl Supervisor {
    /// Builds an actor around a loop and supervises it, see [`Supervisor::spawn`].
    ///
    /// # Panics
    /// Outside an actix system.
    pub fn spawn_loop<L: ActorLoop>(
        &self,
        spec: Spec,
        factory: impl Fn(LoopCtx<L::State>) -> L + Send + Sync + 'static,
    ) -> LoopRef<L> {
        self.spawn(spec, move |ctx| {
            let ctx = LoopCtx { ctx, signals: Rc::default() };
            LoopActor { body: factory(ctx.clone()), ctx }
        })
    }
}
