//! Reports the agent's state to a service manager that listens at `NOTIFY_SOCKET`, such as systemd with `Type=notify`; see
//! sd_notify(3). Without one, nothing is sent.
//!
//! The template programs that the agent runs have an environment of their own, without that variable.

use std::time::Duration;

use actors::clock;
use sd_notify::NotifyState;

use crate::status::Status;

/// Reports that the tracers have started, and how many of them record.
pub(crate) fn ready(status: &Status) {
    send(&[NotifyState::Ready, NotifyState::Status(&summary(status))]);
}

/// Reports that the configuration is read again. The state is given back by [`ready`].
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(cause) => tracing::debug!(%cause, "the service manager does not learn of the reload"),
    }
}

/// Reports that the agent stops.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping, NotifyState::Status("storing the last records")]);
}

/// Reports twice in each interval of the service manager's watchdog (`WATCHDOG_USEC`) that the agent can still compute its status,
/// until cancelled. If that hangs, the service manager restarts the agent.
pub(crate) async fn watchdog(status: impl Fn() -> Status) {
    let Some(interval) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    loop {
        send(&[NotifyState::Watchdog, NotifyState::Status(&summary(&status()))]);
        clock::sleep((interval / 2).max(Duration::from_millis(1))).await;
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(cause) = sd_notify::notify(states) {
        tracing::warn!(%cause, "the service manager does not learn the agent's state; is NOTIFY_SOCKET right?");
    }
}

/// Returns the line that `systemctl status` shows.
fn summary(status: &Status) -> String {
    let records = status.tracers.iter().filter(|tracer| tracer.records).count();
    let lost: u64 = status.tracers.iter().map(|tracer| tracer.account.lost.total()).sum();
    format!("{records} of {} tracers record; {lost} records lost", status.tracers.len())
}
