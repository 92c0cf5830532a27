//! Answers in writing: a tree for people, and formats of other programs.

mod drawing;
mod graphviz;
mod json;
mod layers;
mod mermaid;
mod openlineage;
mod prov;
mod svg;
mod text;
mod tree;

use std::io::{self, Write};
use std::str::FromStr;

use jiff::Zoned;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::answer::Answer;

/// A format of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A tree for people.
    #[default]
    Tree,
    /// Nodes and edges as one JSON object.
    Json,
    /// The language of Graphviz.
    Dot,
    /// A drawing.
    Svg,
    /// A flowchart of Mermaid.
    Mermaid,
    /// PROV-JSON of the W3C.
    Prov,
    /// Events of OpenLineage 2-0-2, one JSON object a line.
    OpenLineage,
}

impl Format {
    /// Returns all formats with their names.
    pub const ALL: [(&'static str, Self); 7] = [
        ("tree", Self::Tree),
        ("json", Self::Json),
        ("dot", Self::Dot),
        ("svg", Self::Svg),
        ("mermaid", Self::Mermaid),
        ("prov", Self::Prov),
        ("openlineage", Self::OpenLineage),
    ];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        known.ok_or_else(|| format!("expected one of {names}, found {text:?}"))
    }
}

/// What surrounds an answer.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Members of a JSON answer that come before nodes and edges: the question, and the evidence.
    pub envelope: Map<String, Value>,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// Name of the machine.
    pub host: String,
    /// Time of the answer, in nanoseconds since 1970, UTC.
    pub as_of: i64,
    /// Most nodes that a tree shows.
    pub most: usize,
}

impl Frame {
    /// Returns the frame of an answer that is given now. Times are of the machine's zone, or in UTC.
    pub fn new(now: &Zoned, is_utc: bool, host: &str) -> Self {
        Self {
            envelope: Map::new(),
            zone: if is_utc { TimeZone::UTC } else { now.time_zone().clone() },
            host: host.to_owned(),
            as_of: i64::try_from(now.timestamp().as_nanosecond()).unwrap_or(i64::MAX),
            most: 500,
        }
    }
}

/// Writes an answer.
///
/// # Errors
/// The output can't be written.
pub fn write(answer: &Answer, frame: &Frame, format: Format, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Tree => tree::write(answer, frame, out)?,
        Format::Json => json::write(answer, frame, out)?,
        Format::Dot => graphviz::write(answer, frame, out)?,
        Format::Svg => svg::write(answer, frame, out)?,
        Format::Mermaid => mermaid::write(answer, frame, out)?,
        Format::Prov => prov::write(answer, frame, out)?,
        Format::OpenLineage => openlineage::write(answer, frame, out)?,
    }
    out.flush()
}
