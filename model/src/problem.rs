//! Problems of a configuration, described so that the user can fix them.

use std::fmt;

use serde::Serialize;

/// An invalid setting: its full key and what was expected there. Components return all their problems at once; the
/// configuration loader adds where the value came from (file, environment, `--set`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Dotted key from the root: `filter.pattern.re_exclude_fname`.
    pub key: String,
    /// Description of what was found and what was expected, in lower case without a full stop.
    pub message: String,
}

impl Problem {
    /// Creates a problem with the setting `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// Creates the problem that a setting can't change while the agent runs.
    pub fn needs_restart(key: impl Into<String>) -> Self {
        Self::new(key, "can't change while the agent runs: needs a restart of the agent")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
