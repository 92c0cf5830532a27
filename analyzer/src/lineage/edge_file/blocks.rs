//! Uses in blocks, each of which is read alone: some thousands of uses in order of time, with the times between which they are.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::bytes::{Reader, Writer};
use super::uses::{self, Limits};
use crate::lineage::facts::{Facts, Use};

/// Uses in a block.
const USES: usize = if cfg!(test) { 3 } else { 4096 };

/// Place and contents of a block.
#[derive(Clone, Copy, Debug)]
pub(in crate::lineage) struct Block {
    offset: u64,
    length: u32,
    crc: u32,
    /// Number of its uses.
    pub(in crate::lineage) uses: u32,
    /// The first time of its uses.
    pub(in crate::lineage) first: i64,
    /// The last time until which one of them can have been.
    pub(in crate::lineage) end: i64,
}

/// The bytes that blocks are in.
#[derive(Debug)]
enum Source {
    File(File),
    Memory(Vec<u8>),
}

/// The blocks of a part of the store.
#[derive(Debug)]
pub(in crate::lineage) struct Blocks {
    source: Source,
    pub(in crate::lineage) all: Vec<Block>,
    limits: Limits,
}

impl Blocks {
    /// Makes blocks in memory, in which a use needs a few bytes.
    pub(in crate::lineage) fn of(facts: &Facts) -> Self {
        let (all, bytes) = make(&facts.uses);
        Self { source: Source::Memory(bytes), all, limits: uses::limits(facts) }
    }

    /// Returns the blocks of a file, whose offsets count from `base`; `None` if one is damaged.
    pub(super) fn in_file(file: File, base: u64, mut all: Vec<Block>, facts: &Facts) -> Option<Self> {
        let mut next = base;
        for block in &mut all {
            block.offset = next;
            next = next.checked_add(block.length.into())?;
        }
        if file.metadata().ok()?.len() != next {
            return None;
        }
        let blocks = Self { source: Source::File(file), all, limits: uses::limits(facts) };
        let mut buffer = Vec::new();
        let is_whole =
            |block| blocks.bytes(block, &mut buffer).is_some_and(|bytes| crc32fast::hash(bytes) == block.crc);
        blocks.all.iter().all(is_whole).then_some(blocks)
    }

    fn bytes<'a>(&'a self, block: &Block, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match &self.source {
            Source::File(file) => {
                buffer.resize(block.length as usize, 0);
                file.read_exact_at(buffer, block.offset).ok()?;
                Some(buffer)
            }
            Source::Memory(bytes) => {
                let begin = usize::try_from(block.offset).ok()?;
                bytes.get(begin..begin.checked_add(block.length as usize)?)
            }
        }
    }

    /// Calls `visit` with each use of a block; `None` if it can't be read.
    pub(in crate::lineage) fn read(
        &self,
        block: &Block,
        buffer: &mut Vec<u8>,
        visit: impl FnMut(Use),
    ) -> Option<()> {
        uses::read(self.bytes(block, buffer)?, &self.limits, visit)
    }
}

/// Returns the blocks of uses, and their bytes.
pub(super) fn make(uses: &[Use]) -> (Vec<Block>, Vec<u8>) {
    let mut ordered: Vec<&Use> = uses.iter().collect();
    ordered.sort_by_key(|one| one.first);
    let (mut blocks, mut bytes) = (Vec::new(), Vec::new());
    for uses in ordered.chunks(USES) {
        let mut writer = Writer::default();
        uses::write(uses, &mut writer);
        blocks.push(Block {
            offset: bytes.len() as u64,
            length: writer.bytes.len() as u32,
            crc: crc32fast::hash(&writer.bytes),
            uses: uses.len() as u32,
            first: uses.first().map_or(i64::MAX, |one| one.first),
            end: uses.iter().map(|one| one.end).max().unwrap_or(i64::MIN),
        });
        bytes.extend(writer.bytes);
    }
    (blocks, bytes)
}

/// Writes where the blocks are.
pub(super) fn write(blocks: &[Block], to: &mut Writer) {
    to.list(blocks, |to, block| {
        to.number(block.length.into());
        to.number(block.crc.into());
        to.number(block.uses.into());
        to.time(block.first);
        to.time(block.end);
    });
}

/// Reads where the blocks are, one after the other.
pub(super) fn read(from: &mut Reader<'_>) -> Option<Vec<Block>> {
    from.list(|from| {
        let (length, crc, uses) = (from.small()?, from.small()?, from.small()?);
        Some(Block { offset: 0, length, crc, uses, first: from.time()?, end: from.time()? })
    })
}
