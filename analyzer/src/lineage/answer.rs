//! Questions about lineage, and their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use foldhash::{HashMap, HashSet};

use super::between::Between;
use super::bounds::{Bounds, Why};
use super::graph::{ANY_BYTES, Direction, Edge, Edges as _, Kind, Node};
use super::search::{Reached, search};
use super::world::{NodeName, World};
use crate::Error;
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
    /// Most nodes that the answer has for each direction, those that data reached first; `None` for all.
    pub most: Option<usize>,
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
    /// For nodes that the answer does not have because there are too many: their number and that of edges, by the reason why these
    /// were not followed.
    pub cuts_beyond: BTreeMap<Why, (usize, u64)>,
    /// For ways between two targets: the most bytes that can have gone along one of them.
    pub widest: Option<u64>,
    /// Number of edges that were followed.
    pub followed: u64,
    /// Number of nodes that were found, also those that the answer does not have because there are too many.
    pub found: usize,
    /// The number of these that are processes.
    pub found_processes: usize,
    /// Whether ways between two targets were asked for.
    pub is_between: bool,
}

/// Marks of nodes: the question is about it; the answer has it.
const TARGET: u8 = 1;
const SHOWN: u8 = 2;

/// Arrival at a node, and departure from it.
type Label = (Option<i64>, Option<i64>);

/// The findings of searches, for all kinds of questions.
enum Found {
    One(Vec<(Direction, Reached)>),
    Between(Box<Between>, Option<u64>),
}

impl World {
    /// Answers a question.
    ///
    /// # Errors
    /// A file that could be read when the store was opened can't be read any more.
    pub fn answer(&self, question: &Question) -> Result<Answer, Error> {
        let Span { since, until } = question.span;
        let starts: Vec<(Node, i64)> = question.targets.iter().map(|node| (*node, since)).collect();
        let ends = |nodes: &[Node]| nodes.iter().map(|node| (*node, until)).collect::<Vec<_>>();
        let bounds = &question.bounds;
        let one = |direction: Direction| {
            let from = if direction == Direction::Forward { starts.clone() } else { ends(&question.targets) };
            (direction, search(self, direction, &from, bounds))
        };
        let found = match &question.ask {
            Ask::Up => Found::One(vec![one(Direction::Backward)]),
            Ask::Down => Found::One(vec![one(Direction::Forward)]),
            Ask::Both => Found::One(vec![one(Direction::Backward), one(Direction::Forward)]),
            Ask::To(to) => {
                let to = ends(to);
                let between = Between::of(self, &starts, &to, bounds);
                let widest = between.widest(self, &starts, &to);
                Found::Between(Box::new(between), widest)
            }
        };
        let answer = Building { world: self, question, found }.build();
        if self.uses.is_damaged.get() {
            return Err(Error::EdgeFile);
        }
        Ok(answer)
    }
}

struct Building<'a> {
    world: &'a World,
    question: &'a Question,
    found: Found,
}

