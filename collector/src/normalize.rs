//! Turns a record into a row.
//!
//! Kernel records are fully typed. Records of other programs ([`Details::Fields`]) follow duetector's rules, except
//! for these cases, in which duetector loses more:
//! - `timestamp` (nanoseconds since boot) wins over `dt` when a record has both (duetector takes one at random);
//! - a `dt` with a time zone, or a number of seconds or milliseconds since 1970, is converted to local time
//!   (duetector drops the zone);
//! - if `dt` is null or missing, the row gets the time at which the record arrived (duetector stores NULL);
//! - a field `extended` is merged with the other fields, which win (duetector drops those it met before);
//! - fields named like columns of ours (`tid`, `ret`, `exe`, …) fill these columns too if they fit, and also stay in
//!   `extended`, where duetector has them.
//!
//! A record that duetector can't store (a `pid` that is not a number, a `comm` that is not text, …) is an error here.
//! The collector counts it as lost in decoding, with the cause.

use std::borrow::Cow;

use model::extended::{Extra, ProcessContext};
use model::schema::{COLUMNS, Column, ColumnSlot};
use model::{
    BootNs, Clocks, Details, ExecId, Extended, Identity, Moment, Record, Text, TracerName, Tracking,
    WallTime, ZonedTime,
};
use serde_json::{Map, Value, json};
use thiserror::Error;

/// ABI name for calls of 32-bit programs. The kernels and programs of one machine share its architecture.
const ABI_32: &str = if cfg!(target_arch = "x86_64") { "i386" } else { "arm" };

/// Reasons why a record can't become a row.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NormalizeError {
    /// A field has a value that its column can't hold.
    #[error("field {field} is not {expected}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// The kind of value that the column holds.
        expected: &'static str,
    },
}

fn refuse<T>(field: &'static str, expected: &'static str) -> Result<T, NormalizeError> {
    Err(NormalizeError::Field { field, expected })
}

/// Makes the row of a record that is stored under `tracer`.
///
/// # Errors
/// A field has a value that its column can't hold. This happens only with records of other programs.
pub fn row(tracer: &TracerName, record: Record, clocks: &Clocks) -> Result<Tracking, NormalizeError> {
    let mut row = Tracking::new(tracer.clone(), WallTime(0), Extended::new(record.details));
    match record.at {
        Moment::Boot(at) => When::boot(at, clocks),
        Moment::Wall(at) => When { boot_ns: None, dt: at, time: clocks.of_local(at) },
    }
    .put(&mut row);
    if let Details::Fields(fields) = &mut row.extended.details {
        let fields = std::mem::take(fields);
        fill_from_fields(&mut row, fields, clocks)?;
    } else {
        fill_from_details(&mut row, clocks);
    }
    if let Some(identity) = record.identity {
        fill_from_identity(&mut row, identity);
    }
    Ok(row)
}

fn fill_from_identity(row: &mut Tracking, identity: Identity) {
    row.pid = Some(identity.pid.into());
    row.uid = Some(identity.uid.into());
    row.gid = Some(identity.gid.into());
    row.tid = Some(identity.tid.into());
    row.ppid = Some(identity.ppid.into());
    row.exec_id = Some(identity.exec_id());
    // Rows of `setuid` have the ids of after the call already.
    let own = if let Details::Act(act) = &row.extended.details { act.fields.as_slice() } else { &[] };
    let is_missing = |name| own.iter().all(|(field, _)| *field != name);
    row.extended.context = Some(ProcessContext {
        cgroup_id: identity.cgroup,
        cgroup: None,
        container: None,
        container_claimed: None,
        pid_ns: identity.pid_ns,
        mnt_ns: identity.mnt_ns,
        net_ns: identity.net_ns,
        login: [identity.loginuid, identity.sessionid],
        ruid: Some(identity.ruid).filter(|_| is_missing("ruid")),
        fsuid: Some(identity.fsuid).filter(|fsuid| *fsuid != identity.uid && is_missing("fsuid")),
        ns_pid: identity.ns_pid,
    });
    let Identity { comm, uring, compat, unverified, result_unknown, .. } = identity;
    if uring {
        row.extended.extra.push((Cow::Borrowed("via"), Extra::Value(json!(["io_uring"]))));
    }
    if compat {
        row.extended.extra.push((Cow::Borrowed("abi"), Extra::Value(json!(ABI_32))));
    }
    if unverified {
        row.extended.extra.push((Cow::Borrowed("unverified"), Extra::Value(json!(true))));
    }
    if result_unknown {
        row.ret = None;
        row.extended.extra.push((Cow::Borrowed("result_unknown"), Extra::Value(json!(true))));
    }
    keep_bytes(&mut row.extended, "comm_bytes", Some(&comm));
    row.comm = Some(comm);
}

