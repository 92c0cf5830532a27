//! Makes records of a command's output: of all of it, of its lines, or of the fields that JSON or a pattern finds in
//! it.
//!
//! Output is cut into *units*: the whole text, a line, or an element of a JSON array. With the cache enabled, a unit
//! is emitted only as often as it occurs more than in the previous run. So a growing log yields its new lines, `ps`
//! yields new processes, and a line that was missing in one run is new when it is back.

use std::borrow::Cow;
use std::collections::HashMap;

use model::Text;
use regex::Regex;
use serde_json::{Map, Number, Value};

use crate::lines::{Line, LineReader};
use crate::repair;
use crate::settings::Parse;

/// Cuts output into units and makes records of them.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    parse: Parse,
    /// Compiled pattern of [`Parse::Regex`].
    pattern: Option<Regex>,
}

/// Piece of output that may become a record.
pub(crate) type Unit<'a> = Cow<'a, [u8]>;

/// Reasons why a unit does not become a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    /// The pattern is not found, as in headings.
    Unmatched,
    /// The unit is not JSON.
    NotJson,
    /// The unit is JSON but not an object, so its fields have no names.
    NotObject,
}

impl Format {
    pub(crate) fn new(parse: &Parse) -> Self {
        let pattern = match parse {
            // The pattern was validated before; an invalid one would match nothing, which is counted.
            Parse::Regex { pattern, .. } => Regex::new(pattern).ok(),
            _ => None,
        };
        Self { parse: parse.clone(), pattern }
    }

    /// Cuts output into units. If the output was cut short, its incomplete last line is left out.
    pub(crate) fn units<'a>(&self, output: &'a [u8], cut: bool) -> Vec<Unit<'a>> {
        match self.parse {
            Parse::Text => vec![Cow::Borrowed(output)],
            Parse::Json => elements(output),
            Parse::Lines | Parse::Jsonl | Parse::Regex { .. } => lines(output, cut),
        }
    }

    /// Returns the fields of a unit's record.
    pub(crate) fn record(&self, unit: &[u8]) -> Result<Map<String, Value>, Skip> {
        match &self.parse {
            Parse::Text => Ok(text_fields("output", unit)),
            Parse::Lines => Ok(text_fields("line", unit)),
            Parse::Json | Parse::Jsonl => match repair::read_value(unit) {
                None => Err(Skip::NotJson),
                Some((Value::Object(fields), false)) => Ok(fields),
                Some((Value::Object(fields), true)) => Ok(repair::restore(fields)),
                Some(_) => Err(Skip::NotObject),
            },
            Parse::Regex { numbers, .. } => self.matched(unit, numbers).ok_or(Skip::Unmatched),
        }
    }

    /// Returns the pattern's named groups that matched, as text; those among `numbers` as numbers, if they are
    /// numbers.
    fn matched(&self, line: &[u8], numbers: &[String]) -> Option<Map<String, Value>> {
        let text = Text::from_bytes(line);
        let (text, pattern) = (text.to_str(), self.pattern.as_ref()?);
        let found = pattern.captures(&text)?;
        let groups = pattern.capture_names().flatten();
        let fields = groups.filter_map(|name| {
            let text = found.name(name)?.as_str();
            let number = numbers.iter().any(|number| number == name).then(|| number(text)).flatten();
            Some((name.to_owned(), number.unwrap_or_else(|| text.into())))
        });
        Some(fields.collect())
    }
}

/// Returns the units that are not among `before`; a unit that occurs several times must occur there as often.
pub(crate) fn only_new<'a>(units: Vec<Unit<'a>>, before: &[Unit<'_>]) -> Vec<Unit<'a>> {
    let mut known: HashMap<&[u8], usize> = HashMap::with_capacity(before.len());
    for unit in before {
        *known.entry(unit).or_default() += 1;
    }
    let is_new = |unit: &Unit<'_>| match known.get_mut(&**unit) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    let mut is_new = is_new;
    units.into_iter().filter(|unit| is_new(unit)).collect()
}

/// Returns the text as field `name`, and its bytes in hex as another field if they are not UTF-8.
pub(crate) fn text_fields(name: &str, bytes: &[u8]) -> Map<String, Value> {
    let text = Text::from_bytes(bytes);
    let mut fields = Map::new();
    fields.insert(name.to_owned(), text.to_str().into());
    if let Some(hex) = text.raw_hex() {
        fields.insert(format!("{name}_bytes"), hex.into());
    }
    fields
}

fn lines(output: &[u8], cut: bool) -> Vec<Unit<'_>> {
    let mut lines = Vec::new();
    // The output is bounded, so no line is too long.
    let mut reader = LineReader::new(output.len());
    let mut take = |line: Line<'_>| match line {
        Line::Whole(line) if !line.trim_ascii().is_empty() => lines.push(Cow::Owned(line.to_vec())),
        Line::Whole(_) | Line::TooLong(_) => {}
    };
    reader.feed(output, &mut take);
    if !cut {
        reader.finish(&mut take);
    }
    lines
}

