//! Decides when to write to a host that reads only while it polls.

use std::collections::VecDeque;
use std::time::Duration;

use actors::clock::Instant;

/// Number of intervals between polls that are remembered; the shortest of them counts.
const REMEMBERED: usize = 8;
/// Part of the interval, in percent, in which to write. The host has the rest to process what it read last.
const SHARE: u32 = 60;
/// Time to write after the first poll, when the interval is not known yet: half of duetector's default interval.
const AT_FIRST: Duration = Duration::from_millis(250);

/// The latest polls of the host, and the lines sent since the last one.
#[derive(Debug)]
pub(super) struct Polls {
    last: Option<Instant>,
    gaps: VecDeque<Duration>,
    /// Lines sent since the last poll.
    lines: u32,
    most_a_second: u32,
}

impl Polls {
    /// Starts without any polls. `most_a_second` limits the average number of lines per second (0: no limit).
    pub(super) fn new(most_a_second: u32) -> Self {
        Self { last: None, gaps: VecDeque::new(), lines: 0, most_a_second }
    }

    /// Records a poll.
    pub(super) fn note(&mut self, at: Instant) {
        self.lines = 0;
        if let Some(last) = self.last.replace(at) {
            self.gaps.push_back(at.saturating_duration_since(last));
            if self.gaps.len() > REMEMBERED {
                self.gaps.pop_front();
            }
        }
    }

    /// Records that a line was written.
    pub(super) fn note_line(&mut self) {
        self.lines += 1;
    }

    /// Returns until when lines may be written, or `None` if not now.
    pub(super) fn open_until(&self, now: Instant) -> Option<Instant> {
        let gap = self.gaps.iter().min().copied().unwrap_or(2 * AT_FIRST);
        let share = (f64::from(self.most_a_second) * gap.as_secs_f64()).max(1.0);
        if self.most_a_second > 0 && f64::from(self.lines) >= share {
            return None;
        }
        let open = if self.gaps.is_empty() { AT_FIRST } else { gap * SHARE / 100 };
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
        let mut polls = Polls::new(0);
        assert_eq!(polls.open_until(start), None);
        polls.note(start);
        assert_eq!(polls.open_until(start + MS), Some(start + AT_FIRST));
        assert_eq!(polls.open_until(start + AT_FIRST), None);
        polls.note(start + 100 * MS);
        assert_eq!(polls.open_until(start + 120 * MS), Some(start + 160 * MS));
        assert_eq!(polls.open_until(start + 160 * MS), None);
    }

    #[test]
    fn not_more_lines_a_second_than_asked_for() {
        let start = actors::clock::now();
        let mut polls = Polls::new(100);
        for poll in 0..3 {
            polls.note(start + poll * 200 * MS);
            // 50 while duetector's 500 ms are assumed to be the interval, then 20.
            let most = if poll == 0 { 50 } else { 20 };
            for _ in 0..most {
                assert!(polls.open_until(start + poll * 200 * MS).is_some());
                polls.note_line();
            }
            assert_eq!(polls.open_until(start + poll * 200 * MS), None);
        }
    }

    #[test]
    fn the_shortest_of_the_latest_gaps_counts() {
        let start = actors::clock::now();
        let mut polls = Polls::new(0);
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
