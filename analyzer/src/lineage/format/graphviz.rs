//! An answer in the language of Graphviz.

use std::io::{self, Write};

use super::frame::Frame;
use super::{drawing, text};
use crate::lineage::answer::Answer;
use crate::lineage::{Kind, NodeKind};

pub(super) fn write(answer: &Answer, _: &Frame, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "digraph lineage {{\n  rankdir = LR;\n  node [fontname = \"sans-serif\"];")?;
    for (index, node) in answer.nodes.iter().enumerate() {
        let shape = match node.about.kind {
            NodeKind::Process => "ellipse",
            NodeKind::File => "box",
            NodeKind::Address => "diamond",
            NodeKind::Pipe | NodeKind::Fifo | NodeKind::Socket | NodeKind::Queue => "cds",
        };
        let name = quoted(&text::shortened(&node.about));
        let more = if node.is_target { ", penwidth = 3" } else { "" };
        writeln!(
            out,
            "  n{index} [label = {name}, tooltip = {}, shape = {shape}{more}];",
            quoted(&node.about.id)
        )?;
    }
    for edge in &answer.edges {
        // What is proven is drawn solid.
        let style = if edge.kind == Kind::Flow { "dashed" } else { "solid" };
        let label = quoted(&text::label(edge));
        writeln!(out, "  n{} -> n{} [label = {label}, style = {style}];", edge.from, edge.to)?;
    }
    for (number, cut) in answer.cuts.iter().enumerate() {
        writeln!(out, "  c{number} [label = {}, shape = plaintext];", quoted(&drawing::cut(cut)))?;
        writeln!(out, "  n{} -> c{number} [style = dotted, arrowhead = none];", cut.node)?;
    }
    writeln!(out, "}}")
}

/// Returns a text in quotes. Graphviz gives a backslash a meaning of its own.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
