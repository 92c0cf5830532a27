//! Questions about lineage, and their answers.

use std::collections::{BTreeMap, BTreeSet};

use super::between::{Between, widest};
use super::bounds::{Bounds, Cut, Why};
use super::graph::{ANY_BYTES, Direction, Edge, Kind, Node};
use super::search::{Reached, search};
use super::world::{NodeName, World};
use crate::span::Span;

/// The ways that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Where can data have come from?
    Up,
    /// Where can data have gone?
    Down,
    /// Both of these questions.
    Both,
    /// How can data have got to these nodes?
    To(Vec<Node>),
}

/// A question about lineage.
#[derive(Clone, Debug)]
pub struct Question {
    /// The nodes that it is about.
    pub targets: Vec<Node>,
    /// The ways that are asked for.
    pub ask: Ask,
    /// The time in which data move.
    pub span: Span,
    /// Limits of the search.
    pub bounds: Bounds,
}

/// A node of an answer.
#[derive(Clone, Debug)]
pub struct AnswerNode {
    /// Identity, kind and names.
    pub about: NodeName,
    /// The earliest time at which data of the target can be there, if that was asked.
    pub arrival: Option<i64>,
    /// The latest time at which data for the target can have left it, if that was asked.
    pub departure: Option<i64>,
    /// Whether the question is about it.
    pub is_target: bool,
}

/// Edges between two nodes of an answer, added up.
#[derive(Clone, Debug)]
pub struct AnswerEdge {
    /// Index of the node that the data came from.
    pub from: usize,
    /// Index of the node that they went to.
    pub to: usize,
    /// The earliest time at which they can have gone.
    pub first: i64,
    /// The latest such time.
    pub last: i64,
    /// Number of bytes, if it is known.
    pub bytes: Option<u64>,
    /// Whether `bytes` is the most that can have gone.
    pub is_upper: bool,
    /// Calls that moved the data.
    pub via: BTreeSet<String>,
    /// How the data went.
    pub kind: Kind,
}

/// Edges that an answer lacks because of the bounds.
#[derive(Clone, Debug)]
pub struct AnswerCut {
    /// Index of the node.
    pub node: usize,
    /// The reason why they were not followed.
    pub why: Why,
    /// Number of edges that were not followed.
    pub edges: u64,
}

/// An answer: a part of the graph.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The nodes, those with the earliest arrival first.
    pub nodes: Vec<AnswerNode>,
    /// The edges, in order of time.
    pub edges: Vec<AnswerEdge>,
    /// The edges that were not followed.
    pub cuts: Vec<AnswerCut>,
    /// For ways between two targets: the most bytes that can have gone along one of them.
    pub widest: Option<u64>,
    /// Number of edges that were followed.
    pub followed: u64,
    /// Whether ways between two targets were asked for.
    pub is_between: bool,
}

/// Arrival at a node, and departure from it.
type Label = (Option<i64>, Option<i64>);

/// The findings of searches, for all kinds of questions.
enum Found {
    One(Vec<(Direction, Reached)>),
    Between(Between, Option<u64>),
}

impl World {
    /// Answers a question.
    pub fn answer(&self, question: &Question) -> Answer {
        let Span { since, until } = question.span;
        let starts: Vec<(Node, i64)> = question.targets.iter().map(|node| (*node, since)).collect();
        let ends = |nodes: &[Node]| nodes.iter().map(|node| (*node, until)).collect::<Vec<_>>();
        let bounds = &question.bounds;
        let one = |direction: Direction| {
            let from = if direction == Direction::Forward { starts.clone() } else { ends(&question.targets) };
            (direction, search(&self.graph, direction, &from, bounds))
        };
        let found = match &question.ask {
            Ask::Up => Found::One(vec![one(Direction::Backward)]),
            Ask::Down => Found::One(vec![one(Direction::Forward)]),
            Ask::Both => Found::One(vec![one(Direction::Backward), one(Direction::Forward)]),
            Ask::To(to) => {
                let to = ends(to);
                let widest = widest(&self.graph, &starts, &to, bounds);
                Found::Between(Between::of(&self.graph, &starts, &to, bounds), widest)
            }
        };
        Building { world: self, question, found }.build()
    }
}

struct Building<'a> {
    world: &'a World,
    question: &'a Question,
    found: Found,
}

