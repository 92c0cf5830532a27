//! Sums by key over the last seconds.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::sums::{Key, Sort, Sums};

/// Most keys of a window. A process can make up names as fast as it likes; those of further keys are summed as one.
pub(super) const MAX_KEYS: usize = 20_000;
/// Longest name that is kept, in bytes: the windows then take 20 MB at most.
const MAX_NAME: usize = 512;

/// Sums by key over the last seconds.
#[derive(Debug)]
pub struct Window {
    seconds: u64,
    now: u64,
    keys: HashMap<Key, Entry>,
    others: Entry,
}

/// The sums of one key.
#[derive(Debug, Default)]
struct Entry {
    name: Box<str>,
    total: Sums,
    /// Sums by second, oldest first. A second without rows is left out.
    by_second: VecDeque<(u64, Sums)>,
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The file, process, user or peer of the line.
    pub key: Key,
    /// The latest name: a path, a process's command name.
    pub name: String,
    /// Sums over the window.
    pub sums: Sums,
}

impl Window {
    /// Makes an empty window of so many seconds, at least one.
    pub fn new(seconds: u64) -> Self {
        Self { seconds: seconds.max(1), now: 0, keys: HashMap::new(), others: Entry::default() }
    }

    /// Goes on to that second, counted from any moment, and forgets what is older than the window. Time never goes back here.
    pub fn advance(&mut self, second: u64) {
        if second <= self.now {
            return;
        }
        self.now = second;
        let oldest = (second + 1).saturating_sub(self.seconds);
        self.keys.retain(|_, entry| entry.forget(oldest));
        self.others.forget(oldest);
    }

    /// Adds to the sums of a key. `name` is asked only if the key is new or has no name yet.
    pub fn add<'a>(&mut self, key: Key, name: impl FnOnce() -> &'a str, sums: &Sums) {
        let is_full = self.keys.len() >= MAX_KEYS;
        let entry = if is_full {
            self.keys.get_mut(&key).unwrap_or(&mut self.others)
        } else {
            self.keys.entry(key).or_default()
        };
        if entry.name.is_empty() && entry.by_second.is_empty() {
            entry.name = shortened(name()).into();
        }
        entry.add(self.now, sums);
    }

    /// Returns the busiest keys, at most so many, the busiest first.
    pub fn busiest(&self, sort: Sort, most: usize) -> Vec<Busy> {
        let mut lines: Vec<_> = self.keys.iter().collect();
        let rank = |(_, entry): &(&Key, &Entry)| std::cmp::Reverse(entry.total.rank(sort));
        if lines.len() > most {
            lines.select_nth_unstable_by_key(most, rank);
            lines.truncate(most);
        }
        // By name where sums are equal, so that lines do not change places at each look.
        lines.sort_by(|one, other| rank(one).cmp(&rank(other)).then_with(|| one.1.name.cmp(&other.1.name)));
        let busy = |(key, entry): (&Key, &Entry)| Busy {
            key: key.clone(),
            name: entry.name.to_string(),
            sums: entry.total,
        };
        lines.into_iter().map(busy).collect()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the sums of keys for which there was no room.
    pub fn others(&self) -> Sums {
        self.others.total
    }

    /// Returns the length in seconds.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

impl Entry {
    fn add(&mut self, second: u64, sums: &Sums) {
        self.total.add(sums);
        match self.by_second.back_mut() {
            Some((latest, so_far)) if *latest == second => so_far.add(sums),
            _ => self.by_second.push_back((second, *sums)),
        }
    }

    /// Takes away what is older; returns whether anything is left.
    fn forget(&mut self, oldest: u64) -> bool {
        while let Some((second, sums)) = self.by_second.front()
            && *second < oldest
        {
            self.total.take_away(sums);
            self.by_second.pop_front();
        }
        !self.by_second.is_empty()
    }
}

/// Returns a name, of a longer one its end after `…`.
pub(super) fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME {
        return Cow::Borrowed(name);
    }
    let begin = (name.len() - MAX_NAME..).find(|begin| name.is_char_boundary(*begin)).unwrap_or(name.len());
    Cow::Owned(format!("…{}", &name[begin..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(rows: u64) -> Sums {
        Sums { rows, ..Sums::default() }
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_last_seconds(
            events in prop::collection::vec((0_u64..4, 0_i64..5, 1_u64..9), 1..80),
            seconds in 1_u64..6,
        ) {
            let (mut window, mut now, mut all) = (Window::new(seconds), 100, Vec::new());
            for (later, user, count) in events {
                now += later;
                window.advance(now);
                window.add(Key::User(user), || "", &rows(count));
                all.push((now, user, count));
                for user in 0..5 {
                    let of = |(at, of, count): &(u64, i64, u64)| {
                        (*of == user && *at + seconds > now).then_some(*count)
                    };
                    let expected: u64 = all.iter().filter_map(of).sum();
                    let lines = window.busiest(Sort::Rows, 9);
                    let found = lines.iter().find(|line| line.key == Key::User(user));
                    prop_assert_eq!(found.map_or(0, |line| line.sums.rows), expected);
                    prop_assert!(lines.is_sorted_by_key(|line| std::cmp::Reverse(line.sums.rows)));
                }
            }
        }
    }

    #[test]
    fn keys_without_room_are_summed_as_one() {
        let mut window = Window::new(10);
        window.advance(1);
        for user in 0..MAX_KEYS as i64 + 5 {
            window.add(Key::User(user), || "x", &rows(1));
        }
        window.add(Key::User(0), || "x", &rows(7));
        assert_eq!((window.len(), window.others().rows), (MAX_KEYS, 5));
        let first = &window.busiest(Sort::Rows, 1)[0];
        assert_eq!((&first.key, first.sums.rows), (&Key::User(0), 8));
        window.advance(11);
        assert_eq!((window.len(), window.others().rows), (0, 0));
    }

    #[test]
    fn of_a_long_name_the_end_is_kept() {
        let name = "é".repeat(MAX_NAME);
        assert_eq!(shortened(&name), format!("…{}", "é".repeat(MAX_NAME / 2)));
        assert_eq!(shortened(&format!("{name}a")), format!("…{}a", "é".repeat(MAX_NAME / 2 - 1)));
        assert_eq!(shortened("/a"), "/a");
    }
}