/// Returns the elements of a JSON array; any other output is one unit.
fn elements(output: &[u8]) -> Vec<Unit<'_>> {
    let output = output.trim_ascii();
    if output.is_empty() {
        return Vec::new();
    }
    match serde_json::from_slice(output) {
        Ok(Value::Array(elements)) => {
            // Values always serialise.
            elements
                .iter()
                .map(|element| Cow::Owned(serde_json::to_vec(element).unwrap_or_default()))
                .collect()
        }
        _ => vec![Cow::Borrowed(output)],
    }
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    let whole = text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from));
    whole.ok().or_else(|| Number::from_f64(text.parse().ok()?)).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn records(parse: Parse, output: &[u8]) -> Vec<Result<Value, Skip>> {
        let format = Format::new(&parse);
        let units = format.units(output, false);
        units.iter().map(|unit| format.record(unit).map(Value::Object)).collect()
    }

    #[test]
    fn each_form_makes_its_records() {
        assert_eq!(records(Parse::Text, b"a\nb\n"), [Ok(json!({"output": "a\nb\n"}))]);
        assert_eq!(
            records(Parse::Lines, b"a\r\n\n \nb\xff"),
            [Ok(json!({"line": "a"})), Ok(json!({"line": "b\\xff", "line_bytes": "62ff"}))]
        );
        assert_eq!(records(Parse::Json, b" {\"a\": {\"b\": 1}}\n"), [Ok(json!({"a": {"b": 1}}))]);
        assert_eq!(
            records(Parse::Json, b"[{\"a\": 1}, 2, {\"a\": 1.5}]"),
            [Ok(json!({"a": 1})), Err(Skip::NotObject), Ok(json!({"a": 1.5}))]
        );
        assert_eq!(records(Parse::Json, b"\n"), []);
        assert_eq!(
            records(Parse::Jsonl, b"{\"a\":1}\nnone\n7\n{\"f\":\"\xff\",\"n\":NaN}"),
            [
                Ok(json!({"a": 1})),
                Err(Skip::NotJson),
                Err(Skip::NotObject),
                Ok(json!({"f": "\\xff", "f_bytes": "ff", "n": null}))
            ]
        );
    }

    #[test]
    fn a_patterns_groups_become_fields_and_the_listed_ones_numbers() {
        let parse = Parse::Regex {
            pattern: r"^\s*(?P<pid>\d+)\s+(?<load>\S+)(?:\s+(?<rest>.+))?$".to_owned(),
            numbers: vec!["pid".to_owned(), "load".to_owned()],
        };
        assert_eq!(
            records(parse, b"  PID LOAD\n 12 0.5 sh -c x\n 13 high\n"),
            [
                Err(Skip::Unmatched),
                Ok(json!({"pid": 12, "load": 0.5, "rest": "sh -c x"})),
                Ok(json!({"pid": 13, "load": "high"}))
            ]
        );
    }

    #[test]
    fn the_broken_last_line_of_cut_output_is_left_out() {
        let format = Format::new(&Parse::Lines);
        assert_eq!(format.units(b"one\ntwo", true), [&b"one"[..]]);
    }

    /// Computes the same by definition: removes each unit that was there before from a list.
    fn new_by_definition(now: &[u8], before: &[u8]) -> Vec<Vec<u8>> {
        let mut before: Vec<u8> = before.to_vec();
        let is_new = |unit: &&u8| match before.iter().position(|known| known == *unit) {
            Some(index) => {
                before.swap_remove(index);
                false
            }
            None => true,
        };
        now.iter().filter(is_new).map(|unit| vec![*unit]).collect()
    }

    proptest! {
        #[test]
        fn new_units_are_the_difference_of_two_multisets(
            now in proptest::collection::vec(0_u8..6, 0..20),
            before in proptest::collection::vec(0_u8..6, 0..20),
        ) {
            let units = |bytes: &[u8]| bytes.iter().map(|byte| Cow::Owned(vec![*byte])).collect::<Vec<Unit<'static>>>();
            let new: Vec<Vec<u8>> =
                only_new(units(&now), &units(&before)).into_iter().map(Cow::into_owned).collect();
            prop_assert_eq!(new, new_by_definition(&now, &before));
        }

        #[test]
        fn no_output_causes_a_panic(output in proptest::collection::vec(any::<u8>(), 0..200)) {
            let regex = Parse::Regex { pattern: "(?<a>.)(?<b>.*)".to_owned(), numbers: vec!["a".to_owned()] };
            for parse in [Parse::Text, Parse::Lines, Parse::Json, Parse::Jsonl, regex] {
                records(parse, &output);
            }
        }
    }
}