impl Building<'_> {
    fn build(&self) -> Answer {
        let labels = self.labels();
        let mut order: Vec<(Node, Label)> = labels.into_iter().collect();
        order.sort_by_key(|(node, (arrival, departure))| (arrival.or(*departure), *departure, *node));
        let index: BTreeMap<Node, usize> =
            order.iter().enumerate().map(|(index, (node, _))| (*node, index)).collect();
        let nodes = order.iter().map(|(node, (arrival, departure))| AnswerNode {
            about: self.world.name(*node),
            arrival: arrival.filter(|at| *at != i64::MIN),
            departure: departure.filter(|at| *at != i64::MAX),
            is_target: self.question.targets.contains(node),
        });
        let cut = |cut: &Cut| {
            let node = *index.get(&cut.node)?;
            Some(AnswerCut { node, why: cut.why, edges: cut.edges })
        };
        let (cuts, widest, followed) = match &self.found {
            Found::One(found) => {
                let cuts = found.iter().flat_map(|(_, reached)| &reached.cuts).filter_map(cut).collect();
                (cuts, None, found.iter().map(|(_, reached)| reached.edges).sum())
            }
            Found::Between(between, widest) => {
                // A node that was cut off is on no way that was found, but may be on one that was not.
                let cuts = between.cuts().iter().filter_map(cut).collect();
                (cuts, *widest, between.edges())
            }
        };
        let is_between = matches!(self.found, Found::Between(..));
        Answer { nodes: nodes.collect(), edges: self.edges(&index), cuts, widest, followed, is_between }
    }

    /// Returns the nodes of the answer with arrival and departure.
    fn labels(&self) -> BTreeMap<Node, Label> {
        let mut labels: BTreeMap<Node, Label> = BTreeMap::new();
        match &self.found {
            Found::One(found) => {
                for (direction, reached) in found {
                    for node in reached.nodes() {
                        let label = labels.entry(node).or_default();
                        match direction {
                            Direction::Forward => label.0 = reached.at(node),
                            Direction::Backward => label.1 = reached.at(node),
                        }
                    }
                }
            }
            Found::Between(between, _) => {
                let nodes = 0..self.world.graph.nodes() as Node;
                labels.extend(nodes.filter_map(|node| {
                    let (arrival, departure) = between.at(node)?;
                    Some((node, (Some(arrival), Some(departure))))
                }));
                let cut = between.cuts().into_iter().map(|cut| (cut.node, between.one(cut.node)));
                labels
                    .extend(cut.filter(|(_, (arrival, departure))| arrival.is_some() || departure.is_some()));
            }
        }
        // Nodes of the target with which nothing was done.
        labels.retain(|node, _| self.is_used(*node) || self.question.targets.len() == 1);
        labels
    }

    fn is_used(&self, node: Node) -> bool {
        let graph = &self.world.graph;
        graph.leaving(node).next().is_some() || graph.entering(node).next().is_some()
    }

    /// Returns the edges of the answer, those of the same kind between two nodes added up.
    fn edges(&self, index: &BTreeMap<Node, usize>) -> Vec<AnswerEdge> {
        let mut edges: BTreeMap<(usize, usize, Kind), AnswerEdge> = BTreeMap::new();
        for node in index.keys() {
            for edge in self.world.graph.leaving(*node).filter(|edge| self.has(edge)) {
                let (Some(from), Some(to)) = (index.get(&edge.from), index.get(&edge.to)) else { continue };
                let sum = edges.entry((*from, *to, edge.kind)).or_insert_with(|| AnswerEdge {
                    from: *from,
                    to: *to,
                    first: edge.first,
                    last: edge.last,
                    bytes: Some(0),
                    is_upper: false,
                    via: BTreeSet::new(),
                    kind: edge.kind,
                });
                (sum.first, sum.last) = (sum.first.min(edge.first), sum.last.max(edge.last));
                let bytes = (edge.bytes != ANY_BYTES).then_some(edge.bytes);
                sum.bytes = sum.bytes.zip(bytes).map(|(sum, bytes)| sum.saturating_add(bytes));
                sum.is_upper |= edge.is_upper;
                let ways = self.world.facts.ways.items.get(edge.ways as usize);
                let ways = ways.into_iter().flat_map(|ways| ways.split('+')).filter(|way| !way.is_empty());
                sum.via.extend(ways.map(str::to_owned));
            }
        }
        let mut edges: Vec<AnswerEdge> = edges.into_values().collect();
        edges.sort_by_key(|edge| (edge.first, edge.last, edge.from, edge.to));
        edges
    }

    fn has(&self, edge: &Edge) -> bool {
        match &self.found {
            Found::One(found) => found.iter().any(|(_, reached)| reached.has(edge)),
            Found::Between(between, _) => between.has(edge),
        }
    }
}