impl Building<'_> {
    fn build(&self) -> Answer {
        let (edges, used) = self.edges(self.labels());
        let mut labels = edges.labels;
        // Nodes of the target with which nothing was done.
        let is_unused = |node: Node| self.question.targets.len() > 1 && used.get(&node) == Some(&false);
        labels.retain(|node, _| !is_unused(*node));
        let mut order: Vec<(Node, Label)> = labels.into_iter().collect();
        order.sort_by_key(|(node, (arrival, departure))| (arrival.or(*departure), *departure, *node));
        let index: HashMap<Node, usize> =
            order.iter().enumerate().map(|(index, (node, _))| (*node, index)).collect();
        let targets: HashSet<Node> = self.question.targets.iter().copied().collect();
        let nodes = order.iter().map(|(node, (arrival, departure))| AnswerNode {
            about: self.world.name(*node),
            arrival: arrival.filter(|at| *at != i64::MIN),
            departure: departure.filter(|at| *at != i64::MAX),
            is_target: targets.contains(node),
        });
        let (all_cuts, widest, followed) = match &self.found {
            Found::One(found) => {
                let cuts = found.iter().flat_map(|(_, reached)| &reached.cuts).copied().collect();
                (cuts, None, found.iter().map(|(_, reached)| reached.edges).sum())
            }
            // A node that was cut off is on no way that was found, but may be on one that was not.
            Found::Between(between, widest) => (between.cuts(), *widest, between.edges()),
        };
        let mut cuts = Vec::new();
        let mut cuts_beyond: BTreeMap<Why, (usize, u64)> = BTreeMap::new();
        for cut in all_cuts {
            match index.get(&cut.node) {
                Some(node) => cuts.push(AnswerCut { node: *node, why: cut.why, edges: cut.edges }),
                None => {
                    let (nodes, edges) = cuts_beyond.entry(cut.why).or_default();
                    (*nodes, *edges) = (*nodes + 1, *edges + cut.edges);
                }
            }
        }
        let all = self.all().filter(|node| !is_unused(*node));
        let (mut found, mut found_processes) = (0, 0);
        for node in all {
            found += 1;
            found_processes += usize::from(node < self.world.nodes.processes.end());
        }
        Answer {
            nodes: nodes.collect(),
            edges: finish(edges.sums, &index),
            cuts,
            cuts_beyond,
            widest,
            followed,
            found,
            found_processes,
            is_between: matches!(self.found, Found::Between(..)),
        }
    }

    /// Returns the arrival at a node and the departure from it; `None` if it is not in the answer.
    fn label(&self, node: Node) -> Option<Label> {
        match &self.found {
            Found::One(found) => {
                let mut label = (None, None);
                for (direction, reached) in found {
                    match direction {
                        Direction::Forward => label.0 = reached.at(node),
                        Direction::Backward => label.1 = reached.at(node),
                    }
                }
                Some(label).filter(|label| *label != (None, None))
            }
            Found::Between(between, _) => {
                between.at(node).map(|(arrival, departure)| (Some(arrival), Some(departure)))
            }
        }
    }

    /// Returns all nodes that were found.
    fn all(&self) -> impl Iterator<Item = Node> {
        let nodes = (0..self.world.nodes.len() as Node).filter(|node| self.label(*node).is_some());
        let cut = self.cut_off().into_iter().filter(|node| self.label(*node).is_none());
        nodes.chain(cut)
    }

    /// Returns the nodes at which a search for ways between two targets was cut off. They may be on ways that were not found.
    fn cut_off(&self) -> Vec<Node> {
        let Found::Between(between, _) = &self.found else { return Vec::new() };
        let mut nodes: Vec<Node> = between.cuts().into_iter().map(|cut| cut.node).collect();
        nodes.retain(|node| between.one(*node) != (None, None));
        nodes.dedup();
        nodes
    }

    /// Returns the nodes of the answer with arrival and departure.
    fn labels(&self) -> HashMap<Node, Label> {
        let label = |node: Node| Some((node, self.label(node)?));
        let Some(most) = self.question.most else {
            let mut labels: HashMap<Node, Label> = self.all().filter_map(label).collect();
            labels.extend(self.cut_labels());
            return labels;
        };
        // Data came to each of these from one before it, so that they are one tree without gaps.
        let orders: Vec<&[Node]> = match &self.found {
            Found::One(found) => found.iter().map(|(_, reached)| reached.order()).collect(),
            Found::Between(between, _) => vec![between.order()],
        };
        let mut labels: HashMap<Node, Label> = HashMap::default();
        for order in &orders {
            let starts = self.question.targets.iter().filter(|node| !labels.contains_key(node));
            let starts: Vec<Node> = starts.copied().collect();
            let found = order.iter().copied().filter_map(label);
            // Targets that data did not leave come last.
            labels.extend(found.chain(starts.into_iter().filter_map(label)).take(most).collect::<Vec<_>>());
        }
        labels.extend(self.cut_labels().take(most));
        labels
    }

    fn cut_labels(&self) -> impl Iterator<Item = (Node, Label)> {
        let Found::Between(between, _) = &self.found else { return Vec::new().into_iter() };
        self.cut_off().into_iter().map(|node| (node, between.one(node))).collect::<Vec<_>>().into_iter()
    }

    /// Adds up the edges between nodes of the answer, and finds out with which targets something was done.
    fn edges(&self, labels: HashMap<Node, Label>) -> (Sums, HashMap<Node, bool>) {
        let mut used: HashMap<Node, bool> = self.question.targets.iter().map(|node| (*node, false)).collect();
        let mut marks = vec![0_u8; self.world.nodes.len()];
        used.keys().for_each(|node| marks[*node as usize] |= TARGET);
        labels.keys().for_each(|node| marks[*node as usize] |= SHOWN);
        let mut sums = Sums { labels, sums: HashMap::default() };
        let ways = &self.world.facts.ways;
        self.world.each(Direction::Forward, &mut |edge| {
            let [from, to] = [edge.from, edge.to].map(|node| marks[node as usize]);
            if (from | to) & TARGET != 0 {
                for node in [edge.from, edge.to] {
                    used.entry(node).and_modify(|used| *used = true);
                }
            }
            if from & to & SHOWN != 0 && self.has(edge) {
                sums.add(edge, ways.get(edge.ways.into()));
            }
            ControlFlow::Continue(())
        });
        (sums, used)
    }

    fn has(&self, edge: &Edge) -> bool {
        match &self.found {
            Found::One(found) => found.iter().any(|(_, reached)| reached.has(edge)),
            Found::Between(between, _) => between.has(edge),
        }
    }
}

/// Edges of the same kind between two nodes, added up, while they are read.
struct Sums {
    labels: HashMap<Node, Label>,
    sums: HashMap<(Node, Node, Kind), AnswerEdge>,
}

impl Sums {
    fn add(&mut self, edge: &Edge, ways: &str) {
        let sum = self.sums.entry((edge.from, edge.to, edge.kind)).or_insert_with(|| AnswerEdge {
            from: 0,
            to: 0,
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
        for way in ways.split('+').filter(|way| !way.is_empty()) {
            if !sum.via.contains(way) {
                sum.via.insert(way.to_owned());
            }
        }
    }
}

/// Returns edges in order of time, with the indexes of their nodes.
fn finish(sums: HashMap<(Node, Node, Kind), AnswerEdge>, index: &HashMap<Node, usize>) -> Vec<AnswerEdge> {
    let ends = |(from, to, kind): (Node, Node, Kind), edge| {
        Some(AnswerEdge { from: *index.get(&from)?, to: *index.get(&to)?, kind, ..edge })
    };
    let mut edges: Vec<AnswerEdge> = sums.into_iter().filter_map(|(key, edge)| ends(key, edge)).collect();
    edges.sort_by_key(|edge| (edge.first, edge.last, edge.from, edge.to, edge.kind));
    edges
}
