//! The queue of one follower, bounded in rows and bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use model::Tracking;
use model::lock::lock;
use model::schema::stored_name;
use tokio::sync::Notify;

/// Number of rows that may wait for a follower.
pub(super) const MOST_ROWS: usize = 32 << 10;
/// Size of rows that may wait for a follower, in bytes.
const MOST_BYTES: usize = 8 << 20;
/// Number of followers from which on they share what so many may have.
const SHARING: usize = 4;

/// An event in the stream of a follower.
#[derive(Clone, Debug)]
pub enum Event {
    /// Rows that were stored together.
    Stored(Stored),
    /// Number of rows that are missing at this place.
    LeftOut(u64),
}

/// Rows that were stored together.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Number of the output that they were written to.
    pub output: u64,
    /// The rows, in the order of storing.
    pub parts: Vec<Part>,
}

/// Rows of one tracer. The ids of the rows follow each other.
#[derive(Clone, Debug)]
pub struct Part {
    pub(super) rows: Arc<[Tracking]>,
    pub(super) from: usize,
    /// The id of the first row.
    pub first_id: i64,
}

impl Part {
    /// Returns the rows.
    pub fn rows(&self) -> &[Tracking] {
        self.rows.get(self.from..).unwrap_or_default()
    }
}

/// The queue of one follower.
#[derive(Debug)]
pub(super) struct Queue {
    /// Names of the tracers whose rows are wanted; none: all.
    tracers: Vec<String>,
    held: Mutex<Held>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Held {
    /// With the number of rows and their size.
    events: VecDeque<(Event, usize, usize)>,
    rows: usize,
    bytes: usize,
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(tracers: Vec<String>) -> Self {
        Self { tracers, held: Mutex::default(), wake: Notify::new() }
    }

    /// Returns the rows of tracers that this follower wants, of batches and the number of rows to skip in each. They have no ids.
    pub(super) fn wanted(&self, pieces: &[(Arc<[Tracking]>, usize)]) -> Vec<Part> {
        let wanted = pieces.iter().filter(|(rows, _)| self.wants(rows));
        wanted.map(|(rows, from)| Part { rows: rows.clone(), from: *from, first_id: 0 }).collect()
    }

    fn wants(&self, rows: &[Tracking]) -> bool {
        let Some(first) = rows.first() else { return false };
        self.tracers.is_empty() || self.tracers.contains(&stored_name(first.tracer.as_str()))
    }

    /// Adds rows that were stored together, each part with the size of its texts and whether it must be left out. The more
    /// followers there are, the less may wait for each. Returns how many rows were added, and how many were left out.
    pub(super) fn push(&self, output: u64, parts: &[(Part, usize, bool)], followers: usize) -> (u64, u64) {
        let wanted = parts.iter().filter(|(part, ..)| self.wants(&part.rows));
        let (bad, good): (Vec<_>, Vec<_>) = wanted.partition(|(.., is_bad)| *is_bad);
        let count = |parts: &[&(Part, usize, bool)]| parts.iter().map(|(part, ..)| part.rows.len()).sum();
        let (mut left_out, rows): (usize, usize) = (count(&bad), count(&good));
        let bytes = good.iter().map(|(_, bytes, _)| bytes).sum::<usize>() + rows * size_of::<Tracking>();
        let mut held = self.lock();
        let mut added = 0;
        // One write always fits, however large.
        let share = |most: usize| most * SHARING / followers.max(SHARING);
        let fits = held.rows == 0
            || (held.rows + rows <= share(MOST_ROWS) && held.bytes + bytes <= share(MOST_BYTES));
        if rows > 0 && fits {
            let parts = good.into_iter().map(|(part, ..)| part.clone()).collect();
            held.events.push_back((Event::Stored(Stored { output, parts }), rows, bytes));
            held.rows += rows;
            held.bytes += bytes;
            added = rows;
        } else {
            left_out += rows;
        }
        held.leave_out(left_out as u64);
        drop(held);
        if added + left_out > 0 {
            self.wake.notify_one();
        }
        (added as u64, left_out as u64)
    }

    /// Returns what comes next; `None` once the stream is closed and the queue empty.
    pub(super) async fn next(&self) -> Option<Event> {
        loop {
            {
                let mut held = self.lock();
                if let Some((event, rows, bytes)) = held.events.pop_front() {
                    held.rows -= rows;
                    held.bytes -= bytes;
                    return Some(event);
                }
                if held.is_closed {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

impl Held {
    /// Counts rows as left out at the end of the queue.
    fn leave_out(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        match self.events.back_mut() {
            Some((Event::LeftOut(before), ..)) => *before += count,
            _ => self.events.push_back((Event::LeftOut(count), 0, 0)),
        }
    }
}
