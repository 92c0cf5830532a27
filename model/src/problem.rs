//! What is wrong with a setting, told so that it can be mended.

use std::fmt;

use serde::Serialize;

/// One thing wrong with a configuration: the setting's full key and what was expected there. Components
/// return all of theirs at once; where the value came from (file, environment, `--set`) is added by the
/// configuration loader, which knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Dotted key from the root: `filter.pattern.re_exclude_fname`.
    pub key: String,
    /// What was found, what was expected: lower case, no full stop.
    pub message: String,
}

impl Problem {
    /// A problem at `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// The setting can't change while the agent runs.
    pub fn needs_restart(key: impl Into<String>) -> Self {
        Self::new(key, "can't change while the agent runs: needs a restart of the agent")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
