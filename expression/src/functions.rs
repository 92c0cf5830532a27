//! Functions and methods in expressions.

use std::borrow::Cow;

use super::calls::{Function, Part};
use super::error::EvalError;
use super::eval::Run;
use super::ir::Node;
use super::ops::wrong;
use super::source::Source;
use super::time;
use super::value::Value;

type Result<T> = std::result::Result<T, EvalError>;

impl<'a, S: Source> Run<'a, S> {
    pub(super) fn call(&mut self, function: Function, arguments: &'a [Node]) -> Result<Value<'a>> {
        let Some(first) = arguments.first() else { return Ok(Value::Null) };
        let first = self.eval(first)?;
        match function {
            Function::StartsWith => {
                self.on_texts(first, arguments, "startsWith", |a, b| a.starts_with(b), |_, _| None)
            }
            Function::EndsWith => {
                self.on_texts(first, arguments, "endsWith", |a, b| a.ends_with(b), ends_with)
            }
            Function::Contains => self.on_texts(
                first,
                arguments,
                "contains",
                |a, b| a.contains(b),
                |a, b| a.contains(b).then_some(true),
            ),
            Function::Dyn => Ok(first),
            _ if first == Value::Null => Ok(Value::Null),
            Function::Size => self.size(&first),
            Function::Lower => self.on_text(first, "lowerAscii", |text| text.to_ascii_lowercase().into()),
            Function::Upper => self.on_text(first, "upperAscii", |text| text.to_ascii_uppercase().into()),
            Function::Trim => self.on_text(first, "trim", |text| match text {
                Cow::Borrowed(text) => text.trim().into(),
                Cow::Owned(text) => text.trim().to_owned().into(),
            }),
            Function::Int => to_int(first),
            Function::Double => to_double(first),
            Function::Text => to_text(first),
            Function::Bool => match &first {
                Value::Bool(_) => Ok(first),
                Value::Text(text) => {
                    text.parse().map(Value::Bool).map_err(|_| EvalError::Conversion("bool()"))
                }
                other => wrong("bool()", other),
            },
            Function::Time => self.to_time(first),
            Function::Span => match &first {
                Value::Span(_) => Ok(first),
                Value::Text(text) => {
                    time::parse_span(text).map(Value::Span).ok_or(EvalError::Conversion("duration()"))
                }
                other => wrong("duration()", other),
            },
            Function::Part(part) => part_of(&first, part),
            // These are compiled to nodes of their own.
            Function::Matches | Function::InCidr => Ok(Value::Null),
        }
    }

    /// Applies a test of two texts. `of_end` tests the end of the first one, if that is all that is known of it.
    fn on_texts(
        &mut self,
        first: Value<'a>,
        arguments: &'a [Node],
        name: &'static str,
        holds: impl Fn(&str, &str) -> bool,
        of_end: impl Fn(&str, &str) -> Option<bool>,
    ) -> Result<Value<'a>> {
        let second = match arguments.get(1) {
            Some(second) => self.eval(second)?,
            None => Value::Null,
        };
        match (first, second) {
            (Value::Text(text), Value::Text(part)) => {
                self.spend_text(&text)?;
                Ok(Value::Bool(holds(&text, &part)))
            }
            (Value::Null, _) | (_, Value::Null) => Ok(Value::Bool(false)),
            (Value::Part(Some(end)), Value::Text(part)) => {
                self.spend_text(&end)?;
                of_end(&end, &part).map(Value::Bool).ok_or(EvalError::Incomplete)
            }
            (Value::Text(_), odd) | (odd, _) => wrong(name, &odd),
        }
    }

    fn on_text(
        &mut self,
        value: Value<'a>,
        name: &'static str,
        change: impl Fn(Cow<'a, str>) -> Cow<'a, str>,
    ) -> Result<Value<'a>> {
        let Value::Text(text) = value else { return wrong(name, &value) };
        self.spend_text(&text)?;
        Ok(Value::Text(change(text)))
    }

    fn size(&mut self, value: &Value<'a>) -> Result<Value<'a>> {
        let size = match value {
            Value::Text(text) => {
                self.spend_text(text)?;
                text.chars().count()
            }
            Value::List(items) => items.len(),
            Value::Object(map) => map.len(),
            other => return wrong("size()", other),
        };
        Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
    }

    fn to_time(&self, value: Value<'a>) -> Result<Value<'a>> {
        let at = match &value {
            Value::Time(_) => return Ok(value),
            Value::Int(seconds) => time::of_seconds(*seconds, self.localize),
            Value::Text(text) => time::parse(text, self.localize),
            other => return wrong("timestamp()", other),
        };
        at.map(Value::Time).ok_or(EvalError::Conversion("timestamp()"))
    }
}

/// Returns whether a text ends like this of which only the end is known; `None` if that is too short.
fn ends_with(end: &str, part: &str) -> Option<bool> {
    if end.len() >= part.len() { Some(end.ends_with(part)) } else { (!part.ends_with(end)).then_some(false) }
}

fn to_int(value: Value<'_>) -> Result<Value<'_>> {
    match &value {
        Value::Int(_) | Value::Uint(_) => Ok(value),
        Value::Double(number) => {
            // From 2^63 on, a cast would saturate at the end of the range.
            let fits =
                number.trunc() >= -9_223_372_036_854_775_808.0 && *number < 9_223_372_036_854_775_808.0;
            if fits { Ok(Value::Int(*number as i64)) } else { Err(EvalError::Overflow("int()")) }
        }
        Value::Text(text) => text.trim().parse().map(Value::Int).map_err(|_| EvalError::Conversion("int()")),
        other => wrong("int()", other),
    }
}

fn to_double(value: Value<'_>) -> Result<Value<'_>> {
    match &value {
        Value::Double(_) => Ok(value),
        Value::Int(number) => Ok(Value::Double(*number as f64)),
        Value::Uint(number) => Ok(Value::Double(*number as f64)),
        Value::Text(text) => {
            text.trim().parse().map(Value::Double).map_err(|_| EvalError::Conversion("double()"))
        }
        other => wrong("double()", other),
    }
}

fn to_text(value: Value<'_>) -> Result<Value<'_>> {
    let text = match value {
        Value::Text(_) => return Ok(value),
        Value::Bool(truth) => truth.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Time(at) => at.to_text(),
        Value::Span(micros) => time::span_text(micros),
        other => return wrong("string()", &other),
    };
    Ok(Value::Text(text.into()))
}

fn part_of<'a>(value: &Value<'a>, part: Part) -> Result<Value<'a>> {
    let found = match value {
        Value::Time(at) => time::part(*at, part),
        Value::Span(micros) => time::span_part(*micros, part),
        other => return wrong("a part of a timestamp", other),
    };
    found.map(Value::Int).ok_or(EvalError::Overflow("a part of a timestamp"))
}
