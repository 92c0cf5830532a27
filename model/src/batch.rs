//! Batches of records and rows, the unit in which they are sent between actors.

use std::sync::Arc;

use crate::{Claim, Record, SinkClaim, Tracking};

/// A tracer's records on their way to the collector, with the claim that accounts for them.
#[derive(Debug)]
pub struct Batch {
    /// Accounts for the records; its count equals their number.
    pub claim: Claim,
    /// The records, in the order they were read.
    pub records: Vec<Record>,
}

/// A tracer's rows on their way into one sink. The rows are shared between sinks.
#[derive(Debug)]
pub struct Routed {
    /// Accounts for the rows in this sink. `None` for the agent's own rows (`loss`), which belong to no account.
    pub claim: Option<SinkClaim>,
    /// The rows, all of one tracer.
    pub rows: Arc<[Tracking]>,
    /// Number of bytes of the rows' texts.
    pub bytes: usize,
}
