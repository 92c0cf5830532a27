//! Waiting for an event with a deadline; never for time alone.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Pause between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Returns the first `Some` that `probe` gives.
///
/// # Panics
/// After `deadline`; the message names the event that did not happen.
pub fn until<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Option<T>) -> T {
    within(deadline, probe).unwrap_or_else(|| panic!("did not happen within {deadline:?}: {what}"))
}

/// Returns the first `Some` that `probe` gives, or `None` after `deadline`.
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

/// Returns the time of the test's own clock: the agent's can be paused, this one must not.
#[expect(
    clippy::disallowed_methods,
    reason = "measures the agent from outside; its clock module is not ours"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns how many times longer work takes here now than on an idle machine: wall time over processor time of 100 ms of
/// computing, at least 1. Limits on an agent's wall time are multiplied by it, so that other programs don't decide.
pub fn slowdown() -> f64 {
    let cpu = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("no thread clock"));
    let (start, begun) = (now(), cpu());
    let mut sum = 0_u64;
    while cpu() - begun < Duration::from_millis(100) {
        sum = (0..10_000).fold(sum, |sum, number| std::hint::black_box(sum.wrapping_add(number)));
    }
    (start.elapsed().as_secs_f64() / (cpu() - begun).as_secs_f64()).max(1.0)
}
