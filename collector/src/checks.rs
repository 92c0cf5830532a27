//! Checks of settings that several sections have in common.

use std::fmt::Display;
use std::time::Duration;

use model::{Period, Problem};

/// Longest time that rows or requests may wait.
const LONGEST: Duration = Duration::from_secs(60);

/// Collects the problems of one section's settings.
pub(crate) struct Checks {
    section: String,
    problems: Vec<Problem>,
}

impl Checks {
    /// Starts the checks of the section with this key.
    pub(crate) fn of(section: impl Into<String>) -> Self {
        Self { section: section.into(), problems: Vec::new() }
    }

    /// Expects a number of at least one.
    pub(crate) fn positive(self, key: &str, value: u32) -> Self {
        if value > 0 { self } else { self.problem(key, "0 is too few: expected 1 or more") }
    }

    /// Expects a time of more than none and at most a minute.
    pub(crate) fn interval(self, key: &str, value: Period) -> Self {
        if !value.0.is_zero() && value.0 <= LONGEST {
            return self;
        }
        self.problem(key, format!("{value} is out of range: expected more than 0 and at most 60s"))
    }

    /// Adds a problem with the setting `key` of the section.
    pub(crate) fn problem(mut self, key: &str, message: impl Display) -> Self {
        self.problems.push(Problem::new(format!("{}.{key}", self.section), message.to_string()));
        self
    }

    /// Returns the problems found.
    pub(crate) fn problems(self) -> Vec<Problem> {
        self.problems
    }
}
