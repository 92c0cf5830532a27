//! Operators on values. An operation on null gives null, or false if its result is a boolean.

use super::error::EvalError;
use super::ir::Operation;
use super::value::Value;
use model::WallTime;

type Result<T> = std::result::Result<T, EvalError>;

pub(super) fn at<'a>(of: &Value<'a>, index: &Value<'a>) -> Result<Value<'a>> {
    match (of, index) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::Object(_), Value::Text(name)) => Ok(of.member(name)),
        (Value::List(items), Value::Int(index)) => {
            // A missing element is null, in lists as in objects.
            Ok(usize::try_from(*index).ok().and_then(|index| items.get(index)).unwrap_or(Value::Null))
        }
        (Value::List(_) | Value::Object(_), index) => wrong("[]", index),
        (of, _) => wrong("[]", of),
    }
}

pub(super) fn negative<'a>(value: Value<'a>) -> Result<Value<'a>> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(EvalError::Overflow("-")),
        Value::Double(number) => Ok(Value::Double(-number)),
        Value::Span(micros) => micros.checked_neg().map(Value::Span).ok_or(EvalError::Overflow("-")),
        other => wrong("-", &other),
    }
}

pub(super) fn arithmetic<'a>(operation: Operation, a: Value<'a>, b: Value<'a>) -> Result<Value<'a>> {
    use Operation::{Add, Subtract};
    let sign = operation.sign();
    let sum = |a: i64, b: i64| {
        let sum = if operation == Add { a.checked_add(b) } else { a.checked_sub(b) };
        sum.ok_or(EvalError::Overflow(sign))
    };
    match (operation, a, b) {
        (_, Value::Null, _) | (_, _, Value::Null) => Ok(Value::Null),
        (operation, Value::Int(a), Value::Int(b)) => whole(operation, a, b).map(Value::Int),
        (operation, Value::Double(a), Value::Double(b)) => real(operation, a, b).map(Value::Double),
        (Add, Value::Text(a), Value::Text(b)) => Ok(Value::Text(a + b)),
        (Add | Subtract, Value::Time(a), Value::Span(b)) => Ok(Value::Time(WallTime(sum(a.0, b)?))),
        (Add, Value::Span(a), Value::Time(b)) => Ok(Value::Time(WallTime(sum(a, b.0)?))),
        (Subtract, Value::Time(a), Value::Time(b)) => Ok(Value::Span(sum(a.0, b.0)?)),
        (Add | Subtract, Value::Span(a), Value::Span(b)) => Ok(Value::Span(sum(a, b)?)),
        (_, Value::Int(_) | Value::Double(_), odd) | (_, odd, _) => wrong(sign, &odd),
    }
}

fn whole(operation: Operation, a: i64, b: i64) -> Result<i64> {
    let result = match operation {
        Operation::Add => a.checked_add(b),
        Operation::Subtract => a.checked_sub(b),
        Operation::Multiply => a.checked_mul(b),
        Operation::Divide | Operation::Modulo if b == 0 => return Err(EvalError::DivisionByZero),
        Operation::Divide => a.checked_div(b),
        Operation::Modulo => a.checked_rem(b),
    };
    result.ok_or(EvalError::Overflow(operation.sign()))
}

fn real(operation: Operation, a: f64, b: f64) -> Result<f64> {
    Ok(match operation {
        Operation::Add => a + b,
        Operation::Subtract => a - b,
        Operation::Multiply => a * b,
        Operation::Divide => a / b,
        Operation::Modulo => return wrong("%", &Value::Double(a)),
    })
}

/// Returns the number of steps for comparing a value, capped above the limit of steps.
pub(super) fn weight(value: &Value<'_>) -> usize {
    fn json(value: &serde_json::Value, left: &mut usize) {
        *left = left.saturating_sub(1);
        if *left == 0 {
            return;
        }
        match value {
            serde_json::Value::Array(items) => items.iter().for_each(|item| json(item, left)),
            serde_json::Value::Object(map) => map.values().for_each(|item| json(item, left)),
            serde_json::Value::String(text) => *left = left.saturating_sub(text.len() / 256),
            _ => {}
        }
    }
    const MOST: usize = 1 << 20;
    match value {
        Value::Text(text) => text.len() / 256,
        Value::List(super::value::Items::Json(items)) => {
            let mut left = MOST;
            items.iter().for_each(|item| json(item, &mut left));
            MOST - left
        }
        Value::List(items) => items.iter().map(|item| 1 + weight(&item)).sum(),
        Value::Object(map) => {
            let mut left = MOST;
            map.values().for_each(|item| json(item, &mut left));
            MOST - left
        }
        _ => 0,
    }
}

pub(super) fn wrong<T>(operation: &'static str, found: &Value<'_>) -> Result<T> {
    Err(match found {
        Value::Part(_) => EvalError::Incomplete,
        found => EvalError::Type { operation, found: found.kind_name() },
    })
}
