//! Counts of rows for which a filter has no answer.

use std::sync::Mutex;

use expression::EvalError;
use model::lock::lock;

/// Rows for which a filter has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failures {
    /// Number of such rows.
    pub count: u64,
    /// Reason for the first such row.
    pub first: EvalError,
}

/// Counts such rows until they are reported.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Option<Failures>>);

impl Tally {
    pub(super) fn add(&self, cause: EvalError) {
        lock(&self.0).get_or_insert(Failures { count: 0, first: cause }).count += 1;
    }

    pub(super) fn take(&self) -> Option<Failures> {
        lock(&self.0).take()
    }
}
