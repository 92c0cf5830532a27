//! The boot clock's relation to UTC and local time, with its history: records are converted by the relation of their own
//! time, however late they are converted.
//!
//! ```text
//!             12:00            wall clock set back by an hour
//! boot  ──────────┼──────────────────┼─────────────────▶
//! readings        (A, since start)   (B, since then)
//! record at ▲: by A    record at ▲ before B's start: by A    ▲ after: by B
//! ```

use std::collections::VecDeque;

use jiff::tz::TimeZone;

use crate::{BootNs, WallTime, ZonedTime};

/// Largest number of readings that are kept. A record that is older than the oldest reading is converted by that reading.
const KEPT: usize = 64;
/// Difference of two readings, in nanoseconds, below which the difference is an error of reading: both clocks run at the same
/// rate. If it were adopted, rows could change their order.
const SET: u64 = 1_000_000;

/// Converts times of the boot clock. The clock module of `actors` makes a value of this type and notes readings again and
/// again, because wall clocks are set and time zones change.
#[derive(Clone, Debug)]
pub struct Clocks {
    /// The oldest first; never empty.
    readings: VecDeque<Reading>,
    zone: TimeZone,
    changes: u64,
}

/// A time of the boot clock from which on the wall clock had this relation to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    since: BootNs,
    utc_ns_at_boot: i64,
    /// The latest time that the wall clock had shown before.
    shown: i64,
}

/// A change by which the wall clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// When it was set, by the boot clock.
    pub since: BootNs,
    /// UTC when the boot clock began, by the wall clock as it is since then.
    pub utc_ns_at_boot: i64,
    /// The latest time that the wall clock had shown before, in nanoseconds since 1970, UTC.
    pub shown: i64,
}

impl Clocks {
    /// Makes the relation in which UTC was `utc_ns_at_boot` when the boot clock began.
    pub fn new(utc_ns_at_boot: i64, zone: TimeZone) -> Self {
        let first = Reading { since: BootNs(0), utc_ns_at_boot, shown: i64::MIN };
        Self { readings: VecDeque::from([first]), zone, changes: 0 }
    }

    /// Notes a reading. Returns whether the wall clock was set since the one before.
    pub fn note(&mut self, now: BootNs, utc_ns_at_boot: i64, zone: TimeZone) -> bool {
        self.zone = zone;
        let Some(last) = self.readings.back() else { return false };
        if last.utc_ns_at_boot.abs_diff(utc_ns_at_boot) < SET {
            return false;
        }
        let shown = last.shown.max(sum(now, last.utc_ns_at_boot));
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back(Reading { since: now, utc_ns_at_boot, shown });
        self.changes += 1;
        true
    }

    /// Returns how often the wall clock was set since the first reading.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns how many of these changes are no longer known, because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.changes + 1 - self.readings.len() as u64
    }

    /// Returns the changes after which the wall clock showed times again that it had shown before.
    pub fn set_backs(&self) -> impl Iterator<Item = SetBack> {
        let again = |reading: &&Reading| sum(reading.since, reading.utc_ns_at_boot) < reading.shown;
        self.readings.iter().filter(again).map(|reading| {
            let Reading { since, utc_ns_at_boot, shown } = *reading;
            SetBack { since, utc_ns_at_boot, shown }
        })
    }

    /// Returns the machine's time zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns the time that the wall clock had at a time of the boot clock.
    pub fn at(&self, at: BootNs) -> ZonedTime {
        let known = self.readings.iter().rev().find(|reading| reading.since <= at);
        let offset = known.or(self.readings.front()).map_or(0, |reading| reading.utc_ns_at_boot);
        ZonedTime::new(sum(at, offset), &self.zone)
    }

    /// Returns the local time at a time of the boot clock.
    pub fn wall(&self, at: BootNs) -> WallTime {
        self.at(at).wall()
    }

    /// Returns the point in time of a local time; see [`ZonedTime::of_local`].
    pub fn of_local(&self, at: WallTime) -> ZonedTime {
        ZonedTime::of_local(at, &self.zone)
    }
}

/// Adds a time of the boot clock to UTC at its beginning.
fn sum(at: BootNs, utc_ns_at_boot: i64) -> i64 {
    let utc = i128::from(utc_ns_at_boot) + i128::from(at.0);
    utc.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

impl Default for Clocks {
    /// Makes the relation of a machine that was started in 1970 and whose local time is UTC.
    fn default() -> Self {
        Self::new(0, TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_converted_by_the_reading_of_its_own_time() {
        let mut clocks = Clocks::new(1_000_000_000_000, TimeZone::UTC);
        assert!(clocks.note(BootNs(500), 400_000_000_000, TimeZone::UTC), "set back");
        assert!(clocks.note(BootNs(900), 2_000_000_000_000, TimeZone::UTC), "set forward");
        let at = |ns| clocks.at(BootNs(ns)).utc_ns;
        assert_eq!([at(0), at(499)], [1_000_000_000_000, 1_000_000_000_499]);
        assert_eq!([at(500), at(899)], [400_000_000_500, 400_000_000_899]);
        assert_eq!(at(900), 2_000_000_000_900);
        assert_eq!((clocks.changes(), clocks.forgotten()), (2, 0));
        let back = SetBack { since: BootNs(500), utc_ns_at_boot: 400_000_000_000, shown: 1_000_000_000_500 };
        assert_eq!(clocks.set_backs().collect::<Vec<_>>(), [back]);
    }

    #[test]
    fn an_error_of_reading_is_no_change() {
        let mut clocks = Clocks::new(5_000, TimeZone::UTC);
        assert!(!clocks.note(BootNs(1), 900_000, TimeZone::UTC));
        assert_eq!(clocks.at(BootNs(2)).utc_ns, 5_002);
        assert!(clocks.note(BootNs(1), 2_000_000, TimeZone::UTC));
    }

    #[test]
    fn the_history_is_bounded_and_says_so() {
        let mut clocks = Clocks::default();
        for number in 1..=100 {
            clocks.note(BootNs(number), number as i64 * 1_000_000_000, TimeZone::UTC);
        }
        assert_eq!((clocks.readings.len(), clocks.changes(), clocks.forgotten()), (KEPT, 100, 37));
        assert_eq!(clocks.at(BootNs(1)).utc_ns, 37_000_000_001, "by the oldest that is known");
    }

    #[test]
    fn local_time_follows_the_zone_and_utc_does_not() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        // 2026-10-25 00:59:59 UTC, one second before the clocks are set back from 03:00 to 02:00.
        let clocks = Clocks::new(1_792_889_999_000_000_000, berlin);
        let texts = [0, 1_000_000_000].map(|ns| clocks.at(BootNs(ns)).to_text());
        let expected = ["2026-10-25T02:59:59.000000000+02:00", "2026-10-25T02:00:00.000000000+01:00"];
        assert_eq!(texts, expected);
        assert_eq!(clocks.wall(BootNs(1_000_000_000)).to_text(), "2026-10-25 02:00:00.000000");
    }
}
