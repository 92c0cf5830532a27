//! Adds rows to the four tables.

use expression::Expression;
use model::TracerName;
use store::BatchRows;
use store::typed::{Value, Values};

use super::peers::Peers;
use super::sums::{Key, Kind, Sort, Sums};
use super::window::{Busy, Window, shortened};

/// Columns that are read of rows that no expression is applied to.
const READ: [&str; 18] = [
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

/// Counts rows as they come.
#[derive(Debug)]
pub struct Counter {
    windows: [Window; 4],
    peers: Peers,
    filter: Option<Expression>,
    undecided: u64,
}

impl Counter {
    /// Makes a counter of the last seconds, of the rows for which the filter is true.
    pub fn new(seconds: u64, filter: Option<Expression>) -> Self {
        let windows = Kind::ALL.map(|_| Window::new(seconds));
        Self { windows, peers: Peers::default(), filter, undecided: 0 }
    }

    /// Returns whether a column has to be read. With a filter, all have to.
    pub fn reads(column: &str) -> bool {
        READ.contains(&column)
    }

    /// Returns the filter.
    pub fn filter(&self) -> Option<&Expression> {
        self.filter.as_ref()
    }

    /// Goes on to that second.
    pub fn advance(&mut self, second: u64) {
        self.windows.iter_mut().for_each(|window| window.advance(second));
    }

    /// Adds the rows of one tracer. A row for which the filter has no answer is left out, and counted.
    pub fn add(&mut self, tracer: &str, rows: &BatchRows) {
        let columns = Columns::of(rows);
        let name = TracerName::new(tracer);
        for row in 0..rows.len() {
            if let Some(filter) = &self.filter {
                match filter.matches(&rows.tracking(&name, row)) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(_) => {
                        self.undecided += 1;
                        continue;
                    }
                }
            }
            self.add_row(tracer, &columns, row);
        }
    }

    /// Returns the busiest lines of a table.
    pub fn busiest(&self, kind: Kind, sort: Sort, most: usize) -> Vec<Busy> {
        self.window(kind).busiest(sort, most)
    }

    /// Returns the window of a table.
    pub fn window(&self, kind: Kind) -> &Window {
        &self.windows[kind.index()]
    }

    /// Returns the length of the windows in seconds.
    pub fn seconds(&self) -> u64 {
        self.window(Kind::Files).seconds()
    }

    /// Returns the number of rows for which the filter has no answer.
    pub fn undecided(&self) -> u64 {
        self.undecided
    }

    fn add_row(&mut self, tracer: &str, columns: &Columns, row: usize) {
        let sums = columns.sums(tracer, row);
        let comm = text(&columns.comm, row);
        if let Some(key) = columns.file(row) {
            self.windows[Kind::Files.index()].add(key, || text(&columns.fname, row), &sums);
        }
        if let Value::Text(id) = columns.exec_id.value(row) {
            self.windows[Kind::Processes.index()].add(Key::Process((*id).into()), || comm, &sums);
        }
        if let Value::Int(uid) = columns.uid.value(row) {
            self.windows[Kind::Users.index()].add(Key::User(uid), || "", &sums);
        }
        if let Some((address, traffic)) = self.peers.of(tracer, columns, row, &sums) {
            self.windows[Kind::Peers.index()].add(Key::Peer(address), || comm, &traffic);
        }
    }
}

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
    comm: Values,
    exec_id: Values,
    uid: Values,
    fname: Values,
    identity: [Values; 3],
}

impl Columns {
    fn of(rows: &BatchRows) -> Self {
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

    fn sums(&self, tracer: &str, row: usize) -> Sums {
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
    fn file(&self, row: usize) -> Option<Key> {
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
fn text(values: &Values, row: usize) -> &str {
    match values.value(row) {
        Value::Text(std::borrow::Cow::Borrowed(text)) => text,
        _ => "",
    }
}
