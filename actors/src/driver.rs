//! Runs one incarnation of an actor on its arbiter and returns how it ended.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

use actix::{Actor, Addr, AsyncContext, Context};

use crate::exit::ExitSlot;
use crate::progress::MARK;
use crate::{ActorCtx, Child, Exit, Progress, State, clock};

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
