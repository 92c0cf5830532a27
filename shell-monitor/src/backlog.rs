//! Bounds the memory that a program's records take on their way to the sinks: while too many wait, no more output is read,
//! and the program waits.
//!
//! A short text can become a large value in memory (`0,` is two bytes of JSON and 32 of a list), so what counts is an
//! estimate of the values' size.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::Account;
use serde_json::{Map, Value};

/// Bytes above which no more output is read.
const LIMIT: usize = 8 << 20;
/// Interval at which a program that waits for room looks again.
pub(crate) const INTERVAL: Duration = Duration::from_millis(10);
/// Bytes that a field takes besides the texts of its name and value.
const FIELD: usize = 128;

/// Batches of one program that were made and may not be settled in all sinks yet, in order.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    batches: VecDeque<(Arc<Account>, u64, usize)>,
    bytes: usize,
}

impl Backlog {
    /// Notes a batch of `count` records that was made.
    pub(crate) fn add(&mut self, account: Arc<Account>, count: u64, bytes: usize) {
        self.batches.push_back((account, count, bytes));
        self.bytes += bytes;
    }

    /// Returns whether more output may be read.
    pub(crate) fn has_room(&mut self) -> bool {
        if self.bytes > LIMIT {
            self.forget_settled();
        }
        self.bytes <= LIMIT
    }

    /// Forgets the oldest batches of each account, until those that are left have as many records as are in flight. Another
    /// program may have records in flight on the same account: then batches are forgotten later.
    fn forget_settled(&mut self) {
        let mut in_flight: Vec<(Arc<Account>, u64)> = Vec::new();
        // From the newest to the oldest: a batch is settled if the newer ones account for all that is in flight.
        for at in (0..self.batches.len()).rev() {
            let (account, count, bytes) = self.batches[at].clone();
            let known = in_flight.iter().position(|(other, _)| Arc::ptr_eq(other, &account));
            let known = known.unwrap_or_else(|| {
                in_flight.push((account.clone(), most_in_flight(&account)));
                in_flight.len() - 1
            });
            let left = &mut in_flight[known].1;
            if *left == 0 {
                self.bytes -= bytes;
                self.batches.remove(at);
            }
            *left = left.saturating_sub(count);
        }
    }
}

/// Returns the records of the account that the slowest sink has not settled.
fn most_in_flight(account: &Account) -> u64 {
    let sinks = account.sinks();
    let of = |sink: &Arc<model::SinkAccount>| account.snapshot_of(sink.id()).in_flight();
    sinks.iter().map(of).max().map_or(0, |most| u64::try_from(most).unwrap_or(0))
}

/// Estimates the bytes that fields take in memory.
pub(crate) fn weight(fields: &Map<String, Value>) -> usize {
    fields.iter().map(|(name, value)| FIELD + name.len() + weight_of(value)).sum()
}

fn weight_of(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| size_of::<Value>() + weight_of(value)).sum(),
        Value::Object(fields) => weight(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use model::{Accounts, BootNs, Claim, SinkName};

    use super::*;

    #[test]
    fn room_is_made_by_what_is_settled() {
        let sink = SinkName::new("memory");
        let account = Accounts::new(std::slice::from_ref(&sink)).of(&"a".into());
        let mut backlog = Backlog::default();
        let mut claim = || {
            backlog.add(account.clone(), 2, LIMIT);
            Claim::on_new(account.clone(), 2, (BootNs(1), BootNs(1)))
        };
        let (mut first, second) = (claim(), claim());
        assert!(!backlog.has_room());
        first.filter(1);
        assert!(!backlog.has_room());
        first.filter(1);
        assert!(backlog.has_room());
        backlog.add(account.clone(), 1, 1);
        assert!(!backlog.has_room());
        drop(second);
        assert!(backlog.has_room());
        assert_eq!(backlog.batches.len(), 0);
    }

    #[test]
    fn what_takes_memory_counts() {
        let fields = serde_json::json!({"list": [0, 0], "object": {"text": "abc"}});
        let expected = 3 * FIELD + "list".len() + 2 * size_of::<Value>() + "objecttextabc".len();
        assert_eq!(fields.as_object().map(weight), Some(expected));
    }
}
