//! An answer as a tree: each node below the one from which data reached it first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::io::{self, Write};

use super::frame::Frame;
use super::text;
use crate::lineage::answer::{Answer, AnswerEdge};
use crate::lineage::{ANY_BYTES, Kind};
use crate::render::words;

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
    let mut shown = HashSet::new();
    for side in &sides {
        let title = if *side == Side::Up { "came from" } else { "went to" };
        if sides.len() > 1 {
            writeln!(out, "{title}:")?;
        }
        Tree::of(answer, frame, *side).write(&mut shown, out)?;
    }
    if sides.is_empty() {
        for node in &answer.nodes {
            writeln!(out, "{}  ({})", text::name(&node.about), node.about.id)?;
        }
        shown.extend(0..answer.nodes.len());
        writeln!(out, "in the direction that was asked for, no flow was recorded")?;
    }
    if let Some(bytes) = answer.widest.filter(|bytes| *bytes != ANY_BYTES) {
        writeln!(out, "\nat most {} along one way; several ways can add up", words::bytes(bytes))?;
    }
    let beyond = answer.cuts_beyond.values();
    let (cut_nodes, cut) = answer
        .cuts
        .iter()
        .map(|cut| (1, cut.edges))
        .chain(beyond.copied())
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    write!(
        out,
        "\n{} nodes, {} of them processes; {} edges were followed",
        answer.found, answer.found_processes, answer.followed
    )?;
    if cut > 0 {
        write!(out, ", {cut} were not, at {cut_nodes} nodes")?;
    }
    writeln!(out)?;
    let left = answer.found.saturating_sub(shown.len());
    if left > 0 {
        let is_limited = answer.found > answer.nodes.len() || shown.len() >= frame.most;
        let why = if is_limited { "(--limit)" } else { "(the search was cut there)" };
        writeln!(out, "{left} more nodes are not shown {why}; --format json has all")?;
    }
    write!(out, "{}", frame.evidence)
}

fn node_index(answer: &Answer, node: &crate::lineage::AnswerNode) -> usize {
    // Nodes are in one list, so the distance from its beginning is the index.
    answer.nodes.iter().position(|other| std::ptr::eq(other, node)).unwrap_or_default()
}

/// Returns the time by which the nodes of a side are ordered: the smaller, the nearer to the target.
fn label(answer: &Answer, side: Side, index: usize) -> Option<i64> {
    let node = &answer.nodes[index];
    match side {
        Side::Up => node.departure.map(|at| !at).or((node.is_target).then_some(i64::MIN)),
        Side::Down => node.arrival.or(node.is_target.then_some(i64::MIN)),
    }
}

/// Order in which edges are taken into the tree, with the index of the edge.
type Rank = (Option<i64>, bool, i64, usize);

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
        let ends = |edge: &AnswerEdge| match side {
            Side::Up => (edge.to, edge.from),
            Side::Down => (edge.from, edge.to),
        };
        let mut edges: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, edge) in answer.edges.iter().enumerate() {
            edges.entry(ends(edge).0).or_default().push(index);
        }
        let mut is_there: Vec<bool> = answer.nodes.iter().map(|node| node.is_target).collect();
        let mut waiting = BinaryHeap::new();
        let follow = |node: usize, waiting: &mut BinaryHeap<Reverse<Rank>>| {
            for index in edges.get(&node).into_iter().flatten() {
                let edge = &answer.edges[*index];
                let at = label(answer, side, ends(edge).1);
                let first = if side == Side::Up { !edge.last } else { edge.first };
                if at.is_none() {
                    continue;
                }
                // A copy is what people want to see; otherwise the edge by which data came first.
                waiting.push(Reverse((at, edge.kind != Kind::Copy, first, *index)));
            }
        };
        (0..is_there.len()).filter(|node| is_there[*node]).for_each(|node| follow(node, &mut waiting));
        let mut children: HashMap<usize, Vec<&AnswerEdge>> = HashMap::new();
        while let Some(Reverse((.., index))) = waiting.pop() {
            let (begin, end) = ends(&answer.edges[index]);
            if !std::mem::replace(&mut is_there[end], true) {
                children.entry(begin).or_default().push(&answer.edges[index]);
                follow(end, &mut waiting);
            }
        }
        Self { answer, frame, side, children, left: frame.most }
    }

    /// Writes the tree, and adds its nodes to those that are shown.
    fn write(mut self, shown: &mut HashSet<usize>, out: &mut dyn Write) -> io::Result<()> {
        let roots = self.answer.nodes.iter().enumerate().filter(|(_, node)| node.is_target);
        for (root, node) in roots {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            shown.insert(root);
            writeln!(out, "{}  ({})", text::name(&node.about), node.about.id)?;
            self.cuts(root, "", out)?;
            self.below(root, shown, out)?;
        }
        Ok(())
    }

    /// Writes what is below a node, without recursion: ways can be long.
    fn below(&mut self, root: usize, shown: &mut HashSet<usize>, out: &mut dyn Write) -> io::Result<()> {
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
            shown.insert(node);
            let branch = if is_last { "└─" } else { "├─" };
            let at = if self.side == Side::Up { edge.last } else { edge.first };
            let label = self.answer.nodes[node].arrival.filter(|_| self.side == Side::Down);
            let at =
                text::short_time(label.or(self.answer.nodes[node].departure).unwrap_or(at), &self.frame.zone);
            let name = text::name(&self.answer.nodes[node].about);
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
