//! Several structs on one ring, distinguished by a field at the same offset in all of them.

use super::compile::Record;
use super::error::{DecodeError, LayoutError};
use super::hints::Kinds;
use super::shape::{Field, Load, Scalar, Shape};
use crate::template::btf::{Btf, Type};

/// Finds the struct of a record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KindSelector {
    field: String,
    at: usize,
    load: Load,
    /// Values in order, each with the index of its struct.
    kinds: Vec<(i128, usize)>,
}

fn refuse<T>(key: &str, why: impl Into<String>) -> Result<T, LayoutError> {
    Err(LayoutError::Kind { key: key.to_owned(), why: why.into() })
}

impl KindSelector {
    /// Builds the selector; `records` are the structs of `kinds`, in its order.
    pub(crate) fn new(btf: &Btf, kinds: &Kinds, records: &[Record]) -> Result<Self, LayoutError> {
        if records.is_empty() {
            return refuse("kind", "it names no structs; add `1 = \"struct event\"` for each kind");
        }
        let mut found: Option<(usize, Load)> = None;
        for record in records {
            let location = locate(&kinds.kind, record)?;
            // The field may be an enum in one struct and a plain number in another.
            let layout_of = |(at, load): (usize, Load)| (at, load.width, load.bits, load.big_endian);
            if found.is_some_and(|found| layout_of(found) != layout_of(location)) {
                let field = &kinds.kind;
                return refuse(
                    "kind",
                    format!("{} does not have {field} where the others have it", record.name),
                );
            }
            found.get_or_insert(location);
        }
        let Some((at, load)) = found else { return refuse("kind", "it names no structs") };
        let mut values = Vec::new();
        for (index, key) in kinds.structs.keys().enumerate() {
            values.push((value_of(btf, key)?, index));
        }
        values.sort_unstable();
        if let Some([(value, _), ..]) = values.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return refuse("kind", format!("two entries stand for the value {value}"));
        }
        Ok(Self { field: kinds.kind.clone(), at, load, kinds: values })
    }

    /// Returns the index of the record's struct.
    pub(crate) fn select(&self, bytes: &[u8]) -> Result<usize, DecodeError> {
        let value = self.load.signed(bytes.get(self.at..).unwrap_or_default());
        match self.kinds.binary_search_by_key(&value, |(value, _)| *value) {
            Ok(found) => Ok(self.kinds[found].1),
            Err(_) => Err(DecodeError::UnknownKind { field: self.field.clone(), value: value.to_string() }),
        }
    }
}

/// Returns the field's offset in the struct, and how to read it.
fn locate(field: &str, record: &Record) -> Result<(usize, Load), LayoutError> {
    let line = record.lines.iter().find(|line| line.path == field);
    let Some(line) = line else {
        let known = record.lines.iter().map(|line| line.path.clone()).collect();
        let (hint, field, record) = ("record.kind", field.to_owned(), record.name.clone());
        return Err(LayoutError::NoSuchField { hint, field, record, known });
    };
    let of_that_name = |found: &&Field| Some(&found.key) == line.name.as_ref() && found.at == line.at;
    match record.fields.iter().find(of_that_name).map(|found| &found.shape) {
        Some(Shape::Scalar(load, Scalar::Number | Scalar::Names(_) | Scalar::Hex | Scalar::Char)) => {
            Ok((line.at, *load))
        }
        _ => refuse("kind", format!("{field} of {} is not a whole number or enum by itself", record.name)),
    }
}

/// Parses a number, or finds the enum constant of that name.
fn value_of(btf: &Btf, key: &str) -> Result<i128, LayoutError> {
    let hex = key.strip_prefix("0x").map(|digits| i128::from_str_radix(digits, 16));
    if let Ok(value) = hex.unwrap_or_else(|| key.parse()) {
        return Ok(value);
    }
    let mut found: Vec<i128> = Vec::new();
    for (_, of) in btf.all() {
        let Type::Enum { constants, signed, .. } = of else { continue };
        for constant in btf.constants_of(constants) {
            let name = btf.name(constant.name)?;
            let value = if *signed { constant.value.into() } else { constant.value.cast_unsigned().into() };
            if name.eq_ignore_ascii_case(key) && !found.contains(&value) && found.len() < 8 {
                found.push(value);
            }
        }
    }
    match *found {
        [value] => Ok(value),
        [] => refuse(
            key,
            "it is not a number, and no enum among the object's types has a constant of that name",
        ),
        _ => refuse(key, "several enums have constants of that name; use the number"),
    }
}
