//! The host that runs us as its child, as a sink: rows go out as events of duetector's subprocess protocol.

mod event;
mod pipe;
mod polls;

pub use pipe::{HostPipe, HostReads, Unsaid, same_pipe};

use model::{Routed, WallTime};

use super::{Book, Rejected, Sink, SinkError, Trouble};

/// Its name.
pub const NAME: &str = "host";
/// A longer line is refused: hosts keep a line whole in memory, and some have a limit.
const LONGEST_LINE: usize = 1 << 20;

/// The sink.
pub struct Host {
    pipe: HostPipe,
    prefix: String,
    line: Vec<u8>,
}

/// Lines written by one call, to tell which of them the host has not read.
#[derive(Default)]
struct Written(Vec<(usize, u64)>);

impl Host {
    /// Writes to that host; each event's `tracer_name` begins with `prefix`.
    pub fn new(pipe: HostPipe, prefix: &str) -> Self {
        Self { pipe, prefix: prefix.to_owned(), line: Vec::new() }
    }

    fn say(&mut self, row: &model::Tracking) -> Result<u64, String> {
        event::write(&mut self.line, row, &self.prefix).map_err(|cause| cause.to_string())?;
        let length = self.line.len();
        if length > LONGEST_LINE {
            return Err(format!("an event of {length} bytes, at most {LONGEST_LINE} are sent to a host"));
        }
        self.pipe.event(&self.line).map_err(|cause| cause.to_string())?;
        Ok(length as u64)
    }
}

impl Sink for Host {
    fn check(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, batches: &[Routed], _: &[Book]) -> Result<Vec<Rejected>, SinkError> {
        let (mut written, mut rejected) = (Written::default(), Vec::new());
        for (batch, routed) in batches.iter().enumerate() {
            for row in &*routed.rows {
                match self.say(row) {
                    Ok(length) => written.0.push((batch, length)),
                    Err(cause) => reject(&mut rejected, batch, 1, &cause),
                }
            }
        }
        // What is written is not told yet: it is when the host has taken it.
        for batch in written.unread(self.pipe.unread()) {
            reject(&mut rejected, batch, 1, &Unsaid::TimeIsUp.to_string());
        }
        let refused: u64 = rejected.iter().map(|rejected| rejected.rows).sum();
        if refused > 0 && refused == batches.iter().map(|batch| batch.rows.len() as u64).sum::<u64>() {
            let cause = rejected.swap_remove(0).cause;
            return Err(SinkError {
                operation: "writing to",
                object: "the host".into(),
                trouble: Trouble::Permanent,
                source: cause.into(),
            });
        }
        Ok(rejected)
    }

    fn close(&mut self, _: &[Book], _: WallTime) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Counts a batch's rows that were not told, with the first cause.
fn reject(rejected: &mut Vec<Rejected>, batch: usize, rows: u64, cause: &str) {
    match rejected.iter_mut().find(|other| other.batch == batch) {
        Some(same) => same.rows += rows,
        None => rejected.push(Rejected { batch, rows, cause: cause.to_owned() }),
    }
}

impl Written {
    /// The batch of each line that is among the last `bytes`, in whole or in part.
    fn unread(&self, mut bytes: u64) -> impl Iterator<Item = usize> {
        self.0.iter().rev().map_while(move |(batch, length)| {
            let unread = bytes > 0;
            bytes = bytes.saturating_sub(*length);
            unread.then_some(*batch)
        })
    }
}

#[cfg(test)]
mod tests;
