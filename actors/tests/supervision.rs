//! Tests one by one the ways an incarnation can end, on a paused clock: what the supervisor counts, keeps and does
//! next.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, System, WrapFuture};
use actors::testkit::{Fault, Faulty, FaultyState, paused};
use actors::{
    ActorCtx, AskError, Backoff, ChildRef, Exit, ExitCounts, Outbox, Phase, Placement, RestartPolicy,
    Shutdown, Spec, Stage, Supervisor, WhenFull, clock,
};

const BACKOFF: Backoff =
    Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(10), jitter: 0.0 };

fn spec(max_restarts: u32) -> Spec {
    let restart = RestartPolicy { max_restarts, window: Duration::from_secs(600), backoff: BACKOFF };
    Spec { restart, ..Spec::new("faulty") }
}

fn spawn(max_restarts: u32) -> ChildRef<Faulty, FaultyState> {
    Supervisor::new().spawn(spec(max_restarts), Faulty::new)
}

/// Makes the child misbehave, waits for its second incarnation, and returns how the first one ended.
async fn crash_and_restart(fault: Fault) -> (ExitCounts, Option<String>) {
    let child = spawn(3);
    let _ = child.ask(fault).await;
    let status = child.until(|status| status.restarts == 1 && status.phase == Phase::Running).await;
    assert_eq!(child.ask(Fault::None).await, Ok(()), "the new incarnation answers");
    assert_eq!(child.state().started, 2);
    assert_eq!(child.stop().await.phase, Phase::Stopped);
    (status.exits, status.first_cause)
}

#[test]
fn a_panic_in_a_handler_is_an_exit_and_a_restart() {
    let (exits, cause) = paused(crash_and_restart(Fault::PanicInHandler));
    assert_eq!(exits, ExitCounts { panicked: 1, ..ExitCounts::default() });
    assert_eq!(cause.as_deref(), Some("panicked: on command, in a handler"));
}

#[test]
fn a_panic_in_a_future_is_an_exit_and_a_restart() {
    let (exits, cause) = paused(crash_and_restart(Fault::PanicInFuture));
    assert_eq!(exits, ExitCounts { panicked: 1, ..ExitCounts::default() });
    assert_eq!(cause.as_deref(), Some("panicked: on command, in a future"));
}

#[test]
fn a_failure_is_an_exit_and_a_restart() {
    let (exits, cause) = paused(crash_and_restart(Fault::Fail));
    assert_eq!(exits, ExitCounts { failed: 1, ..ExitCounts::default() });
    assert_eq!(cause.as_deref(), Some("on command"));
}

#[test]
fn a_frozen_actor_is_stalled_and_rebuilt() {
    let (exits, cause) = paused(crash_and_restart(Fault::Freeze));
    assert_eq!(exits, ExitCounts { stalled: 1, ..ExitCounts::default() });
    assert!(cause.is_some_and(|cause| cause.starts_with("stalled: no progress of its event loop")));
}

#[test]
fn work_that_stands_still_is_stalled_though_the_mailbox_is_answered() {
    let (exits, cause) = paused(crash_and_restart(Fault::Idle));
    assert_eq!(exits, ExitCounts { stalled: 1, ..ExitCounts::default() });
    assert!(cause.is_some_and(|cause| cause.starts_with("stalled: no progress of its work")));
}

#[test]
fn after_a_fault_that_no_restart_fixes_the_child_is_given_up_at_once() {
    paused(async {
        let child = spawn(3);
        let _ = child.ask(Fault::GiveUp).await;
        let status = child.ended().await;
        assert_eq!((status.phase, status.restarts), (Phase::GivenUp, 0));
        assert_eq!(status.first_cause.as_deref(), Some("on command, without retry"));
        let refused = child.ask(Fault::None).await;
        assert_eq!(refused.unwrap_err().to_string(), "faulty is not running: on command, without retry");
    });
}

#[test]
fn finished_and_stopped_are_not_faults() {
    paused(async {
        let finished = spawn(3);
        let _ = finished.ask(Fault::Finish).await;
        let status = finished.ended().await;
        assert_eq!((status.phase, status.first_cause), (Phase::Finished, None));

        let stopped = spawn(3);
        assert_eq!(stopped.ask(Fault::None).await, Ok(()));
        let status = stopped.stop().await;
        assert_eq!((status.phase, status.exits.stopped), (Phase::Stopped, 1));
    });
}

