//! Adds rows to the four tables.

use expression::Expression;
use model::TracerName;
use store::BatchRows;
use store::typed::Value;

use super::columns::{Columns, READ, text};
use super::peers::Peers;
use super::sums::{Key, Kind, Sort};
use super::window::{Busy, Window};

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
