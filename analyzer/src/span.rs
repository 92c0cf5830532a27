//! A stretch of time that a question is about.

/// A stretch of time, with both of its ends, in nanoseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first moment.
    pub since: i64,
    /// The last moment.
    pub until: i64,
}

impl Span {
    /// All time that there is.
    pub const ALL: Self = Self { since: i64::MIN, until: i64::MAX };

    /// Returns the time between two moments; without one of them it has no end there.
    pub fn new(since: Option<i64>, until: Option<i64>) -> Self {
        Self { since: since.unwrap_or(i64::MIN), until: until.unwrap_or(i64::MAX) }
    }

    /// Returns the last moment as it was asked for: a time without nanoseconds stands for all of its microsecond.
    pub fn until_as_asked(&self) -> i64 {
        if self.until != i64::MAX && self.until.rem_euclid(1000) == 999 {
            self.until - 999
        } else {
            self.until
        }
    }

    /// Returns whether some moment from `first` to `last` is within.
    pub fn touches(&self, first: i64, last: i64) -> bool {
        first <= self.until && last >= self.since
    }

    /// Returns the selection of rows of this time that fulfil the conditions.
    pub(crate) fn select(&self, conditions: Vec<store::Condition>) -> store::Selection {
        store::Selection { since: self.since, until: self.until, conditions }
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::ALL
    }
}
