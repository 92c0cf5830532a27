//! Times in bodies, as pydantic reads them: ISO 8601 or a number of seconds or milliseconds. A zone is dropped, as duetector does.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::Value;

/// Numbers above this one are milliseconds.
const SECONDS: f64 = 2e10;

/// Returns a time as `dt` has it. The error is the reason, or nothing if a value of this type is no time.
pub(super) fn parse(value: &Value) -> Result<String, Option<&'static str>> {
    let found = match value {
        Value::Number(number) => number.as_f64().and_then(epoch).ok_or(None)?,
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) if !text.contains(['e', 'n', 'N', 'i']) => {
                epoch(number).ok_or(Some("input is too short"))?
            }
            _ => iso(text.trim()).map_err(Some)?,
        },
        _ => return Err(None),
    };
    Ok(found.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string())
}

fn epoch(number: f64) -> Option<DateTime> {
    let seconds = if number.abs() > SECONDS { number / 1e3 } else { number };
    let micros = (seconds * 1e6).round();
    let at = (micros.abs() < 9e18).then(|| Timestamp::from_microsecond(micros as i64).ok()).flatten()?;
    Some(TimeZone::UTC.to_datetime(at))
}

fn iso(text: &str) -> Result<DateTime, &'static str> {
    let bytes = text.as_bytes();
    if bytes.len() < 10 {
        return Err("input is too short");
    }
    let number = |from: usize, to: usize, wrong| -> Result<i16, &'static str> {
        bytes[from..to].iter().try_fold(0_i16, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0')).ok_or(wrong)
        })
    };
    let dash =
        |at: usize| if bytes[at] == b'-' { Ok(()) } else { Err("invalid date separator, expected `-`") };
    let year = number(0, 4, "invalid character in year")?;
    dash(4)?;
    let month = number(5, 7, "invalid character in month")?;
    dash(7)?;
    let day = number(8, 10, "invalid character in day")?;
    if !(1..=12).contains(&month) {
        return Err("month value is outside expected range of 1-12");
    }
    let outside = "day value is outside expected range";
    let date = Date::new(year, month as i8, day as i8).map_err(|_| outside)?;
    let rest = text.get(10..).ok_or("unexpected extra characters at the end of the input")?;
    if rest.is_empty() {
        return Ok(date.to_datetime(Time::midnight()));
    }
    time(rest).map(|time| date.to_datetime(time)).ok_or("unexpected extra characters at the end of the input")
}

/// Reads a separator, a time of the day, and a zone, which is dropped.
fn time(text: &str) -> Option<Time> {
    let text = text.strip_prefix(['T', 't', ' ', '_'])?;
    let (time, zone) = text.split_at(text.find(['Z', 'z', '+', '-']).unwrap_or(text.len()));
    let digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let zone_is_right = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => true,
        [_, rest @ ..] => {
            let rest = std::str::from_utf8(rest).ok()?.replacen(':', "", 1);
            rest.len() == 4 && digits(&rest) && rest.as_str() < "2400" && &rest[2..] < "60"
        }
    };
    let (clock, fraction) = time.split_once(['.', ',']).unwrap_or((time, "0"));
    let parts: Vec<&str> = clock.split(':').collect();
    let is_right = zone_is_right
        && (2..=3).contains(&parts.len())
        && parts.iter().all(|part| part.len() == 2 && digits(part))
        && (1..=9).contains(&fraction.len())
        && digits(fraction)
        && (parts.len() == 3 || clock.len() == time.len());
    if !is_right {
        return None;
    }
    let part = |at: usize| parts.get(at).map_or(Some(0), |part| part.parse::<i8>().ok());
    let micros: i32 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    Time::new(part(0)?, part(1)?, part(2)?, micros * 1000).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_read_as_pydantic_reads_them() {
        for (given, expected) in [
            (json!("2026-01-31T12:00:05"), "2026-01-31 12:00:05.000000"),
            (json!("2026-01-31 12:00"), "2026-01-31 12:00:00.000000"),
            (json!("2026-01-31"), "2026-01-31 00:00:00.000000"),
            (json!("2026-01-31T12:00:05.1234567+08:00"), "2026-01-31 12:00:05.123456"),
            (json!("2026-01-31t12:00:05Z"), "2026-01-31 12:00:05.000000"),
            (json!(0), "1970-01-01 00:00:00.000000"),
            (json!(1.5), "1970-01-01 00:00:01.500000"),
            (json!("1700000000"), "2023-11-14 22:13:20.000000"),
            (json!(1_700_000_000_000_i64), "2023-11-14 22:13:20.000000"),
        ] {
            assert_eq!(parse(&given), Ok(expected.to_owned()), "{given}");
        }
        for (given, why) in [
            (json!("yesterday"), Some("input is too short")),
            (json!("20260131 1200"), Some("invalid date separator, expected `-`")),
            (json!("2026-13-31"), Some("month value is outside expected range of 1-12")),
            (json!("2026-02-30"), Some("day value is outside expected range")),
            (json!("2026-01-31T25:00:00"), Some("unexpected extra characters at the end of the input")),
            (json!("2026-01-31T12:00:0é"), Some("unexpected extra characters at the end of the input")),
            (json!([]), None),
        ] {
            assert_eq!(parse(&given), Err(why), "{given}");
        }
    }
}