#[test]
fn failing_in_started_forever_ends_after_the_limit_with_the_first_cause() {
    paused(async {
        let start = clock::now();
        let child = Supervisor::new().spawn(spec(5), |ctx| Faulty::at_start(ctx, Fault::PanicInHandler));
        let status = child.ended().await;
        assert_eq!((status.phase, status.restarts), (Phase::GivenUp, 5));
        assert_eq!(status.exits, ExitCounts { panicked: 6, ..ExitCounts::default() });
        assert_eq!(status.first_cause.as_deref(), Some("panicked: on command, in a handler"));
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(100 + 200 + 400 + 800 + 1600), "back-off: {waited:?}");
        assert!(waited < Duration::from_secs(4), "back-off: {waited:?}");
    });
}

#[test]
fn old_restarts_are_forgotten() {
    paused(async {
        let restart = RestartPolicy { max_restarts: 1, window: Duration::from_secs(10), backoff: BACKOFF };
        let child = Supervisor::new().spawn(Spec { restart, ..spec(1) }, Faulty::new);
        for crash in 1..=3 {
            let _ = child.ask(Fault::Fail).await;
            child.until(|status| status.restarts == crash && status.phase == Phase::Running).await;
            clock::sleep(Duration::from_secs(11)).await;
        }
        let _ = child.ask(Fault::Fail).await;
        child.until(|status| status.restarts == 4 && status.phase == Phase::Running).await;
        let _ = child.ask(Fault::Fail).await;
        assert_eq!(child.ended().await.phase, Phase::GivenUp);
    });
}

#[test]
fn a_child_that_ignores_the_request_to_stop_is_ended() {
    paused(async {
        let child = spawn(3);
        assert_eq!(child.ask(Fault::IgnoreShutdown).await, Ok(()));
        let status = child.stop().await;
        assert_eq!((status.phase, status.exits.stalled), (Phase::Stopped, 1));
        assert_eq!(status.first_cause.as_deref(), Some("stalled: did not stop within 5.0 s"));
    });
}

