//! Compares the values that C read with those that were decoded.

use model::Text;
use serde_json::Value;

use super::c_source::{Leaf, Step, What};

pub(crate) fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

/// Counts keys and elements of all objects and lists, without the keys for exact bytes.
pub(crate) fn count(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            map.iter().filter(|(key, _)| !key.ends_with("_bytes")).map(|(_, value)| 1 + count(value)).sum()
        }
        Value::Array(list) => list.iter().map(|value| 1 + count(value)).sum(),
        _ => 0,
    }
}

/// Compares one leaf; `expected` is the C program's output.
pub(crate) fn leaf(leaf: &Leaf, expected: &str, fields: &Value) -> Result<(), String> {
    let found = follow(fields, &leaf.path).ok_or("it is missing")?;
    let number = || u128::from_str_radix(expected, 16).unwrap();
    let fine = match &leaf.what {
        What::Int => value(found) == Some(number()),
        What::Bool => *found == Value::Bool(number() != 0),
        What::Pointer => *found == Value::String(format!("{:#x}", number())),
        What::Enum(constants, wide) => enumerated(found, number().cast_signed(), constants, *wide),
        What::Float => float(found, f32::from_le_bytes(unhex(expected).try_into().unwrap()).into()),
        What::Double => float(found, f64::from_le_bytes(unhex(expected).try_into().unwrap())),
        What::Bytes => *found == Value::String(expected.to_owned()),
        What::Text => return text(leaf, &unhex(expected), found, fields),
    };
    if fine { Ok(()) } else { Err(format!("C reads {expected}, we read {found}")) }
}

fn follow<'a>(mut value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    for step in path {
        value = match step {
            Step::Key(key) => value.get(key)?,
            Step::Index(index) => value.get(index)?,
        };
    }
    Some(value)
}

fn value(found: &Value) -> Option<u128> {
    match found {
        Value::Number(number) => number.as_u64().map_or_else(
            || number.as_i64().map(|number| i128::from(number).cast_unsigned()),
            |number| Some(number.into()),
        ),
        Value::String(text) => text.parse().ok().or_else(|| text.parse().ok().map(i128::cast_unsigned)),
        _ => None,
    }
}

/// Compares an enum. For a 64-bit enum older compilers record neither sign nor names.
fn enumerated(found: &Value, value: i128, constants: &[(i128, String)], wide: bool) -> bool {
    let names: Vec<_> =
        constants.iter().filter(|(constant, _)| *constant == value).map(|(_, name)| name).collect();
    match found {
        Value::String(name) => names.contains(&name),
        other => {
            let high = !wide && constants.iter().any(|(constant, _)| *constant > i32::MAX.into());
            let sure: u64 = if high { u32::MAX.into() } else { u64::MAX };
            let same = |found: u128| found as u64 & sure == value as u64 & sure;
            (wide || names.is_empty()) && self::value(other).is_some_and(same)
        }
    }
}

fn float(found: &Value, expected: f64) -> bool {
    match found {
        Value::Number(number) => number.as_f64() == Some(expected),
        other => !expected.is_finite() && *other == Value::String(expected.to_string()),
    }
}

fn text(leaf: &Leaf, bytes: &[u8], found: &Value, fields: &Value) -> Result<(), String> {
    let cut = bytes.split(|byte| *byte == 0).next().unwrap();
    let expected = Text::from_bytes(cut);
    if *found != Value::String(expected.to_str().into_owned()) {
        return Err(format!("C reads {expected}, we read {found}"));
    }
    // The exact bytes are beside the key; for lists, as a list of the same form.
    let key = leaf.path.iter().rposition(|step| matches!(step, Step::Key(_))).unwrap();
    let (to_key, rest) = leaf.path.split_at(key + 1);
    let Some(Step::Key(name)) = to_key.last() else { unreachable!() };
    let object = follow(fields, &to_key[..key]).unwrap();
    let exact = object.get(format!("{name}_bytes")).and_then(|beside| follow(beside, rest));
    match (expected.raw_hex(), exact) {
        (Some(hex), Some(exact)) if *exact == Value::String(hex.clone()) => Ok(()),
        (None, _) => Ok(()),
        (hex, exact) => Err(format!("its bytes are {hex:?}, we keep {exact:?}")),
    }
}