fn fill_from_details(row: &mut Tracking, clocks: &Clocks) {
    row.fname = row.extended.details.fname().cloned();
    row.ret = row.extended.details.ret();
    keep_bytes(&mut row.extended, "fname_bytes", row.fname.as_ref());
    match &row.extended.details {
        Details::Exec(exec) => {
            row.cwd = Some(exec.cwd.clone());
            // After a failed exec the process still runs its old program.
            if exec.ret >= 0 {
                let exe = exec.interpreter.as_ref().map_or(&exec.path, |interpreter| &interpreter.path);
                row.exe = Some(exe.clone());
                keep_bytes(&mut row.extended, "exe_bytes", row.exe.as_ref());
            }
            keep_bytes(&mut row.extended, "cwd_bytes", row.cwd.as_ref());
        }
        Details::Usage(usage) => {
            let span = [("first", "first_time", usage.first), ("last", "last_time", usage.last)];
            for (local, zoned, at) in span {
                let at = clocks.at(at);
                for (name, text) in [(local, at.wall().to_text()), (zoned, at.to_text())] {
                    row.extended.extra.push((Cow::Borrowed(name), Extra::Value(text.into())));
                }
            }
        }
        Details::Loss(loss) => row.count = i64::try_from(loss.count).ok(),
        _ => {}
    }
}

/// Adds the text's bytes in hex when they are not valid UTF-8. Text columns always hold valid UTF-8.
pub(crate) fn keep_bytes(extended: &mut Extended, name: &'static str, text: Option<&Text>) {
    if let Some(text) = text.filter(|text| text.raw().is_some()) {
        extended.extra.push((Cow::Borrowed(name), Extra::Bytes(text.clone())));
    }
}

fn fill_from_fields(
    row: &mut Tracking,
    mut fields: Map<String, Value>,
    clocks: &Clocks,
) -> Result<(), NormalizeError> {
    // A missing name is stored as duetector's `Unknown`; a null stays null.
    let is_unnamed = !fields.contains_key("comm");
    for column in COLUMNS.iter().filter(|column| column.is_core()) {
        let name = column.name();
        match row.slot(*column) {
            ColumnSlot::Int(slot) => *slot = integer(name, fields.shift_remove(name))?,
            ColumnSlot::Text(slot) => *slot = text(name, fields.shift_remove(name))?,
            // The other ones are `dt`, which may be in two fields, and `extended`.
            ColumnSlot::Shared(_)
            | ColumnSlot::Time(_)
            | ColumnSlot::Zoned(_)
            | ColumnSlot::ExecId(_)
            | ColumnSlot::Fixed => {}
        }
    }
    if is_unnamed {
        row.comm = Some("Unknown".into());
    }
    let exact = fields.get("time").and_then(Value::as_str).and_then(ZonedTime::parse);
    let (timestamp, dt) = (fields.shift_remove("timestamp"), fields.shift_remove("dt"));
    if let Some(when) = when(timestamp, dt, exact, clocks)? {
        when.put(row);
        if exact.is_some() && row.time == exact {
            row.boot_ns = integer("", fields.get("boot_ns").cloned()).ok().flatten();
        }
    }
    let fields = match fields.shift_remove("extended") {
        None => fields,
        Some(Value::Object(mut extended)) => {
            extended.extend(fields);
            extended
        }
        Some(_) => return refuse("extended", "an object"),
    };
    for column in COLUMNS.iter().filter(|column| !column.is_core() && **column != Column::BootNs) {
        let Some(value) = fields.get(column.name()) else { continue };
        match row.slot(*column) {
            ColumnSlot::Int(slot) => *slot = integer("", Some(value.clone())).ok().flatten(),
            ColumnSlot::Text(slot) => *slot = value.as_str().map(Text::from),
            ColumnSlot::Shared(slot) => *slot = value.as_str().map(Into::into),
            ColumnSlot::ExecId(slot) => *slot = value.as_str().and_then(exec_id),
            // `time` has been compared with `dt`.
            ColumnSlot::Time(_) | ColumnSlot::Zoned(_) | ColumnSlot::Fixed => {}
        }
    }
    row.extended.details = Details::Fields(fields);
    Ok(())
}

/// Accepts an integer, a float without fraction, or text of either, within 63 bits.
fn integer(field: &'static str, value: Option<Value>) -> Result<Option<i64>, NormalizeError> {
    const EXPECTED: &str = "a whole number of at most 63 bits";
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Some(Value::String(text)) => {
            let text = text.trim();
            // "12.0" counts as 12; exponents and other notations are refused.
            let plain = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|b| b == b'0'));
            plain.map_or(text, |(number, _)| number).parse().ok()
        }
        Some(_) => None,
    };
    number.map_or_else(|| refuse(field, EXPECTED), |number| Ok(Some(number)))
}

