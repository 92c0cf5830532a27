//! All flows of a store as edges in the order of time: those of uses, which are made one by one as they are read, and all others.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::edges::of_use;
use super::facts::Use;
use super::graph::{Direction, Edge, Edges};
use super::life::key;
use super::world::World;

/// An edge that comes later than the use that it is of. The one with the least key is the greatest.
#[derive(Debug)]
struct Later(i64, Edge);

impl Ord for Later {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.cmp(&self.0)
    }
}

impl PartialOrd for Later {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Later {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Later {}

impl Edges for World {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn count(&self) -> u64 {
        self.uses.len() + self.life.len() as u64 + self.rest.count()
    }

    fn each(&self, direction: Direction, visit: &mut dyn FnMut(&Edge) -> ControlFlow<()>) {
        let mut rest = self.rest.edges(direction);
        let next = rest.next();
        let life = self.life.order(&self.facts, &self.nodes, direction).iter();
        let mut going = Going {
            world: self,
            direction,
            rest,
            next,
            life,
            event: None,
            later: BinaryHeap::new(),
            visit,
            is_over: false,
        };
        going.event = going.next_event();
        let wants = |block: &super::edge_file::Block| self.span.touches(block.first, block.end);
        self.uses.each(direction, wants, |one| {
            going.use_of(&one);
            if going.is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        going.until(i64::MAX);
    }
}

/// Going through all edges.
struct Going<'a, R> {
    world: &'a World,
    direction: Direction,
    /// The edges that are not of uses, without the next one.
    rest: R,
    next: Option<&'a Edge>,
    /// Events of the lives of processes, without the next one.
    life: std::slice::Iter<'a, u32>,
    /// The next event, with its key.
    event: Option<(i64, u32)>,
    later: BinaryHeap<Later>,
    visit: &'a mut dyn FnMut(&Edge) -> ControlFlow<()>,
    is_over: bool,
}

impl<'a, R: Iterator<Item = &'a Edge>> Going<'a, R> {
    fn emit(&mut self, edge: &Edge) {
        let is_in_time = edge.first <= edge.last && self.world.span.touches(edge.first, edge.last);
        if !self.is_over && is_in_time {
            self.is_over = (self.visit)(edge).is_break();
        }
    }

    /// Goes along an edge now, or later if its key is greater than that of what it is of.
    fn add(&mut self, key: i64, edge: Edge) {
        let begin = self.direction.interval(&edge).0;
        if begin <= key {
            self.emit(&edge);
        } else {
            self.later.push(Later(begin, edge));
        }
    }

    fn next_event(&mut self) -> Option<(i64, u32)> {
        let event = *self.life.next()?;
        Some((key(&self.world.facts, &self.world.nodes, self.direction, event), event))
    }

    /// Goes through all edges that are known and have keys up to this one.
    fn until(&mut self, key: i64) {
        while !self.is_over {
            let of_rest = self.next.map(|edge| self.direction.interval(edge).0);
            let of_later = self.later.peek().map(|Later(key, _)| *key);
            let of_life = self.event.map(|(key, _)| key);
            let Some(least) = [of_rest, of_later, of_life].into_iter().flatten().min() else { return };
            if least > key {
                return;
            }
            if of_rest == Some(least) {
                if let Some(edge) = std::mem::replace(&mut self.next, self.rest.next()) {
                    self.emit(edge);
                }
            } else if of_later == Some(least) {
                if let Some(Later(_, edge)) = self.later.pop() {
                    self.emit(&edge);
                }
            } else if let Some((_, event)) = self.event.take() {
                let world = self.world;
                world.life.each(&world.facts, &world.nodes, event, |edge| self.add(least, edge));
                self.event = self.next_event();
            }
        }
    }

    /// Goes through the edges before a use, and those of the use. Their keys are not less than that of the use.
    fn use_of(&mut self, one: &Use) {
        let key = match self.direction {
            Direction::Forward => one.first,
            Direction::Backward => !one.end,
        };
        self.until(key);
        let world = self.world;
        of_use((&world.facts, &world.nodes, &world.channels), one, |edge| {
            if world.early.begin(&world.nodes, &edge).is_none() {
                self.add(key, edge);
            }
        });
    }
}
