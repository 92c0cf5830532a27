//! An answer as a tree: each node below the one from which data reached it first.

use std::collections::HashMap;
use std::io::{self, Write};

use super::frame::Frame;
use super::text;
use crate::lineage::answer::{Answer, AnswerEdge};
use crate::lineage::{ANY_BYTES, NodeKind};

/// A direction in which an answer is drawn.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Up,
    Down,
}

pub(super) fn write(answer: &Answer, frame: &Frame, out: &mut dyn Write) -> io::Result<()> {
    let has = |side: Side| {
        answer
            .nodes
            .iter()
            .any(|node| !node.is_target && label(answer, side, node_index(answer, node)).is_some())
    };
    let sides = if answer.is_between { vec![Side::Down] } else { vec![Side::Up, Side::Down] };
    let sides: Vec<Side> = sides.into_iter().filter(|side| has(*side)).collect();
    if answer.is_between && answer.widest.is_none() {
        writeln!(out, "no way was found")?;
    }
    let mut shown = 0;
    for side in &sides {
        let title = if *side == Side::Up { "came from" } else { "went to" };
        if sides.len() > 1 {
            writeln!(out, "{title}:")?;
        }
        shown += Tree::of(answer, frame, *side).write(out)?;
    }
    if sides.is_empty() {
        for node in &answer.nodes {
            writeln!(out, "{}  ({})", text::visible(&node.about.name), node.about.id)?;
        }
        writeln!(out, "no data went from or to it that was recorded")?;
    }
    if let Some(bytes) = answer.widest.filter(|bytes| *bytes != ANY_BYTES) {
        writeln!(out, "\nat most {} along one way; several ways can add up", text::size(bytes))?;
    }
    let processes = answer.nodes.iter().filter(|node| node.about.kind == NodeKind::Process).count();
    let cut: u64 = answer.cuts.iter().map(|cut| cut.edges).sum();
    write!(
        out,
        "\n{} nodes, {processes} of them processes; {} edges",
        answer.nodes.len(),
        answer.edges.len()
    )?;
    if cut > 0 {
        write!(out, "; {cut} edges at {} nodes were cut off", answer.cuts.len())?;
    }
    writeln!(out)?;
    if shown < answer.nodes.len() && shown >= frame.most {
        writeln!(out, "only the first {} nodes are shown; --format json has all", frame.most)?;
    }
    for note in &frame.notes {
        writeln!(out, "{note}")?;
    }
    Ok(())
}

fn node_index(answer: &Answer, node: &crate::lineage::AnswerNode) -> usize {
    // Nodes are in one list, so the distance from its beginning is the index.
    answer.nodes.iter().position(|other| std::ptr::eq(other, node)).unwrap_or_default()
}

fn label(answer: &Answer, side: Side, index: usize) -> Option<i64> {
    let node = &answer.nodes[index];
    match side {
        Side::Up => node.departure.map(|at| !at).or((node.is_target).then_some(i64::MIN)),
        Side::Down => node.arrival.or(node.is_target.then_some(i64::MIN)),
    }
}

struct Tree<'a> {
    answer: &'a Answer,
    frame: &'a Frame,
    side: Side,
    /// For each node the edges to its children.
    children: HashMap<usize, Vec<&'a AnswerEdge>>,
    left: usize,
}

impl<'a> Tree<'a> {
    fn of(answer: &'a Answer, frame: &'a Frame, side: Side) -> Self {
        let end = |edge: &AnswerEdge| if side == Side::Up { edge.from } else { edge.to };
        let begin = |edge: &AnswerEdge| if side == Side::Up { edge.to } else { edge.from };
        let first = |edge: &AnswerEdge| if side == Side::Up { !edge.last } else { edge.first };
        // The parent of a node is one of those that were reached before it, so that there are no circles.
        let mut parents: HashMap<usize, (&AnswerEdge, (bool, i64, i64))> = HashMap::new();
        for edge in &answer.edges {
            let (Some(own), Some(parent)) =
                (label(answer, side, end(edge)), label(answer, side, begin(edge)))
            else {
                continue;
            };
            if answer.nodes[end(edge)].is_target || (parent, begin(edge)) >= (own, end(edge)) {
                continue;
            }
            // A copy is what people want to see; otherwise the edge by which data came first.
            let rank = (edge.kind != crate::lineage::Kind::Copy, first(edge).max(parent), parent);
            let known = parents.entry(end(edge)).or_insert((edge, rank));
            if rank < known.1 {
                *known = (edge, rank);
            }
        }
        let mut children: HashMap<usize, Vec<&AnswerEdge>> = HashMap::new();
        for (edge, _) in parents.values() {
            children.entry(begin(edge)).or_default().push(edge);
        }
        for edges in children.values_mut() {
            edges.sort_by_key(|edge| (label(answer, side, end(edge)), end(edge)));
        }
        Self { answer, frame, side, children, left: frame.most }
    }

    /// Writes the tree; returns how many nodes it has.
    fn write(mut self, out: &mut dyn Write) -> io::Result<usize> {
        let roots = self.answer.nodes.iter().enumerate().filter(|(_, node)| node.is_target);
        for (root, node) in roots {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            writeln!(out, "{}  ({})", text::visible(&node.about.name), node.about.id)?;
            self.cuts(root, "", out)?;
            self.below(root, out)?;
        }
        Ok(self.frame.most - self.left)
    }

    /// Writes what is below a node, without recursion: ways can be long.
    fn below(&mut self, root: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut waiting: Vec<(&AnswerEdge, String, bool)> = Vec::new();
        let push =
            |waiting: &mut Vec<(&'a AnswerEdge, String, bool)>, node: usize, indent: &str, tree: &Self| {
                let children = tree.children.get(&node).map(Vec::as_slice).unwrap_or_default();
                for (number, edge) in children.iter().enumerate().rev() {
                    waiting.push((edge, indent.to_owned(), number + 1 == children.len()));
                }
            };
        push(&mut waiting, root, "", self);
        while let Some((edge, indent, is_last)) = waiting.pop() {
            if self.left == 0 {
                return Ok(());
            }
            self.left -= 1;
            let node = if self.side == Side::Up { edge.from } else { edge.to };
            let branch = if is_last { "└─" } else { "├─" };
            let at = if self.side == Side::Up { edge.last } else { edge.first };
            let label = self.answer.nodes[node].arrival.filter(|_| self.side == Side::Down);
            let at =
                text::short_time(label.or(self.answer.nodes[node].departure).unwrap_or(at), &self.frame.zone);
            let name = text::visible(&self.answer.nodes[node].about.name);
            let arrow = if self.side == Side::Up { "←" } else { "→" };
            writeln!(out, "{indent}{branch} {arrow} {name}  [{at}  {}]", text::label(edge))?;
            let indent = format!("{indent}{}", if is_last { "   " } else { "│  " });
            self.cuts(node, &indent, out)?;
            push(&mut waiting, node, &indent, self);
        }
        Ok(())
    }

    /// Writes what was cut off at a node.
    fn cuts(&self, node: usize, indent: &str, out: &mut dyn Write) -> io::Result<()> {
        for cut in self.answer.cuts.iter().filter(|cut| cut.node == node) {
            writeln!(out, "{indent}✂ {} edges not followed ({})", cut.edges, cut.why.name())?;
        }
        Ok(())
    }
}
