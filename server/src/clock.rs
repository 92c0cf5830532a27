//! The clock of the server, which measures how long requests take.

use std::time::Instant;

/// Returns the present.
#[expect(clippy::disallowed_methods, reason = "the server is a process of its own, outside of the agent")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
