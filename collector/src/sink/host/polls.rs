//! When a host that reads only while it polls may be written to.

use std::collections::VecDeque;
use std::time::Duration;

use actors::clock::Instant;

/// How the time between polls is told from the latest ones: the shortest of so many.
const REMEMBERED: usize = 8;
/// The part of that time in which to write, in percent. What is read last has the rest to be dealt with.
const SHARE: u32 = 60;
/// How long to write after the first poll, when nothing is known: half of duetector's time between polls.
const AT_FIRST: Duration = Duration::from_millis(250);

/// The latest polls.
#[derive(Debug, Default)]
pub(super) struct Polls {
    last: Option<Instant>,
    gaps: VecDeque<Duration>,
}

impl Polls {
    /// There was one.
    pub(super) fn note(&mut self, at: Instant) {
        if let Some(last) = self.last.replace(at) {
            self.gaps.push_back(at.saturating_duration_since(last));
            if self.gaps.len() > REMEMBERED {
                self.gaps.pop_front();
            }
        }
    }

    /// Until when may be written, if now is such a time.
    pub(super) fn open_until(&self, now: Instant) -> Option<Instant> {
        let open = self.gaps.iter().min().map_or(AT_FIRST, |gap| *gap * SHARE / 100);
        self.last.map(|last| last + open).filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_is_written_before_the_first_poll_nor_late_between_two() {
        let start = actors::clock::now();
        let mut polls = Polls::default();
        assert_eq!(polls.open_until(start), None);
        polls.note(start);
        assert_eq!(polls.open_until(start + MS), Some(start + AT_FIRST));
        assert_eq!(polls.open_until(start + AT_FIRST), None);
        polls.note(start + 100 * MS);
        assert_eq!(polls.open_until(start + 120 * MS), Some(start + 160 * MS));
        assert_eq!(polls.open_until(start + 160 * MS), None);
    }

    #[test]
    fn the_shortest_of_the_latest_gaps_counts() {
        let start = actors::clock::now();
        let mut polls = Polls::default();
        let mut now = start;
        for gap in [500, 10, 500, 500, 500, 500, 500, 500, 500, 500] {
            polls.note(now);
            now += gap * MS;
        }
        assert_eq!(polls.open_until(now - 500 * MS), Some(now - 494 * MS));
        polls.note(now);
        polls.note(now + 500 * MS);
        assert_eq!(polls.open_until(now + 500 * MS), Some(now + 800 * MS));
    }
}
