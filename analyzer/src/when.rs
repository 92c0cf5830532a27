//! Parses moments as people write them into the text form of the `dt` column, which is local wall time.

use jiff::civil::{DateTime, Time};
use jiff::fmt::friendly::SpanParser;
use jiff::{Timestamp, Zoned};

use crate::Error;

/// Parses a moment: a local date or time (`2026-01-31`, `2026-01-31 12:00`, `2026-01-31 12:00:05.25`), a time
/// of the day of `now` (`12:00`), RFC 3339 with a zone (converted to the zone of `now`), `now`, or a span before
/// `now` (`-10m`, `10m`, `1h ago`). A date alone is its first moment.
///
/// ```
/// let now: jiff::Zoned = "2026-01-31T12:00:00+01:00[Europe/Berlin]".parse().unwrap();
/// assert_eq!(analyzer::when::parse("-10m", &now)?, "2026-01-31 11:50:00.000000");
/// assert_eq!(analyzer::when::parse("2026-01-31T10:00:00Z", &now)?, "2026-01-31 11:00:00.000000");
/// # Ok::<(), analyzer::Error>(())
/// ```
///
/// # Errors
/// [`Error::BadTime`] for anything else.
pub fn parse(text: &str, now: &Zoned) -> Result<String, Error> {
    let text = text.trim();
    let found = (text == "now")
        .then(|| now.datetime())
        .or_else(|| absolute(text, now))
        .or_else(|| ago(text, now))
        .ok_or_else(|| Error::BadTime { found: text.to_owned() })?;
    Ok(format!("{}", found.strftime("%Y-%m-%d %H:%M:%S.%6f")))
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

fn absolute(text: &str, now: &Zoned) -> Option<DateTime> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant.to_zoned(now.time_zone().clone()).datetime());
    }
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Some(zoned.with_time_zone(now.time_zone().clone()).datetime());
    }
    if let Ok(local) = text.parse::<DateTime>() {
        return Some(local);
    }
    // The library takes a bare number for an hour.
    let time = text.parse::<Time>().ok().filter(|_| text.contains(':'));
    time.map(|time| now.date().to_datetime(time))
}

/// Parses a span before `now`. A span without a sign means the past too, because a store has no rows of the future.
fn ago(text: &str, now: &Zoned) -> Option<DateTime> {
    // The library would take `12:00:05` for a span; people mean a time of day.
    let text = Some(text).filter(|text| !text.contains(':'))?;
    let span = SpanParser::new().parse_span(text).ok()?;
    now.checked_sub(span.abs()).ok().map(|then| then.datetime())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let now = "2026-03-29T12:00:00.5+02:00[Europe/Berlin]".parse().unwrap();
        assert_eq!(parse(text, &now).unwrap(), expected, "{text}");
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
    fn times_with_a_zone_become_local() {
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
            assert!(matches!(parse(text, &now), Err(Error::BadTime { .. })), "{text}");
        }
    }
}