fn whole(number: f64) -> Option<i64> {
    // A cast would saturate a number beyond 2^63 and so store a different one.
    let fits = number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0;
    fits.then_some(number as i64)
}

fn text(field: &'static str, value: Option<Value>) -> Result<Option<Text>, NormalizeError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.into())),
        Some(_) => refuse(field, "text"),
    }
}

/// The times of a row.
struct When {
    boot_ns: Option<BootNs>,
    time: ZonedTime,
    dt: WallTime,
}

impl When {
    fn boot(at: BootNs, clocks: &Clocks) -> Self {
        let time = clocks.at(at);
        Self { boot_ns: Some(at), time, dt: time.wall() }
    }

    fn utc(at: jiff::Timestamp, clocks: &Clocks) -> Option<Self> {
        let time = ZonedTime::new(i64::try_from(at.as_nanosecond()).ok()?, clocks.zone());
        Some(Self { boot_ns: None, time, dt: time.wall() })
    }

    fn put(self, row: &mut Tracking) {
        row.boot_ns = self.boot_ns.and_then(|at| i64::try_from(at.0).ok());
        (row.time, row.dt) = (Some(self.time), Some(self.dt));
    }
}

/// Finds the times of a record of another program. `exact` is its field `time`: if it is the same local time as `dt`, it
/// says in which of two hours, when clocks are set back. Our own `child` writes both.
fn when(
    timestamp: Option<Value>,
    dt: Option<Value>,
    exact: Option<ZonedTime>,
    clocks: &Clocks,
) -> Result<Option<When>, NormalizeError> {
    if let Some(timestamp) = timestamp {
        const EXPECTED: &str = "nanoseconds since boot";
        let ns = match &timestamp {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(unsigned)),
            Value::String(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse::<f64>().ok().and_then(unsigned))
            }
            _ => None,
        };
        return ns
            .map_or_else(|| refuse("timestamp", EXPECTED), |ns| Ok(Some(When::boot(BootNs(ns), clocks))));
    }
    const EXPECTED: &str = "an ISO 8601 time or seconds or milliseconds since 1970";
    let found = match dt {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64().and_then(|number| since_1970(number, clocks)),
        Some(Value::String(text)) => from_text(text.trim(), exact, clocks),
        Some(_) => None,
    };
    found.map_or_else(|| refuse("dt", EXPECTED), |when| Ok(Some(when)))
}

fn unsigned(number: f64) -> Option<u64> {
    (number >= 0.0 && number < u64::MAX as f64).then_some(number as u64)
}

/// Converts seconds since 1970; numbers above 20,000,000,000 are milliseconds, as in duetector's library.
fn since_1970(number: f64, clocks: &Clocks) -> Option<When> {
    let seconds = if number.abs() > 2e10 { number / 1e3 } else { number };
    let micros = (seconds * 1e6).round();
    if !micros.is_finite() {
        return None;
    }
    When::utc(jiff::Timestamp::from_microsecond(micros as i64).ok()?, clocks)
}

fn from_text(text: &str, exact: Option<ZonedTime>, clocks: &Clocks) -> Option<When> {
    if let Ok(number) = text.parse::<f64>() {
        return since_1970(number, clocks);
    }
    // A time with a zone is converted to local time; one without a zone is local already.
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return When::utc(at, clocks);
    }
    let dt = micros(text.parse::<jiff::civil::DateTime>().ok()?);
    let time = exact.filter(|exact| exact.wall() == dt).unwrap_or_else(|| clocks.of_local(dt));
    Some(When { boot_ns: None, time, dt })
}

/// Converts microseconds since 1970 to local time, for expressions.
pub(crate) fn local_micros(at: i64) -> WallTime {
    let local = |at| micros(jiff::tz::TimeZone::system().to_datetime(at));
    jiff::Timestamp::from_microsecond(at).map_or(WallTime(at), local)
}

fn micros(at: jiff::civil::DateTime) -> WallTime {
    // Computed as if it were UTC, because wall time is counted without a zone.
    let counted = jiff::tz::TimeZone::UTC.to_timestamp(at);
    WallTime(counted.map_or(0, |at| at.as_microsecond()))
}

/// Parses `PID-START`, the text form of [`ExecId`].
fn exec_id(text: &str) -> Option<ExecId> {
    let (pid, start_ns) = text.split_once('-')?;
    Some(ExecId { pid: pid.parse().ok()?, start_ns: start_ns.parse().ok()? })
}

#[cfg(test)]
mod tests;
