//! A subprocess tracer: a long-lived child process, in any language, that speaks duetector's protocol.
//!
//! An incarnation of the actor lasts as long as its child. A child that exits is a failure of the actor, and the
//! supervisor does the rest: back-off, restart, giving up with the first cause kept. The child's records are read at
//! full speed; only the collector can slow this down.

use std::sync::Arc;

use actors::{ActorLoop, Backoff, Exit, LoopCtx, Placement, RestartPolicy, Spec};
use std::time::Duration;

use crate::control::Control;
use crate::session::{self, End, TERM_GRACE};
use crate::settings::SubprocessSettings;
use crate::state::SubprocessState;
use crate::switch::Switch;
use crate::wiring::Wiring;

/// Window in which restarts count against `restart_times`, at least.
const RESTART_WINDOW: Duration = Duration::from_secs(600);
/// Time for a killed child to be reaped and its last batches to be sent.
const STOP_MARGIN: Duration = Duration::from_secs(3);

/// Actor that keeps one child process.
pub struct SubprocessTracer {
    settings: Arc<SubprocessSettings>,
    wiring: Wiring,
    control: Control<SubprocessState>,
}

impl SubprocessTracer {
    pub(crate) fn new(
        ctx: LoopCtx<SubprocessState>,
        settings: Arc<SubprocessSettings>,
        wiring: Wiring,
        switch: Arc<Switch>,
    ) -> Self {
        Self { settings, wiring, control: Control::new(ctx, switch) }
    }
}

/// Returns how the supervisor runs the tracer: on a thread of its own, because parsing a flood of output takes
/// processor time.
pub(crate) fn spec(settings: &SubprocessSettings) -> Spec {
    let backoff = Backoff::default();
    let window = RESTART_WINDOW.max(backoff.cap * 2 * settings.restart_times.saturating_add(1).min(100_000));
    Spec {
        restart: RestartPolicy { max_restarts: settings.restart_times, window, backoff },
        stop_timeout: settings.kill_timeout + TERM_GRACE + STOP_MARGIN,
        placement: Placement::OwnThread,
        revivable: true,
        ..Spec::new(settings.name.as_str())
    }
}

impl ActorLoop for SubprocessTracer {
    type State = SubprocessState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let Self { settings, wiring, control } = self;
        let (settings, wiring, control) = (settings.clone(), wiring.clone(), control.clone());
        async move {
            while control.wanted().await {
                match session::run(&settings, &control, &wiring).await {
                    // The tracer was detached, not stopped: it may be wanted again.
                    End::Asked => {}
                    End::Finished => return Exit::Finished,
                    End::Failed(cause) => return Exit::failed(cause),
                    End::Refused(cause) if cause.is_permanent() => return Exit::given_up(cause),
                    End::Refused(cause) => return Exit::failed(cause),
                    End::CollectorGone => return Exit::given_up("the collector takes no records any more"),
                }
            }
            Exit::Stopped
        }
    }
}
