//! Runs one incarnation of an actor on its arbiter and returns how it ended.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use actix::{Actor, Addr, AsyncContext, Context};
use model::lock::lock;

use crate::progress::MARK;
use crate::{ActorCtx, Child, Exit, Progress, State, clock};

/// Holds an incarnation's exit once the actor or its supervisor has set one. The first one set counts.
#[derive(Clone, Default)]
pub(crate) struct ExitSlot {
    inner: Arc<Mutex<(Option<Exit>, Option<Waker>)>>,
}

impl ExitSlot {
    pub(crate) fn set(&self, exit: Exit) {
        let mut slot = lock(&self.inner);
        slot.0.get_or_insert(exit);
        if let Some(waker) = slot.1.take() {
            waker.wake();
        }
    }

    fn poll(&self, cx: &TaskContext<'_>) -> Poll<Exit> {
        let mut slot = lock(&self.inner);
        if let Some(exit) = slot.0.clone() {
            return Poll::Ready(exit);
        }
        slot.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Builds the actor, reports its address through `started`, and runs it until it ends.
pub(crate) async fn drive<A: Child, S: State>(
    factory: impl FnOnce(ActorCtx<S>) -> A + 'static,
    ctx: ActorCtx<S>,
    slot: ExitSlot,
    started: impl FnOnce(Addr<A>) + 'static,
) -> Exit {
    let progress = ctx.progress().clone();
    let mut body: Option<Pin<Box<dyn Future<Output = ()>>>> = Some(Box::pin(async move {
        let actor = factory(ctx);
        let context = context::<A>(progress);
        started(context.address());
        context.into_future(actor).await;
    }));
    let exit = poll_fn(|cx| {
        if let Poll::Ready(exit) = slot.poll(cx) {
            return Poll::Ready(exit);
        }
        let Some(body) = body.as_mut() else { return Poll::Ready(Exit::Finished) };
        match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
            Ok(Poll::Pending) => slot.poll(cx),
            Ok(Poll::Ready(())) => Poll::Ready(match slot.poll(cx) {
                Poll::Ready(exit) => exit,
                Poll::Pending => Exit::Finished,
            }),
            Err(payload) => Poll::Ready(Exit::Panicked(panic_message(&*payload))),
        }
    })
    .await;
    // Dropping an actix context polls its futures once more; one that has panicked panics again. That must not
    // happen while unwinding, where it would abort the process.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(body.take())));
    exit
}

fn context<A: Actor<Context = Context<A>>>(progress: Progress) -> Context<A> {
    let mut context = Context::new();
    mark_ticks(&mut context, progress);
    context
}

fn mark_ticks<A: Actor<Context = Context<A>>>(context: &mut Context<A>, progress: Progress) {
    context.run_later(clock::until_tick(MARK), move |_, context| {
        progress.mark_context();
        mark_ticks(context, progress);
    });
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "(no message)".to_owned())
}
