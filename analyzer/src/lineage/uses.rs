//! The uses of a whole store. They stay in the blocks of its parts, and are read in the order in which a search needs them.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use super::edge_file::{Block, Blocks};
use super::facts::Use;
use super::graph::Direction;
use super::merge::Numbers;

/// The uses of all parts of a store.
#[derive(Debug, Default)]
pub(super) struct Uses {
    parts: Vec<(Blocks, Numbers)>,
    /// Whether a block could not be read. It could be when the store was opened.
    pub(super) is_damaged: Cell<bool>,
}

/// A block that is being read: its uses, of which the one with the smallest key is the last.
struct Open {
    uses: Vec<(i64, Use)>,
}

impl Uses {
    pub(super) fn add(&mut self, blocks: Blocks, numbers: Numbers) {
        self.parts.push((blocks, numbers));
    }

    /// Returns the number of all uses.
    pub(super) fn len(&self) -> u64 {
        self.parts.iter().flat_map(|(blocks, _)| &blocks.all).map(|block| u64::from(block.uses)).sum()
    }

    /// Calls `visit` with the number of the block and the use, for each use of the blocks whose numbers are wanted, in no order.
    pub(super) fn all(&self, wants: impl Fn(u32) -> bool, mut visit: impl FnMut(u32, Use)) {
        let mut buffer = Vec::new();
        let blocks = self.parts.iter().flat_map(|part| part.0.all.iter().map(move |block| (part, block)));
        for (number, ((blocks, numbers), block)) in (0..).zip(blocks).filter(|(number, _)| wants(*number)) {
            let read = blocks.read(block, &mut buffer, |one| visit(number, numbers.of_use(one)));
            self.is_damaged.set(self.is_damaged.get() || read.is_none());
        }
    }

    /// Calls `visit` with each use of the wanted blocks until it breaks: forward in the order of their first times, backward in that
    /// of the times until which they can have been, the latest first.
    pub(super) fn each(
        &self,
        direction: Direction,
        wants: impl Fn(&Block) -> bool,
        mut visit: impl FnMut(Use) -> ControlFlow<()>,
    ) {
        let begin = |block: &Block| match direction {
            Direction::Forward => block.first,
            Direction::Backward => !block.end,
        };
        let all = (0..)
            .zip(&self.parts)
            .flat_map(|(part, (blocks, _))| blocks.all.iter().map(move |block| (part, block)));
        let mut blocks: Vec<(i64, usize, &Block)> =
            all.filter(|(_, block)| wants(block)).map(|(part, block)| (begin(block), part, block)).collect();
        blocks.sort_by_key(|(begin, ..)| Reverse(*begin));
        let mut reading = Reading {
            uses: self,
            direction,
            blocks,
            open: Vec::new(),
            next: BinaryHeap::new(),
            buffer: Vec::new(),
        };
        while let Some(slot) = reading.least() {
            let limit = reading.limit();
            let open = &mut reading.open[slot];
            // The block with the next use mostly has the one after it, too.
            while let Some((_, one)) = open.uses.pop_if(|(key, _)| *key <= limit) {
                if visit(one).is_break() {
                    return;
                }
            }
            reading.put_back(slot);
        }
    }
}

/// Reads blocks, of which several can be open at a time.
struct Reading<'a> {
    uses: &'a Uses,
    direction: Direction,
    /// Blocks that are not open, with the least key that one of their uses can have; the one with the least is the last.
    blocks: Vec<(i64, usize, &'a Block)>,
    open: Vec<Open>,
    /// The least key of each open block, and its index.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    buffer: Vec<u8>,
}

impl Reading<'_> {
    /// Takes the open block with the least key, after all blocks are open that can have a smaller one.
    fn least(&mut self) -> Option<usize> {
        while let Some((begin, ..)) = self.blocks.last() {
            if self.next.peek().is_some_and(|Reverse((key, _))| key < begin) {
                break;
            }
            self.open_next();
        }
        self.next.pop().map(|Reverse((_, slot))| slot)
    }

    /// Returns the key up to which the block can be read that was taken.
    fn limit(&self) -> i64 {
        let open = self.next.peek().map_or(i64::MAX, |Reverse((key, _))| *key);
        // One that begins at the same time is opened before.
        let closed = self.blocks.last().map_or(i64::MAX, |(begin, ..)| *begin);
        open.min(closed)
    }

    fn open_next(&mut self) {
        let Some((_, part, block)) = self.blocks.pop() else { return };
        let (blocks, numbers) = &self.uses.parts[part];
        let mut uses = Vec::with_capacity(block.uses as usize);
        let key = |one: &Use| match self.direction {
            Direction::Forward => one.first,
            Direction::Backward => !one.end,
        };
        let read = blocks.read(block, &mut self.buffer, |one| uses.push((key(&one), numbers.of_use(one))));
        self.uses.is_damaged.set(self.uses.is_damaged.get() || read.is_none());
        uses.sort_by_key(|(key, _)| Reverse(*key));
        let slot = self.open.iter().position(|open| open.uses.is_empty()).unwrap_or(self.open.len());
        if slot == self.open.len() {
            self.open.push(Open { uses });
        } else {
            self.open[slot].uses = uses;
        }
        self.put_back(slot);
    }

    fn put_back(&mut self, slot: usize) {
        match self.open[slot].uses.last() {
            Some((key, _)) => self.next.push(Reverse((*key, slot))),
            None => self.open[slot].uses = Vec::new(),
        }
    }
}
