//! Findings about all uses, which have to be known before the first edge is made of one.

use foldhash::HashMap;

use super::facts::{Facts, FileKind, Object, Use, Way};
use super::uses::Uses;

/// Calls that copy bytes within the kernel.
const COPYING: [&str; 4] = ["sendfile", "splice", "copy_file_range", "clone_range"];

/// Times at which a channel was used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The first time at which it was read, and written; the end of all times if it was not.
    pub(super) read: i64,
    pub(super) written: i64,
    /// Numbers of the first and the last block with a write that ended at that time.
    pub(super) blocks: (u32, u32),
}

/// Findings about all uses.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// For each pipe, socket and queue that was used, when.
    pub(super) channels: HashMap<Object, Times>,
    /// For each socket that was used, the first and the last time.
    pub(super) sockets: HashMap<u32, (i64, i64)>,
    /// Uses only by calls that copy within the kernel.
    pub(super) copying: Vec<Use>,
}

impl Seen {
    pub(super) fn of(facts: &Facts, uses: &Uses) -> Self {
        let is_copy = |ways: &str| !ways.is_empty() && ways.split('+').all(|way| COPYING.contains(&way));
        let is_copying: Vec<bool> = facts.ways.iter().map(is_copy).collect();
        let mut seen = Self::default();
        uses.all(
            |_| true,
            |block, one| {
                if is_copying.get(one.ways as usize) == Some(&true) {
                    seen.copying.push(one);
                }
                let is_channel = match one.object {
                    Object::File(file) => facts.files.items[file as usize].kind != FileKind::Plain,
                    Object::Socket(_) | Object::Queue(_) => true,
                };
                if is_channel {
                    seen.channel(block, one);
                }
            },
        );
        seen
    }

    fn channel(&mut self, block: u32, one: Use) {
        if let Object::Socket(socket) = one.object {
            let times = self.sockets.entry(socket).or_insert((one.first, one.end));
            *times = (times.0.min(one.first), times.1.max(one.end));
        }
        let none = Times { read: i64::MAX, written: i64::MAX, blocks: (block, block) };
        let times = self.channels.entry(one.object).or_insert(none);
        match one.way {
            Way::Read => times.read = times.read.min(one.first),
            Way::Written if one.first < times.written => {
                (times.written, times.blocks) = (one.first, (block, block));
            }
            Way::Written if one.first == times.written => times.blocks.1 = block,
            Way::Written => {}
        }
    }
}