#[test]
fn stopping_while_backing_off_does_not_wait() {
    paused(async {
        let slow = Backoff { base: Duration::from_secs(3600), cap: Duration::from_secs(3600), jitter: 0.0 };
        let restart = RestartPolicy { backoff: slow, ..RestartPolicy::default() };
        let child = Supervisor::new().spawn(Spec { restart, ..spec(1) }, Faulty::new);
        let _ = child.ask(Fault::Fail).await;
        child.until(|status| status.phase == Phase::BackingOff).await;
        let start = clock::now();
        assert_eq!(child.stop().await.phase, Phase::Stopped);
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_child_with_a_last_try_is_built_once_more_to_stop_in_order() {
    paused(async {
        let slow = Backoff { base: Duration::from_secs(3600), cap: Duration::from_secs(3600), jitter: 0.0 };
        let restart = RestartPolicy { backoff: slow, ..RestartPolicy::default() };
        let child = Supervisor::new().spawn(Spec { restart, last_try: true, ..spec(1) }, Faulty::new);
        let _ = child.ask(Fault::Fail).await;
        child.until(|status| status.phase == Phase::BackingOff).await;
        let start = clock::now();
        let status = child.stop().await;
        assert_eq!((status.phase, status.exits.failed, status.exits.stopped), (Phase::Stopped, 1, 1));
        assert_eq!(child.state().started, 2);
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn an_actor_that_blocks_its_own_thread_is_replaced() {
    // Real threads need a real clock, so limits are short and only the order of events is asserted.
    System::new().block_on(async {
        let spec =
            Spec { stall_after: Duration::from_millis(1500), placement: Placement::OwnThread, ..spec(3) };
        let child = Supervisor::new().spawn(spec, Faulty::new);
        assert_eq!(child.ask(Fault::None).await, Ok(()));
        child.addr().unwrap().try_send(Fault::Block).unwrap();
        let status = child.until(|status| status.restarts == 1 && status.phase == Phase::Running).await;
        assert_eq!(status.exits.stalled, 1);
        assert_eq!(child.ask(Fault::None).await, Ok(()));
        child.stop().await;
    });
}

/// Reads numbers forever.
struct Reader {
    ctx: ActorCtx<u64>,
    inbox: flume::Receiver<u64>,
}

impl Actor for Reader {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (ctx, inbox) = (self.ctx.clone(), self.inbox.clone());
        let read = async move {
            while inbox.recv_async().await.is_ok() {
                ctx.update(|read| *read += 1);
                ctx.progress().mark();
            }
        };
        context.spawn(read.into_actor(self));
    }
}

impl Handler<Shutdown> for Reader {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.ctx.end(Exit::Stopped);
    }
}

#[test]
fn a_reader_stops_during_a_flood_and_the_queue_outlives_it() {
    System::new().block_on(async {
        let (outbox, inbox) = Outbox::channel(64, WhenFull::Block);
        let kept = inbox.clone();
        let spec = Spec { placement: Placement::OwnThread, ..Spec::new("reader") };
        let reader = Supervisor::new().spawn(spec, move |ctx| Reader { ctx, inbox: inbox.clone() });
        let flood = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut sent = 0_u64;
            // Ends when both the reader and the receiver that outlives it have been dropped.
            while runtime.block_on(outbox.send(sent)).is_ok() {
                sent += 1;
            }
            sent
        });
        while reader.state() < 10_000 {
            tokio::task::yield_now().await;
        }
        let status = reader.stop().await;
        assert_eq!((status.exits.stopped, status.exits.stalled), (1, 0));
        let read = reader.state();
        while kept.len() < 64 {
            tokio::task::yield_now().await;
        }
        let left: Vec<u64> = kept.drain().collect();
        assert_eq!(left.first(), Some(&read), "the first item left is the one after the last read");
        drop((kept, reader));
        assert!(flood.join().unwrap() >= read + 64);
    });
}

#[test]
fn a_full_queue_with_the_drop_policy_drops_and_counts() {
    paused(async {
        let (outbox, inbox) = Outbox::channel(2, WhenFull::Drop);
        for number in 0..5 {
            outbox.send(number).await.unwrap();
        }
        assert_eq!((outbox.dropped(), inbox.drain().collect::<Vec<_>>()), (3, vec![0, 1]));
        drop(inbox);
        assert!(outbox.send(9).await.is_err());
    });
}

#[test]
fn a_stage_stops_its_groups_in_order() {
    paused(async {
        let (sources, sinks) = (Supervisor::new(), Supervisor::new());
        let source = sources.spawn(spec(1), Faulty::new);
        let sink = sinks.spawn(spec(1), Faulty::new);
        for child in [&source, &sink] {
            assert_eq!(child.ask(Fault::None).await, Ok(()));
        }
        let mut stage = Stage::new();
        stage.add("sources", sources.children());
        stage.add("sinks", sinks.children());
        let stopping = stage.stop();
        let order = async {
            source.ended().await;
            assert_eq!(sink.status().phase, Phase::Running, "the sink outlives the source");
        };
        let (ends, ()) = futures::join!(stopping, order);
        assert_eq!(ends.len(), 2);
        assert!(matches!(sink.ask(Fault::None).await, Err(AskError::Ended { .. })));
    });
}

#[test]
fn a_child_that_was_given_up_can_be_revived_without_its_causes_until_it_is_stopped() {
    paused(async {
        let child = Supervisor::new().spawn(Spec { revivable: true, ..spec(0) }, Faulty::new);
        assert!(!child.revive(), "still running");
        for incarnation in 1..=2 {
            let _ = child.ask(Fault::Fail).await;
            let status = child.ended().await;
            assert_eq!((status.phase, status.exits.failed), (Phase::GivenUp, incarnation));
            assert!(child.revive());
            let status = child.until(|status| status.phase == Phase::Running).await;
            assert_eq!((status.first_cause, status.last_cause), (None, None));
            assert_eq!(child.ask(Fault::None).await, Ok(()));
        }
        assert_eq!(child.state().started, 3);
        assert_eq!(child.stop().await.phase, Phase::Stopped);
        assert!(!child.revive(), "stopped");

        let not_revivable = spawn(0);
        let _ = not_revivable.ask(Fault::Fail).await;
        assert_eq!(not_revivable.ended().await.phase, Phase::GivenUp);
        assert!(!not_revivable.revive());
    });
}

#[test]
fn a_child_that_is_revived_and_stopped_at_once_ends() {
    paused(async {
        let supervisor = Supervisor::new();
        let child = supervisor.spawn(Spec { revivable: true, ..spec(0) }, Faulty::new);
        let _ = child.ask(Fault::GiveUp).await;
        child.ended().await;
        assert!(child.revive());
        assert_eq!(child.stop().await.phase, Phase::Stopped);
        let other = supervisor.spawn(spec(0), Faulty::new);
        assert_eq!(supervisor.children().len(), 1, "stopped children are removed");
        other.stop().await;
    });
}
