//! A subprocess tracer: a long-lived child, in any language, that speaks duetector's protocol.
//!
//! The actor's incarnation is the child's life: a child that ends is a fault, and what follows (back-off, restart,
//! giving up with the first cause kept) is the supervisor's. The child's records are read at full speed and are
//! held back only by the collector.

use std::sync::Arc;

use actix::{Actor, AsyncContext as _, Context, Handler, WrapFuture as _};
use actors::{Backoff, Exit, Link, Placement, RestartPolicy, Shutdown, Spec};
use serde::Serialize;
use std::time::Duration;

use crate::duty::Duty;
use crate::host::Switch;
use crate::intake::LineCounts;
use crate::session::{self, End, TERM_GRACE};
use crate::settings::SubprocessSettings;
use crate::stderr::StderrCounts;
use crate::wiring::Wiring;

/// Restarts older than this don't count against `restart_times`, at least.
const RESTART_WINDOW: Duration = Duration::from_secs(600);
/// For the killed child to be reaped and its last batches to be sent.
const STOP_MARGIN: Duration = Duration::from_secs(3);

/// What a subprocess tracer shows of itself. Counts go on over restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SubprocessState {
    /// The child at work.
    pub pid: Option<u32>,
    /// Children started.
    pub starts: u64,
    /// What they wrote to stdout.
    pub stdout: LineCounts,
    /// What they wrote to stderr.
    pub stderr: StderrCounts,
    /// `event` messages sent.
    pub polls: u64,
    /// Not sent, because the child did not read the one before, or has closed its stdin.
    pub polls_skipped: u64,
    /// Children that closed stdout and lived on.
    pub stdout_closed: u64,
    /// Children ended because they said nothing for too long.
    pub silent: u64,
    /// How the last child ended.
    pub last_exit: Option<String>,
}

/// The actor.
pub struct SubprocessTracer {
    link: Link<SubprocessState>,
    settings: Arc<SubprocessSettings>,
    wiring: Wiring,
    duty: Duty,
}

impl SubprocessTracer {
    pub(crate) fn new(
        link: Link<SubprocessState>,
        settings: Arc<SubprocessSettings>,
        wiring: Wiring,
        switch: Arc<Switch>,
    ) -> Self {
        Self { link, settings, wiring, duty: Duty::new(switch) }
    }
}

/// How its supervisor is to keep it. On a thread of its own: taking in a flood is work for the processor.
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

async fn work(link: Link<SubprocessState>, settings: Arc<SubprocessSettings>, wiring: Wiring, duty: Duty) {
    while duty.wanted(link.progress()).await {
        match session::run(&settings, &link, &duty, &wiring).await {
            // Detached rather than stopped: it may be wanted again.
            End::Asked => {}
            End::Finished => return link.end(Exit::Finished),
            End::Fell(cause) => return link.fail(cause),
            End::Refused(cause) if cause.is_permanent() => return link.give_up(cause),
            End::Refused(cause) => return link.fail(cause),
            End::Unheard => return link.give_up("the collector takes no records any more"),
        }
    }
    link.end(Exit::Stopped);
}

impl Actor for SubprocessTracer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let work = work(self.link.clone(), self.settings.clone(), self.wiring.clone(), self.duty.clone());
        ctx.spawn(work.into_actor(self));
    }
}

impl Handler<Shutdown> for SubprocessTracer {
    type Result = ();

    fn handle(&mut self, _: Shutdown, _: &mut Self::Context) {
        self.duty.stop();
    }
}
