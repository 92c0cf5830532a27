//! What travels between actors: never single records.

use std::sync::Arc;

use crate::{Claim, Record, SinkClaim, Tracking};

/// One tracer's records on their way to the collector, with the claim that answers for them.
#[derive(Debug)]
pub struct Batch {
    /// Answers for the records; as many as there are.
    pub claim: Claim,
    /// The records, in the order they were read.
    pub records: Vec<Record>,
}

/// One tracer's rows on their way into one sink, shared between sinks.
#[derive(Debug)]
pub struct Routed {
    /// Answers for the rows in this sink. `None` for the agent's own rows (`loss`), for which no tracer accounts.
    pub claim: Option<SinkClaim>,
    /// The rows, all of one tracer.
    pub rows: Arc<[Tracking]>,
}
