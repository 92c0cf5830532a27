//! Sums over the rows that the agent stores just now: the busiest files, processes, users and peers of the last seconds.
//!
//! ```text
//! batches of live rows ─► Counter (one row at a time) ─► four Windows ─► the busiest, in order
//! ```

mod columns;
mod counter;
mod peers;
mod sums;
mod window;

pub use counter::Counter;
pub use sums::{Key, Kind, Sort, Sums};
pub use window::{Busy, Window};
