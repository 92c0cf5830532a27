//! From an event's payload to a record: under which name, and when.

use jiff::{Timestamp, civil, tz::TimeZone};
use model::{BootNs, Details, Moment, Record, TracerName, WallTime};
use serde_json::{Map, Value};

use crate::names::Names;

/// Numbers above this are milliseconds since 1970, below it seconds: what duetector's validation library does.
const SECONDS_UP_TO: f64 = 2e10;

/// A record and the name it is stored under.
pub(crate) struct Event {
    pub(crate) tracer: TracerName,
    pub(crate) record: Record,
    /// It asked for a name it can't have, and is stored under its child's.
    pub(crate) name_refused: bool,
    /// Its `timestamp` or `dt` says nothing; it is as old as its reading.
    pub(crate) time_refused: bool,
}

/// Makes a record of a payload read at `now`.
pub(crate) fn event(mut payload: Map<String, Value>, names: &mut Names, now: BootNs) -> Event {
    let asked = payload.get("tracer_name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let given = asked.map(|asked| names.effective(asked));
    let name_refused = given == Some(None);
    let tracer = given.flatten().unwrap_or_else(|| names.own().clone());
    let (at, time_refused) = take_moment(&mut payload, now);
    Event {
        tracer,
        record: Record { at, identity: None, details: Details::Fields(payload) },
        name_refused,
        time_refused,
    }
}

/// The payload's own time if it brings one, which is then taken out of it: it becomes a column. Of two,
/// `timestamp`, being the kernel's.
fn take_moment(payload: &mut Map<String, Value>, now: BootNs) -> (Moment, bool) {
    let mut refused = false;
    for (key, read) in [("timestamp", since_boot as fn(&Value) -> Option<Moment>), ("dt", wall)] {
        if let Some(value) = payload.get(key) {
            if let Some(moment) = read(value) {
                payload.shift_remove(key);
                return (moment, refused);
            }
            refused = true;
        }
    }
    (Moment::Boot(now), refused)
}

/// Nanoseconds since boot, as a number or as text.
fn since_boot(value: &Value) -> Option<Moment> {
    let whole = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    let ns = whole.or_else(|| number(value).filter(|ns| (0.0..1.8e19).contains(ns)).map(|ns| ns as u64))?;
    // More than the boot clock can say is no time since boot.
    (ns <= i64::MAX as u64).then_some(Moment::Boot(BootNs(ns)))
}

/// ISO text, with or without a zone, or a number since 1970.
fn wall(value: &Value) -> Option<Moment> {
    if let Value::String(text) = value {
        let text = text.trim();
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return local(timestamp);
        }
        if let Ok(civil) = text.parse::<civil::DateTime>() {
            return civil
                .to_zoned(TimeZone::UTC)
                .ok()
                .map(|utc| Moment::Wall(WallTime(utc.timestamp().as_microsecond())));
        }
    }
    let number = number(value)?;
    let seconds = if number.abs() > SECONDS_UP_TO { number / 1000.0 } else { number };
    local(Timestamp::from_microsecond((seconds * 1e6) as i64).ok()?)
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// Wall time where the agent runs. A zone is converted, not dropped.
fn local(timestamp: Timestamp) -> Option<Moment> {
    let offset = i64::from(TimeZone::system().to_offset(timestamp).seconds()) * 1_000_000;
    Some(Moment::Wall(WallTime(timestamp.as_microsecond().checked_add(offset)?)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    const NOW: BootNs = BootNs(42);

    fn made(payload: Value) -> Event {
        let Value::Object(payload) = payload else { panic!("no object") };
        let mut names = Names::new("child".into(), Arc::new([TracerName::new("open")].into()));
        event(payload, &mut names, NOW)
    }

    #[test]
    fn the_name_of_the_payload_decides_unless_it_is_taken() {
        let event = made(json!({"tracer_name": "Other", "pid": 1}));
        assert_eq!((event.tracer.as_str(), event.name_refused), ("other", false));
        assert_eq!(
            event.record.details,
            Details::Fields(json!({"tracer_name": "Other", "pid": 1}).as_object().unwrap().clone())
        );
        for (name, refused) in
            [(json!("open"), true), (json!("a@b"), true), (json!(""), false), (json!(null), false)]
        {
            let event = made(json!({ "tracer_name": name }));
            assert_eq!((event.tracer.as_str(), event.name_refused), ("child", refused));
        }
    }

    #[test]
    fn its_own_time_is_taken_out() {
        for timestamp in [json!(1_500), json!("1500"), json!(1500.0)] {
            let event = made(json!({ "timestamp": timestamp, "dt": "x" }));
            assert_eq!(event.record.at, Moment::Boot(BootNs(1500)));
            assert_eq!(
                event.record.details,
                Details::Fields(json!({"dt": "x"}).as_object().unwrap().clone())
            );
        }
        let wall = |dt: Value| made(json!({ "dt": dt })).record.at;
        let expected = Moment::Wall(WallTime(1_704_164_645_000_007));
        assert_eq!(wall(json!("2024-01-02 03:04:05.000007")), expected);
        assert_eq!(wall(json!("2024-01-02T03:04:05.000007")), expected);
        assert_eq!(wall(json!(1_704_164_645)), wall(json!("2024-01-02T03:04:05Z")));
        assert_eq!(wall(json!(1_704_164_645_000_i64)), wall(json!("2024-01-02T11:04:05+08:00")));
    }

    #[test]
    fn a_time_that_says_nothing_stays_and_costs_nothing() {
        for payload in [json!({"timestamp": null}), json!({"timestamp": -1}), json!({"dt": "yesterday"})] {
            let event = made(payload.clone());
            assert_eq!((event.record.at, event.time_refused), (Moment::Boot(NOW), true));
            assert_eq!(event.record.details, Details::Fields(payload.as_object().unwrap().clone()));
        }
    }
}
