//! Tests actors that consist of a loop, on a paused clock: how the mailbox stops, wakes and crashes the loop.

use std::future::pending;
use std::time::Duration;

use actix::{Handler, Message};
use actors::testkit::paused;
use actors::{
    ActorLoop, Exit, ExitCounts, InjectPanic, LoopActor, LoopCtx, LoopRef, Phase, Spec, Supervisor, clock,
};

/// Publishes how often its loop went round.
struct Rounds {
    ctx: LoopCtx<u64>,
    /// Marks progress while the loop waits.
    marks: bool,
}

impl ActorLoop for Rounds {
    type State = u64;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let (ctx, marks) = (self.ctx.clone(), self.marks);
        async move {
            ctx.progress().mark();
            while !ctx.is_stopping() {
                ctx.update(|rounds| *rounds += 1);
                if marks {
                    ctx.progress().marking(ctx.woken()).await;
                } else {
                    ctx.woken().await;
                }
                ctx.panic_if_asked();
            }
            Exit::Stopped
        }
    }
}

struct Wake;

impl Message for Wake {
    type Result = bool;
}

impl Handler<Wake> for LoopActor<Rounds> {
    type Result = bool;

    fn handle(&mut self, _: Wake, _: &mut Self::Context) -> bool {
        self.ctx().wake();
        self.marks
    }
}

/// Ends as it is told to by its factory, or waits for ever.
struct Ends(Option<Exit>);

impl ActorLoop for Ends {
    type State = u64;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let exit = self.0.take();
        async move {
            match exit {
                Some(exit) => exit,
                None => pending().await,
            }
        }
    }
}

fn rounds(marks: bool) -> LoopRef<Rounds> {
    Supervisor::new().spawn_loop(Spec::new("rounds"), move |ctx| Rounds { ctx, marks })
}

#[test]
fn a_request_to_stop_wakes_a_waiting_loop() {
    paused(async {
        let (child, start) = (rounds(true), clock::now());
        child.until(|status| status.phase == Phase::Running).await;
        let status = child.stop().await;
        assert_eq!(status.exits, ExitCounts { stopped: 1, ..ExitCounts::default() });
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    });
}

#[test]
fn a_message_wakes_the_loop_and_sees_its_data() {
    paused(async {
        let child = rounds(true);
        for _ in 0..3 {
            assert_eq!(child.ask(Wake).await, Ok(true));
            clock::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(child.state(), 4);
        child.stop().await;
    });
}

#[test]
fn an_injected_panic_restarts_the_loop() {
    paused(async {
        let child = rounds(true);
        let _ = child.ask(InjectPanic).await;
        let status = child.until(|status| status.restarts == 1 && status.phase == Phase::Running).await;
        assert_eq!(status.first_cause.as_deref(), Some("panicked: injected panic"));
        assert_eq!(child.ask(Wake).await, Ok(true));
        assert_eq!(child.stop().await.exits, ExitCounts { panicked: 1, stopped: 1, ..ExitCounts::default() });
    });
}

#[test]
fn a_loop_that_waits_without_marking_progress_is_stalled() {
    paused(async {
        let (marking, silent) = (rounds(true), rounds(false));
        clock::sleep(Duration::from_secs(50)).await;
        assert_eq!(marking.status().exits, ExitCounts::default());
        assert_eq!(silent.status().exits, ExitCounts { stalled: 1, ..ExitCounts::default() });
    });
}

#[test]
fn the_loop_returns_how_the_actor_ends() {
    paused(async {
        let ended =
            |exit: Option<Exit>| Supervisor::new().spawn_loop(Spec::new("ends"), move |_| Ends(exit.clone()));
        assert_eq!(ended(Some(Exit::Finished)).ended().await.phase, Phase::Finished);
        let given_up = ended(Some(Exit::given_up("no permission"))).ended().await;
        assert_eq!((given_up.phase, given_up.restarts), (Phase::GivenUp, 0));
        assert_eq!(given_up.first_cause.as_deref(), Some("no permission"));
        let failed = ended(Some(Exit::failed("no connection")));
        failed.until(|status| status.restarts == 2).await;
        // A loop that ignores the request to stop is ended.
        assert_eq!(ended(None).stop().await.exits.stalled, 1);
    });
}

#[test]
fn several_tasks_may_wait_for_the_request_to_stop() {
    /// Stops when three tasks have seen the request.
    struct Three(LoopCtx<u64>);
    impl ActorLoop for Three {
        type State = u64;
        fn start(&mut self) -> impl Future<Output = Exit> + 'static {
            let ctx = self.0.clone();
            async move {
                tokio::join!(ctx.stopped(), ctx.stopped(), async {
                    ctx.woken().await;
                    ctx.stopped().await;
                });
                Exit::Stopped
            }
        }
    }
    paused(async {
        let child = Supervisor::new().spawn_loop(Spec::new("three"), Three);
        child.until(|status| status.phase == Phase::Running).await;
        assert_eq!(child.stop().await.exits, ExitCounts { stopped: 1, ..ExitCounts::default() });
    });
}
