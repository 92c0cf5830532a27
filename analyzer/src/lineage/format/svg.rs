//! An answer as a drawing.

use std::io::{self, Write};

use super::frame::Frame;
use super::layers::positions;
use super::{drawing, text};
use crate::lineage::answer::Answer;
use crate::lineage::{Kind, NodeKind};

/// Size of a node, and the distance between columns and rows.
const WIDTH: usize = 220;
const HEIGHT: usize = 34;
const COLUMN: usize = 380;
const ROW: usize = 64;
const MARGIN: usize = 24;
/// Longest name that fits into a node, in characters.
const NAME_LENGTH: usize = 30;

const STYLE: &str = "text { font: 12px sans-serif; } .small { font-size: 10px; fill: #555; } .node { fill: #fff; stroke: #333; } \
    .process { fill: #e8f0fe; } .file { fill: #fef7e0; } .target { stroke-width: 3; } .edge { fill: none; stroke: #666; } \
    .flow { stroke-dasharray: 5 3; } .copy { stroke: #137333; stroke-width: 2; }";

pub(super) fn write(answer: &Answer, frame: &Frame, out: &mut dyn Write) -> io::Result<()> {
    let positions = positions(answer);
    let corner = |(column, row): (usize, usize)| (MARGIN + column * COLUMN, MARGIN + row * ROW);
    let most = |part: fn(&(usize, usize)) -> usize| positions.iter().map(part).max().unwrap_or_default();
    let (width, height) = corner((most(|at| at.0), most(|at| at.1)));
    let (width, height) = (width + WIDTH + MARGIN, height + ROW + MARGIN);
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
         <path d=\"M0 0 L8 4 L0 8 z\" fill=\"#666\"/></marker></defs>"
    )?;
    for edge in &answer.edges {
        let ((x1, y1), (x2, y2)) = (corner(positions[edge.from]), corner(positions[edge.to]));
        let (x1, y1, y2) = (x1 + WIDTH, y1 + HEIGHT / 2, y2 + HEIGHT / 2);
        let bend = COLUMN / 4;
        let class = if edge.kind == Kind::Flow { "flow" } else { edge.kind.name() };
        let times = [edge.first, edge.last].map(|at| text::short_time(at, &frame.zone)).join(" … ");
        writeln!(
            out,
            "<path class=\"edge {class}\" marker-end=\"url(#tip)\" d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\"><title>{}</title></path>",
            x1 + bend,
            x2.saturating_sub(bend),
            text::xml(&format!("{} [{times}]", text::label(edge)))
        )?;
        let (x, y) = (usize::midpoint(x1, x2), usize::midpoint(y1, y2).saturating_sub(4));
        let label = text::xml(&text::bytes(edge));
        writeln!(out, "<text class=\"small\" text-anchor=\"middle\" x=\"{x}\" y=\"{y}\">{label}</text>")?;
    }
    for (index, node) in answer.nodes.iter().enumerate() {
        let (x, y) = corner(positions[index]);
        let rounded = if node.about.kind == NodeKind::Process { HEIGHT / 2 } else { 3 };
        let class = if node.is_target { " target" } else { "" };
        let name = end_of(&text::name(&node.about));
        let title = text::xml(&text::visible(&format!("{} ({})", node.about.name, node.about.id)));
        writeln!(
            out,
            "<g><title>{title}</title><rect class=\"node {}{class}\" x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             rx=\"{rounded}\"/><text text-anchor=\"middle\" x=\"{}\" y=\"{}\">{}</text></g>",
            node.about.kind.name(),
            x + WIDTH / 2,
            y + HEIGHT / 2 + 4,
            text::xml(&name)
        )?;
    }
    for cut in &answer.cuts {
        let (x, y) = corner(positions[cut.node]);
        let text = text::xml(&drawing::cut(cut));
        writeln!(out, "<text class=\"small\" x=\"{x}\" y=\"{}\">{text}</text>", y + HEIGHT + 12)?;
    }
    writeln!(out, "</svg>")
}

fn end_of(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME_LENGTH {
        return name.to_owned();
    }
    format!("…{}", name.chars().skip(length + 1 - NAME_LENGTH).collect::<String>())
}
