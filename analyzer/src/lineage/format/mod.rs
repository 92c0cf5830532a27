//! Answers in writing: a tree for people, and formats of other programs.

mod drawing;
mod frame;
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

pub use frame::Frame;

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
    /// A drawing with its own positions.
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
