//! The frame of an answer.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// The frame of an answer: what all formats need besides it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Members of a JSON answer that come before nodes and edges: the question, and the evidence.
    pub envelope: Map<String, Value>,
    /// Text about what the answer may lack, for people.
    pub evidence: String,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// Name of the machine.
    pub host: String,
    /// Most nodes that a tree shows.
    pub most: usize,
}
