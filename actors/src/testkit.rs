//! Helpers for actor tests: a system on a paused clock, and an actor that misbehaves on command.

use std::future::{Future, pending};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, System, WrapFuture};

use crate::{ActorCtx, Exit, Shutdown};

/// Runs `test` in an actix system whose clock is paused and jumps to the next timer when all tasks are idle.
/// One thread: children must be placed [`crate::Placement::Here`].
///
/// # Panics
/// When the runtime can't be built, or `test` panics.
pub fn paused<T>(test: impl Future<Output = T>) -> T {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap_or_else(|cause| panic!("building a runtime: {cause}"))
    });
    system.block_on(test)
}

/// A way to misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Panic in a message handler.
    PanicInHandler,
    /// Panic in a future that the actor has spawned.
    PanicInFuture,
    /// End with a fault that a restart may fix.
    Fail,
    /// End with a fault that no restart fixes.
    GiveUp,
    /// Stop the context without setting an exit.
    Finish,
    /// Never poll the mailbox again.
    Freeze,
    /// Stop marking work, while the mailbox is still answered.
    Idle,
    /// Block the thread forever.
    Block,
    /// Ignore the next request to stop.
    IgnoreShutdown,
    /// Do nothing but answer.
    None,
}

impl Message for Fault {
    type Result = ();
}

/// Published state of [`Faulty`]: how often it was started and has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FaultyState {
    /// Number of incarnations started.
    pub started: u64,
    /// Requests answered, over all incarnations.
    pub answered: u64,
}

/// Misbehaves on command.
pub struct Faulty {
    ctx: ActorCtx<FaultyState>,
    at_start: Fault,
    ignores_shutdown: bool,
}

impl Faulty {
    /// Creates an actor that misbehaves by itself as soon as it has started.
    pub fn at_start(ctx: ActorCtx<FaultyState>, at_start: Fault) -> Self {
        Self { ctx, at_start, ignores_shutdown: false }
    }

    /// Creates an actor that misbehaves only when it is sent a [`Fault`].
    pub fn new(ctx: ActorCtx<FaultyState>) -> Self {
        Self::at_start(ctx, Fault::None)
    }

    fn misbehave(&mut self, fault: Fault, ctx: &mut Context<Self>) {
        match fault {
            Fault::PanicInHandler => panic!("on command, in a handler"),
            Fault::PanicInFuture => {
                ctx.spawn(async { panic!("on command, in a future") }.into_actor(self));
            }
            Fault::Fail => self.ctx.fail("on command"),
            Fault::GiveUp => self.ctx.give_up("on command, without retry"),
            Fault::Finish => ctx.stop(),
            Fault::Freeze => ctx.wait(pending::<()>().into_actor(self)),
            Fault::Idle => self.ctx.progress().mark(),
            Fault::Block => loop {
                std::thread::park();
            },
            Fault::IgnoreShutdown => self.ignores_shutdown = true,
            Fault::None => {}
        }
    }
}

impl Actor for Faulty {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.ctx.update(|state| state.started += 1);
        self.misbehave(self.at_start, ctx);
    }
}

impl Handler<Fault> for Faulty {
    type Result = ();

    fn handle(&mut self, fault: Fault, ctx: &mut Self::Context) {
        self.misbehave(fault, ctx);
        self.ctx.update(|state| state.answered += 1);
    }
}

impl Handler<Shutdown> for Faulty {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        if !self.ignores_shutdown {
            self.ctx.end(Exit::Stopped);
        }
    }
}
