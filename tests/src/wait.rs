//! Waiting for an event with a deadline; never for time alone.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// The first `Some` that `probe` gives.
///
/// # Panics
/// After `deadline`, naming what did not happen.
pub fn until<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(deadline, probe).unwrap_or_else(|| panic!("did not happen within {deadline:?}: {what}"))
}

/// The first `Some` that `probe` gives, or `None` after `deadline`.
pub fn within<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// The test's own clock: the agent's can be paused, this one must not.
#[expect(
    clippy::disallowed_methods,
    reason = "measures the agent from outside; its clock module is not ours"
)]
pub fn now() -> Instant {
    Instant::now()
}
