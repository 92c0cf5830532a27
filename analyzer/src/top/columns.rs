//! The columns of rows that are summed.

use store::BatchRows;
use store::typed::{Value, Values};

use super::sums::{Key, Sums};
use super::window::shortened;

/// Columns that are read of rows that no expression is applied to.
pub(super) const READ: [&str; 18] = [
    "bytes_mapped",
    "bytes_read",
    "bytes_received",
    "bytes_sent",
    "bytes_written",
    "calls_mapped",
    "calls_read",
    "calls_written",
    "comm",
    "daddr",
    "dev",
    "dport",
    "exec_id",
    "fname",
    "generation",
    "ino",
    "sock_ino",
    "uid",
];

/// The columns of a batch that are summed.
pub(super) struct Columns {
    pub(super) daddr: Values,
    pub(super) dport: Values,
    pub(super) sock_ino: Values,
    bytes_sent: Values,
    bytes_received: Values,
    /// Bytes read, written and mapped.
    bytes: [Values; 3],
    calls: [Values; 3],
    pub(super) comm: Values,
    pub(super) exec_id: Values,
    pub(super) uid: Values,
    pub(super) fname: Values,
    identity: [Values; 3],
}

impl Columns {
    pub(super) fn of(rows: &BatchRows) -> Self {
        let of = |name| Values::of(rows, name);
        Self {
            daddr: of("daddr"),
            dport: of("dport"),
            sock_ino: of("sock_ino"),
            bytes_sent: of("bytes_sent"),
            bytes_received: of("bytes_received"),
            bytes: ["bytes_read", "bytes_written", "bytes_mapped"].map(of),
            calls: ["calls_read", "calls_written", "calls_mapped"].map(of),
            comm: of("comm"),
            exec_id: of("exec_id"),
            uid: of("uid"),
            fname: of("fname"),
            identity: ["dev", "ino", "generation"].map(of),
        }
    }

    pub(super) fn sums(&self, tracer: &str, row: usize) -> Sums {
        let [bytes_read, bytes_written, bytes_mapped] = self.bytes.each_ref().map(|of| number(of, row));
        let calls = self.calls.iter().map(|of| number(of, row)).sum();
        let opens = u64::from(tracer == "open");
        Sums { bytes_read, bytes_written, bytes_mapped, calls, opens, rows: 1 }
    }

    /// Returns what a connection or flow moved, of a row that says it.
    pub(super) fn traffic(&self, row: usize) -> (u64, u64) {
        (number(&self.bytes_received, row), number(&self.bytes_sent, row))
    }

    /// Returns the file of a row: its identity, or the path if it has none. A socket's row is about a peer instead.
    pub(super) fn file(&self, row: usize) -> Option<Key> {
        if self.daddr.value(row) != Value::Null || self.sock_ino.value(row) != Value::Null {
            return None;
        }
        let [dev, ino, generation] = self.identity.each_ref().map(|of| of.value(row));
        match (dev, ino, generation) {
            (Value::Int(dev), Value::Int(ino), generation) => {
                let generation = if let Value::Int(number) = generation { number } else { 0 };
                Some(Key::File(dev.cast_unsigned(), ino.cast_unsigned(), generation.cast_unsigned()))
            }
            _ => {
                let path = text(&self.fname, row);
                (!path.is_empty()).then(|| Key::Path(shortened(path).into()))
            }
        }
    }
}

/// Returns a number; 0 if there is none.
pub(super) fn number(values: &Values, row: usize) -> u64 {
    match values.value(row) {
        Value::Int(number) => u64::try_from(number).unwrap_or(0),
        Value::Real(number) => number as u64,
        _ => 0,
    }
}

/// Returns a text; nothing if there is none.
pub(super) fn text(values: &Values, row: usize) -> &str {
    match values.value(row) {
        Value::Text(std::borrow::Cow::Borrowed(text)) => text,
        _ => "",
    }
}
