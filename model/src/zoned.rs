//! Points in time as UTC with the offset of local time, and their conversion from and to local time.

use std::collections::BTreeMap;

use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, civil};
use serde::{Serialize, Serializer};

use crate::WallTime;

const NS: i64 = 1_000_000_000;

/// A point in time: UTC, and the offset that local time had from it. In SQL it is a 64-bit integer, the nanoseconds; in
/// JSON text as in RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZonedTime {
    /// Nanoseconds since 1970-01-01 00:00:00 UTC.
    pub utc_ns: i64,
    /// Seconds by which local time was ahead of UTC.
    pub offset: i32,
}

impl ZonedTime {
    /// Returns the point in time with the offset that the zone has then.
    pub fn new(utc_ns: i64, zone: &TimeZone) -> Self {
        // A 64-bit number of nanoseconds is within the range of `Timestamp`.
        let offset = Timestamp::from_nanosecond(utc_ns.into()).map_or(Offset::UTC, |at| zone.to_offset(at));
        Self { utc_ns, offset: offset.seconds() }
    }

    /// Returns the point in time that was this local time. If a local time occurred twice, because clocks
    /// were set back, returns the first; a local time that was skipped has the offset from before the change.
    pub fn of_local(at: WallTime, zone: &TimeZone) -> Self {
        let utc = civil_of(at).and_then(|civil| zone.to_zoned(civil).ok()).map(|zoned| zoned.timestamp());
        let micros = utc.map_or(at.0, Timestamp::as_microsecond);
        Self::new(micros.saturating_mul(1000), zone)
    }

    /// Returns the local time.
    pub fn wall(self) -> WallTime {
        WallTime(self.utc_ns.div_euclid(1000) + i64::from(self.offset) * 1_000_000)
    }

    /// Returns the local time of day and the offset: `2026-10-25 02:30:00.000000+01:00`.
    pub fn to_local_text(self) -> String {
        let whole = self.in_minutes();
        format!("{}{}", whole.wall().to_text(), whole.offset_text())
    }

    /// Returns text as in RFC 3339, with nine digits of a second: `2026-10-25T02:30:00.000000000+01:00`.
    pub fn to_text(self) -> String {
        let whole = self.in_minutes();
        let local = whole.wall().to_text().replace(' ', "T");
        format!("{local}{:03}{}", self.utc_ns.rem_euclid(1000), whole.offset_text())
    }

    /// Parses text with a zone, as in RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        // The parser has checked that there is an offset.
        let offset = text.parse::<civil::DateTime>().ok().and_then(|local| {
            let local = TimeZone::UTC.to_timestamp(local).ok()?;
            i32::try_from(local.as_second() - at.as_second()).ok()
        });
        Some(Self { utc_ns: i64::try_from(at.as_nanosecond()).ok()?, offset: offset.unwrap_or(0) })
    }

    /// Rounds the offset to whole minutes, because RFC 3339 has no others.
    fn in_minutes(self) -> Self {
        Self { offset: self.offset / 60 * 60, ..self }
    }

    fn offset_text(self) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs() / 60;
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl Serialize for ZonedTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

fn civil_of(at: WallTime) -> Option<civil::DateTime> {
    // Local time is counted as if it were UTC.
    Timestamp::from_microsecond(at.0).ok().map(|at| TimeZone::UTC.to_datetime(at))
}

/// Converts the local times in a file that has no others, by the offset at the start of each run that wrote to the file. Rows
/// of no known run are converted by the machine's zone.
#[derive(Clone, Debug)]
pub struct LocalTimes {
    zone: TimeZone,
    /// Start and offset in seconds of each run, by collector.
    runs: BTreeMap<String, BTreeMap<WallTime, i32>>,
}

impl LocalTimes {
    /// Knows only the machine's zone.
    pub fn new(zone: TimeZone) -> Self {
        Self { zone, runs: BTreeMap::new() }
    }

    /// Returns the machine's zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Adds a run that has both times of its start: local, as text, and UTC in its id (`{nanoseconds in hex}-{pid}`).
    pub fn add_run(&mut self, collector: &str, run_id: &str, started: &str) {
        let utc = run_id.split_once('-').and_then(|(ns, _)| i64::from_str_radix(ns, 16).ok());
        let (Some(utc), Some(local)) = (utc, WallTime::parse(started)) else { return };
        // The two times were read one after the other; offsets are whole minutes.
        let minutes = (i128::from(local.0) * 1000 - i128::from(utc) + i128::from(30 * NS))
            .div_euclid(i128::from(60 * NS));
        if let Some(offset) = i32::try_from(minutes * 60).ok().filter(|offset| offset.abs() < 26 * 3600) {
            self.runs.entry(collector.to_owned()).or_default().insert(local, offset);
        }
    }

