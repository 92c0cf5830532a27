//! Parses moments as people write them.

use jiff::civil::{DateTime, Time};
use jiff::fmt::friendly::SpanParser;
use jiff::{Timestamp, Zoned};

use crate::Error;

/// Parses the first moment of a period, in nanoseconds since 1970, UTC: a local date or time (`2026-01-31`,
/// `2026-01-31 12:00`, `2026-01-31 12:00:05.25`), a time of the day of `now` (`12:00`), RFC 3339 with a zone, `now`, or a
/// span before `now` (`-10m`, `10m`, `1h ago`). A date alone is its first moment. Of a local time that occurs twice,
/// because clocks are set back, returns the first.
///
/// ```
/// let now: jiff::Zoned = "2026-01-31T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
/// let minute = 60_000_000_000;
/// assert_eq!(analyzer::when::since("-10m", &now)?, now.timestamp().as_nanosecond() as i64 - 10 * minute);
/// assert_eq!(analyzer::when::since("2026-01-31T10:59:00Z", &now)?, now.timestamp().as_nanosecond() as i64 - minute);
/// # Ok::<(), analyzer::Error>(())
/// ```
///
/// # Errors
/// [`Error::BadTime`] for anything else.
pub fn since(text: &str, now: &Zoned) -> Result<i64, Error> {
    parse(text, now, Edge::First)
}

/// Parses the last moment of a period, written as for [`since`]. Of a local time that occurs twice, returns the second. A
/// time without nanoseconds includes all of its microsecond, because `dt` has no nanoseconds.
///
/// # Errors
/// [`Error::BadTime`] for anything else.
pub fn until(text: &str, now: &Zoned) -> Result<i64, Error> {
    let at = parse(text, now, Edge::Last)?;
    Ok(if at % 1000 == 0 { at.saturating_add(999) } else { at })
}

/// Parses any moment, written as for [`since`].
///
/// # Errors
/// [`Error::BadTime`] for anything else.
pub(crate) fn moment(text: &str) -> Result<i64, Error> {
    since(text, &now())
}

/// An end of a period.
#[derive(Clone, Copy)]
enum Edge {
    First,
    Last,
}

fn parse(text: &str, now: &Zoned, edge: Edge) -> Result<i64, Error> {
    let text = text.trim();
    let found = (text == "now").then(|| now.timestamp());
    let found = found.or_else(|| absolute(text, now, edge)).or_else(|| ago(text, now));
    let ns = found.and_then(|found| i64::try_from(found.as_nanosecond()).ok());
    ns.ok_or_else(|| Error::BadTime { found: text.to_owned() })
}

/// Returns the present moment in the machine's time zone.
pub fn now() -> Zoned {
    Zoned::now()
}

/// Converts microseconds since 1970 to local time, for expressions.
pub fn local(at: i64) -> model::WallTime {
    let moment = jiff::Timestamp::from_microsecond(at);
    let local = moment.map(|moment| jiff::tz::TimeZone::system().to_datetime(moment));
    // `WallTime` has no zone; it counts local time as if it were UTC.
    let counted = local.and_then(|local| jiff::tz::TimeZone::UTC.to_timestamp(local));
    model::WallTime(counted.map_or(at, |counted| counted.as_microsecond()))
}

fn absolute(text: &str, now: &Zoned, edge: Edge) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Some(zoned.timestamp());
    }
    let local = text.parse::<DateTime>().ok().or_else(|| {
        // The library takes a bare number for an hour.
        let time = text.parse::<Time>().ok().filter(|_| text.contains(':'));
        time.map(|time| now.date().to_datetime(time))
    });
    let found = now.time_zone().to_ambiguous_timestamp(local?);
    match edge {
        Edge::First => found.earlier().ok(),
        Edge::Last => found.later().ok(),
    }
}

/// Parses a span before `now`. A span without a sign means the past too, because a store has no rows of the future.
fn ago(text: &str, now: &Zoned) -> Option<Timestamp> {
    // The library would take `12:00:05` for a span; people mean a time of day.
    let text = Some(text).filter(|text| !text.contains(':'))?;
    let span = SpanParser::new().parse_span(text).ok()?;
    now.checked_sub(span.abs()).ok().map(|then| then.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let now: Zoned = "2026-03-29T12:00:00.5+02:00[Europe/Berlin]".parse().unwrap();
        let at = model::ZonedTime::new(since(text, &now).unwrap(), now.time_zone());
        assert_eq!(at.wall().to_text(), expected, "{text}");
    }

    #[test]
    fn an_hour_that_occurs_twice_is_within_a_period_that_it_bounds() {
        let now: Zoned = "2026-10-25T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
        let text = |ns| model::ZonedTime::new(ns, now.time_zone()).to_text();
        let bounds = [since("02:30", &now).unwrap(), until("02:30", &now).unwrap()];
        let expected = ["2026-10-25T02:30:00.000000000+02:00", "2026-10-25T02:30:00.000000999+01:00"];
        assert_eq!(bounds.map(text), expected);
        let exact = "2026-10-25T02:30:00.000000001+02:00";
        assert_eq!(text(until(exact, &now).unwrap()), exact);
    }

    #[test]
    fn local_times_are_taken_as_they_are() {
        check("2026-01-31", "2026-01-31 00:00:00.000000");
        check("07:05", "2026-03-29 07:05:00.000000");
        check("07:05:09.5", "2026-03-29 07:05:09.500000");
        check("2026-01-31 07:05", "2026-01-31 07:05:00.000000");
        check("2026-01-31 07:05:09", "2026-01-31 07:05:09.000000");
        check("2026-01-31 07:05:09.25", "2026-01-31 07:05:09.250000");
        check("2026-01-31T07:05:09.123456", "2026-01-31 07:05:09.123456");
    }

    #[test]
    fn times_with_a_zone_are_that_moment() {
        check("2026-01-31T07:05:09Z", "2026-01-31 08:05:09.000000");
        check("2026-07-01T07:05:09+08:00", "2026-07-01 01:05:09.000000");
        check("2026-07-01 07:05:09-02:00", "2026-07-01 11:05:09.000000");
    }

    #[test]
    fn spans_count_back_from_now() {
        check("now", "2026-03-29 12:00:00.500000");
        for text in ["-10m", "10m", "10m ago", "10 minutes ago", "-10min"] {
            check(text, "2026-03-29 11:50:00.500000");
        }
        check("1h 30m ago", "2026-03-29 10:30:00.500000");
        check("2 days ago", "2026-03-27 12:00:00.500000");
        // Over the night in which the clocks went forward.
        check("-24h", "2026-03-28 11:00:00.500000");
    }

    #[test]
    fn any_other_text_is_refused() {
        let now = "2026-03-29T12:00:00Z[UTC]".parse().unwrap();
        for text in ["", "yesterdayish", "2026-13-01", "12:00:99", "10", "-"] {
            assert!(matches!(since(text, &now), Err(Error::BadTime { .. })), "{text}");
        }
    }
}
