//! The tracer's host that runs this agent as its child, as a sink: rows are sent to it as events of duetector's
//! subprocess protocol.

mod config;
mod event;
mod pipe;
mod polls;

pub use config::HostConfig;
pub use pipe::{HostPipe, HostReads, NotSent, same_pipe};

use actors::WhenFull;
use model::{Routed, WallTime};

use super::kind::{CarriedOver, Pace, SinkSpec};
use super::{Rejected, Sink, SinkError, TracerAccount, Trouble};

/// Name of this sink.
pub const NAME: &str = "host";
/// Number of batches that may wait for the host. Small, because a host that stops no longer reads what waits.
const QUEUE: u32 = 2;
/// Longest line that is sent, in bytes: hosts keep a whole line in memory, and some limit its length.
const LONGEST_LINE: usize = 1 << 20;

/// Sink that sends rows to the host.
pub struct Host {
    pipe: HostPipe,
    prefix: String,
    line: Vec<u8>,
}

/// Batch index and length of each line that one call wrote, to find those that the host has not read.
#[derive(Default)]
struct Written(Vec<(usize, u64)>);

impl HostConfig {
    /// Describes the sink to start.
    pub fn spec(self) -> SinkSpec {
        let Self { pipe, prefix } = self;
        SinkSpec {
            queue: (QUEUE, WhenFull::Block),
            // The host alone sets the pace.
            pace: Pace::AT_ONCE,
            make: Box::new(move || Box::new(Host::new(pipe.clone(), &prefix))),
            carried_over: CarriedOver::default(),
        }
    }
}

impl Host {
    /// Makes a sink that writes to this host; each event's `tracer_name` begins with `prefix`.
    pub fn new(pipe: HostPipe, prefix: &str) -> Self {
        Self { pipe, prefix: prefix.to_owned(), line: Vec::new() }
    }

    fn send(&mut self, row: &model::Tracking) -> Result<u64, String> {
        event::write(&mut self.line, row, &self.prefix).map_err(|cause| cause.to_string())?;
        let length = self.line.len();
        if length > LONGEST_LINE {
            return Err(format!("an event of {length} bytes is longer than the limit of {LONGEST_LINE}"));
        }
        self.pipe.event(&self.line).map_err(|cause| cause.to_string())?;
        Ok(length as u64)
    }
}

impl Sink for Host {
    fn check(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, batches: &[Routed], _: &[TracerAccount]) -> Result<Vec<Rejected>, SinkError> {
        let (mut written, mut rejected) = (Written::default(), Vec::new());
        for (batch, routed) in batches.iter().enumerate() {
            for row in &*routed.rows {
                match self.send(row) {
                    Ok(length) => written.0.push((batch, length)),
                    Err(cause) => reject(&mut rejected, batch, 1, &cause),
                }
            }
        }
        // A row counts as sent only when the host has read it from the pipe.
        for batch in written.unread(self.pipe.unread()) {
            reject(&mut rejected, batch, 1, &NotSent::Ended.to_string());
        }
        let refused: u64 = rejected.iter().map(|rejected| rejected.rows).sum();
        if refused > 0 && refused == batches.iter().map(|batch| batch.rows.len() as u64).sum::<u64>() {
            let cause = rejected.swap_remove(0).cause;
            return Err(SinkError {
                operation: "writing to",
                object: "the parent program".into(),
                trouble: Trouble::Permanent,
                source: cause.into(),
            });
        }
        Ok(rejected)
    }

    fn close(&mut self, _: &[TracerAccount], _: WallTime) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Counts a batch's rows that were not sent, with the first cause.
fn reject(rejected: &mut Vec<Rejected>, batch: usize, rows: u64, cause: &str) {
    match rejected.iter_mut().find(|other| other.batch == batch) {
        Some(same) => same.rows += rows,
        None => rejected.push(Rejected { batch, rows, cause: cause.to_owned() }),
    }
}

impl Written {
    /// Returns the batch index of each line that is, in whole or in part, among the last `bytes` bytes.
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