    /// Returns UTC in nanoseconds for a `dt` of one of the collector's rows; `None` if it is no time.
    pub fn utc_ns(&self, collector: &str, dt: &str) -> Option<i64> {
        let at = match WallTime::parse(dt) {
            Some(at) => at,
            // Other writers: with a zone, or in another form of ISO 8601.
            None => match dt.parse::<Timestamp>() {
                Ok(at) => return i64::try_from(at.as_nanosecond()).ok(),
                Err(_) => WallTime(
                    TimeZone::UTC.to_timestamp(dt.parse::<civil::DateTime>().ok()?).ok()?.as_microsecond(),
                ),
            },
        };
        let run = self.runs.get(collector).and_then(|runs| runs.range(..=at).next_back());
        let by_zone = ZonedTime::of_local(at, &self.zone);
        let Some((started, offset)) = run else { return Some(by_zone.utc_ns) };
        // If the run began in the machine's zone, then that zone's rules hold for all of it.
        let start = (started.0 - i64::from(*offset) * 1_000_000).saturating_mul(1000);
        if ZonedTime::new(start, &self.zone).offset == *offset {
            return Some(by_zone.utc_ns);
        }
        (at.0 - i64::from(*offset) * 1_000_000).checked_mul(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn utc(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn texts_have_the_offset_of_that_moment() {
        let berlin = zone("Europe/Berlin");
        let texts = [
            ("2026-10-25T00:30:00.000000007Z", "2026-10-25T02:30:00.000000007+02:00"),
            ("2026-10-25T01:30:00Z", "2026-10-25T02:30:00.000000000+01:00"),
            ("1969-12-31T23:59:59.999999999Z", "1970-01-01T00:59:59.999999999+01:00"),
            // Before there were zones: an offset of 53 min 28 s.
            ("1890-01-01T00:00:00Z", "1890-01-01T00:53:00.000000000+00:53"),
        ];
        for (at, expected) in texts {
            let at = ZonedTime::new(utc(at), &berlin);
            assert_eq!(at.to_text(), expected);
            assert_eq!(ZonedTime::parse(expected).unwrap().utc_ns, at.utc_ns, "{expected}");
        }
        let west = ZonedTime::new(utc("2026-01-01T00:00:00Z"), &zone("America/St_Johns"));
        assert_eq!(west.to_text(), "2025-12-31T20:30:00.000000000-03:30");
        assert_eq!(ZonedTime::parse(&west.to_text()), Some(west));
        assert_eq!(west.to_local_text(), "2025-12-31 20:30:00.000000-03:30");
        assert_eq!(ZonedTime::parse("2026-01-01 00:00:00.000000"), None);
    }

    #[test]
    fn a_local_time_that_occurred_twice_is_the_first() {
        let berlin = zone("Europe/Berlin");
        let of = |text: &str| ZonedTime::of_local(WallTime::parse(text).unwrap(), &berlin).utc_ns;
        assert_eq!(of("2026-10-25 02:30:00.000000"), utc("2026-10-25T00:30:00Z"));
        assert_eq!(of("2026-10-25 03:00:00.000000"), utc("2026-10-25T02:00:00Z"));
        assert_eq!(of("2026-03-29 02:30:00.000000"), utc("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn rows_of_a_run_in_another_zone_are_taken_by_its_offset() {
        let mut times = LocalTimes::new(zone("Europe/Berlin"));
        let start = utc("2026-06-01T00:00:00Z");
        times.add_run("vm", &format!("{start:x}-17"), "2026-06-01 09:00:00.000123");
        times.add_run("vm", &format!("{:x}-18", utc("2026-07-01T00:00:00Z")), "2026-07-01 02:00:00.000000");
        times.add_run("vm", "no run id", "2026-07-02 02:00:00.000000");
        let of = |collector, dt| times.utc_ns(collector, dt).unwrap();
        assert_eq!(of("vm", "2026-06-02 09:00:00.000001"), utc("2026-06-02T00:00:00.000001Z"));
        assert_eq!(of("other", "2026-06-02 09:00:00.000000"), utc("2026-06-02T07:00:00Z"));
        assert_eq!(of("vm", "2026-05-02 09:00:00.000000"), utc("2026-05-02T07:00:00Z"));
        // In the machine's zone, with its change of clocks in a run.
        assert_eq!(of("vm", "2026-07-01 09:00:00.000000"), utc("2026-07-01T07:00:00Z"));
        assert_eq!(of("vm", "2026-12-01 09:00:00.000000"), utc("2026-12-01T08:00:00Z"));
        // As Python's datetime reads it, too.
        assert_eq!(of("other", "2026-06-02T09:00:00"), utc("2026-06-02T07:00:00Z"));
        assert_eq!(of("other", "2026-06-02T09:00:00Z"), utc("2026-06-02T09:00:00Z"));
        assert_eq!(times.utc_ns("vm", "soon"), None);
    }
}
