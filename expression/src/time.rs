//! Timestamps and durations. Rows have local wall time without a zone, so a timestamp is a local time too; text that
//! names a zone is converted to the local time of that moment.

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};

use super::calls::Part;
use model::WallTime;

/// Converts microseconds since 1970-01-01 UTC to local time. Supplied by the caller that compiles an expression,
/// because finding the machine's time zone takes reading files.
pub type Localize = fn(i64) -> WallTime;

/// Parses ISO 8601, with or without a zone.
pub(super) fn parse(text: &str, localize: Localize) -> Option<WallTime> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(localize(at.as_microsecond()));
    }
    micros(text.parse::<civil::DateTime>().ok()?)
}

/// Converts a civil time as if it were UTC, because wall time is counted without a zone.
fn micros(at: civil::DateTime) -> Option<WallTime> {
    TimeZone::UTC.to_timestamp(at).ok().map(|at| WallTime(at.as_microsecond()))
}

fn civil(at: WallTime) -> Option<civil::DateTime> {
    Timestamp::from_microsecond(at.0).ok().map(|at| TimeZone::UTC.to_datetime(at))
}

/// Returns the local time for seconds since 1970-01-01 UTC.
pub(super) fn of_seconds(seconds: i64, localize: Localize) -> Option<WallTime> {
    let at = Timestamp::from_second(seconds).ok()?;
    Some(localize(at.as_microsecond()))
}

/// Parses a duration such as `1h30m`, `1.5s` or `-10ms` to microseconds.
pub(super) fn parse_span(text: &str) -> Option<i64> {
    let span: SignedDuration = text.trim().parse().ok()?;
    i64::try_from(span.as_micros()).ok()
}

/// Writes a duration in seconds, as CEL does: `90s`, `1.5s`.
pub(super) fn span_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, part) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    let text = format!("{sign}{whole}.{part:06}");
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns a part of a timestamp, counted as in CEL: months, days of the month and of the year from 0, `date` from 1,
/// Sunday is 0.
pub(super) fn part(at: WallTime, part: Part) -> Option<i64> {
    let at = civil(at)?;
    Some(match part {
        Part::Year => at.year().into(),
        Part::Month => i64::from(at.month()) - 1,
        Part::DayOfYear => i64::from(at.day_of_year()) - 1,
        Part::DayOfMonth => i64::from(at.day()) - 1,
        Part::Date => at.day().into(),
        Part::DayOfWeek => at.weekday().to_sunday_zero_offset().into(),
        Part::Hours => at.hour().into(),
        Part::Minutes => at.minute().into(),
        Part::Seconds => at.second().into(),
        Part::Milliseconds => at.millisecond().into(),
    })
}

/// Returns a duration in a unit; `None` for a part that durations do not have.
pub(super) fn span_part(micros: i64, part: Part) -> Option<i64> {
    match part {
        Part::Hours => Some(micros / 3_600_000_000),
        Part::Minutes => Some(micros / 60_000_000),
        Part::Seconds => Some(micros / 1_000_000),
        Part::Milliseconds => Some(micros / 1000 % 1000),
        _ => None,
    }
}
