//! An answer as a flowchart of Mermaid.

use std::io::{self, Write};

use super::frame::Frame;
use super::{drawing, text};
use crate::lineage::answer::Answer;
use crate::lineage::{Kind, NodeKind};

pub(super) fn write(answer: &Answer, _: &Frame, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "flowchart LR")?;
    for (index, node) in answer.nodes.iter().enumerate() {
        let name = escaped(&text::shortened(&node.about));
        let (open, close) = match node.about.kind {
            NodeKind::Process => ("([", "])"),
            NodeKind::File => ("[", "]"),
            NodeKind::Address => ("{{", "}}"),
            NodeKind::Pipe | NodeKind::Fifo | NodeKind::Socket | NodeKind::Queue => ("[/", "/]"),
        };
        writeln!(out, "  n{index}{open}\"{name}\"{close}")?;
        if node.is_target {
            writeln!(out, "  style n{index} stroke-width:3px")?;
        }
    }
    for edge in &answer.edges {
        let arrow = if edge.kind == Kind::Flow { "-.->" } else { "-->" };
        writeln!(out, "  n{} {arrow}|\"{}\"| n{}", edge.from, escaped(&text::label(edge)), edge.to)?;
    }
    for (number, cut) in answer.cuts.iter().enumerate() {
        writeln!(out, "  n{} -.- c{number}[\"{}\"]", cut.node, escaped(&drawing::cut(cut)))?;
    }
    Ok(())
}

/// Returns a text in which no character has a meaning for Mermaid or for HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii_punctuation() && !"/._-:()".contains(character) {
            out.push_str(&format!("#{};", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}
