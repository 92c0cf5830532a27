//! What has to be known of all uses before the first edge is made of one.

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
    /// The first and the last time of all uses.
    pub(super) first: i64,
    pub(super) end: i64,
}

/// What was seen of all uses.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// For each pipe, socket and queue that was used, when.
    pub(super) channels: HashMap<Object, Times>,
    /// The first writes to channels, and perhaps some more.
    pub(super) writes: Vec<Use>,
    /// Uses only by calls that copy within the kernel.
    pub(super) copying: Vec<Use>,
}

impl Seen {
    pub(super) fn of(facts: &Facts, uses: &Uses) -> Self {
        let is_copy = |ways: &str| !ways.is_empty() && ways.split('+').all(|way| COPYING.contains(&way));
        let is_copying: Vec<bool> = facts.ways.iter().map(is_copy).collect();
        let mut seen = Self::default();
        uses.all(|one| {
            if is_copying.get(one.ways as usize) == Some(&true) {
                seen.copying.push(one);
            }
            let is_channel = match one.object {
                Object::File(file) => facts.files.items[file as usize].kind != FileKind::Plain,
                Object::Socket(_) | Object::Queue(_) => true,
            };
            if is_channel {
                seen.channel(one);
            }
        });
        let Self { channels, writes, .. } = &mut seen;
        // Only where a read came first, it matters which write did.
        writes.retain(|one| channels.get(&one.object).is_some_and(|times| times.written == one.first));
        seen
    }

    fn channel(&mut self, one: Use) {
        let none = Times { read: i64::MAX, written: i64::MAX, first: i64::MAX, end: i64::MIN };
        let times = self.channels.entry(one.object).or_insert(none);
        (times.first, times.end) = (times.first.min(one.first), times.end.max(one.end));
        match one.way {
            Way::Read => times.read = times.read.min(one.first),
            Way::Written => {
                if one.first <= times.written {
                    times.written = one.first;
                    self.writes.push(one);
                }
            }
        }
    }
}
