//! A field that a filter names: a column, or a field of `extended`.

use std::borrow::Cow;

use model::extended::Field;
use model::{Text, Tracking};
use serde_json::Value;

/// Location of a named field in a row.
#[derive(Clone, Debug)]
pub(super) enum FieldRef {
    Tracer,
    Int(fn(&Tracking) -> Option<i64>),
    Text(fn(&Tracking) -> Option<&Text>),
    Dt,
    ExecId,
    ContainerId,
    Extended(String),
}

/// Value of a field.
pub(super) enum Found<'a> {
    Int(i64),
    Text(Cow<'a, str>),
}

impl FieldRef {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "tracer" => Self::Tracer,
            "pid" => Self::Int(|row| row.pid),
            "uid" => Self::Int(|row| row.uid),
            "gid" => Self::Int(|row| row.gid),
            "tid" => Self::Int(|row| row.tid),
            "ppid" => Self::Int(|row| row.ppid),
            "ret" => Self::Int(|row| row.ret),
            "count" => Self::Int(|row| row.count),
            "comm" => Self::Text(|row| row.comm.as_ref()),
            "cwd" => Self::Text(|row| row.cwd.as_ref()),
            "fname" => Self::Text(|row| row.fname.as_ref()),
            "exe" => Self::Text(|row| row.exe.as_ref()),
            "dt" => Self::Dt,
            "exec_id" => Self::ExecId,
            "container_id" => Self::ContainerId,
            other => Self::Extended(other.to_owned()),
        }
    }

    /// Returns the field's value; null and absent are both `None`.
    pub(super) fn find<'a>(&self, row: &'a Tracking) -> Option<Found<'a>> {
        match self {
            Self::Tracer => Some(Found::Text(row.tracer.as_str().into())),
            Self::Int(pick) => pick(row).map(Found::Int),
            Self::Text(pick) => pick(row).map(|text| Found::Text(text.as_str().into())),
            Self::Dt => row.dt.map(|dt| Found::Text(dt.to_text().into())),
            Self::ExecId => row.exec_id.map(|id| Found::Text(id.to_string().into())),
            Self::ContainerId => row.container_id.as_deref().map(|id| Found::Text(id.into())),
            Self::Extended(name) => found(row.extended.get(name)?),
        }
    }
}

fn found(field: Field<'_>) -> Option<Found<'_>> {
    match field {
        Field::Int(number) => Some(Found::Int(number)),
        Field::Str(text) => Some(Found::Text(text)),
        Field::Bool(truth) => Some(python_bool(truth)),
        Field::Json(value) => match value.as_ref() {
            Value::Null => None,
            Value::Bool(truth) => Some(python_bool(*truth)),
            Value::String(_) => match value {
                Cow::Borrowed(Value::String(text)) => Some(Found::Text(text.as_str().into())),
                owned => Some(Found::Text(owned.as_str().unwrap_or_default().to_owned().into())),
            },
            other => Some(Found::Text(other.to_string().into())),
        },
        other => Some(Found::Text(other.to_plain().into_owned().into())),
    }
}

/// Formats a boolean as Python does, because duetector compares that text.
fn python_bool(truth: bool) -> Found<'static> {
    Found::Text(if truth { "True" } else { "False" }.into())
}
