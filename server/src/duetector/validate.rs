//! Takes the fields of a body, with the conversions and the errors of pydantic, which duetector's server uses.

use serde_json::{Map, Value, json};

use super::datetime;

/// Number of errors that an answer lists. A body has room for hundreds of thousands of wrong values, and each makes an error that is many
/// times as long.
const LISTED: usize = 100;

/// The fields of a body, and what is wrong with those that were taken.
pub(super) struct Fields {
    given: Map<String, Value>,
    errors: Vec<Value>,
}

impl Fields {
    pub(super) fn new(given: Map<String, Value>) -> Self {
        Self { given, errors: Vec::new() }
    }

    /// Returns the list of all errors, if there is one.
    pub(super) fn end(self) -> Option<Value> {
        (!self.errors.is_empty()).then_some(Value::Array(self.errors))
    }

    fn wrong(&mut self, loc: Value, (kind, msg): (&str, &str), input: &Value) {
        if self.errors.len() < LISTED {
            self.errors.push(json!({"type": kind, "loc": loc, "msg": msg, "input": input}));
        }
    }

    /// Takes a text that has to be there.
    pub(super) fn required_text(&mut self, name: &str) -> String {
        match self.given.get(name).cloned() {
            Some(Value::String(text)) => return text,
            Some(other) => self.wrong(json!(["body", name]), STRING, &other),
            None => {
                let given = Value::Object(self.given.clone());
                self.wrong(json!(["body", name]), ("missing", "Field required"), &given);
            }
        }
        String::new()
    }

    /// Takes a list of texts; without one it is empty.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let items = match self.given.get(name).cloned() {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.wrong(json!(["body", name]), ("list_type", "Input should be a valid list"), &other);
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for (at, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => texts.push(text),
                other => self.wrong(json!(["body", name, at]), STRING, &other),
            }
        }
        texts
    }

    /// Takes an object; without one it is empty.
    pub(super) fn object(&mut self, name: &str) -> Map<String, Value> {
        match self.given.get(name).cloned() {
            None | Some(Value::Null) => {}
            Some(Value::Object(object)) => return object,
            Some(other) => {
                self.wrong(
                    json!(["body", name]),
                    ("dict_type", "Input should be a valid dictionary"),
                    &other,
                );
            }
        }
        Map::new()
    }

    /// Takes a whole number, which is 0 if it is not there.
    pub(super) fn int(&mut self, name: &str) -> i64 {
        let Some(value) = self.given.get(name).cloned() else { return 0 };
        int(&value).unwrap_or_else(|error| {
            self.wrong(json!(["body", name]), error, &value);
            0
        })
    }

    /// Takes a truth value, which is false if it is not there.
    pub(super) fn bool(&mut self, name: &str) -> bool {
        let Some(value) = self.given.get(name).cloned() else { return false };
        truth(&value).unwrap_or_else(|error| {
            self.wrong(json!(["body", name]), error, &value);
            false
        })
    }

    /// Takes a time as `dt` has it.
    pub(super) fn datetime(&mut self, name: &str) -> Option<String> {
        let value = self.given.get(name).filter(|value| !value.is_null())?.clone();
        match datetime::parse(&value) {
            Ok(text) => return Some(text),
            Err(None) => {
                let error = ("datetime_type", "Input should be a valid datetime");
                self.wrong(json!(["body", name]), error, &value);
            }
            Err(Some(why)) => self.errors.push(json!({
                "type": "datetime_from_date_parsing", "loc": ["body", name],
                "msg": format!("Input should be a valid datetime or date, {why}"), "input": value, "ctx": {"error": why},
            })),
        }
        None
    }
}

/// An error: its type and its message.
type Wrong = (&'static str, &'static str);

const STRING: Wrong = ("string_type", "Input should be a valid string");
const INT: Wrong = ("int_type", "Input should be a valid integer");
const INT_PARSING: Wrong =
    ("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
const INT_FRACTION: Wrong =
    ("int_from_float", "Input should be a valid integer, got a number with a fractional part");
const BOOL: Wrong = ("bool_type", "Input should be a valid boolean");
const BOOL_PARSING: Wrong = ("bool_parsing", "Input should be a valid boolean, unable to interpret input");

fn int(value: &Value) -> Result<i64, Wrong> {
    match value {
        Value::Bool(is_true) => Ok((*is_true).into()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(whole),
            (None, Some(real)) if real.fract() == 0.0 => Ok(real as i64),
            _ => Err(INT_FRACTION),
        },
        Value::String(text) => {
            let text = text.trim();
            let whole = text.split_once('.').filter(|(_, zeros)| zeros.bytes().all(|digit| digit == b'0'));
            whole.map_or(text, |(whole, _)| whole).parse().map_err(|_| INT_PARSING)
        }
        _ => Err(INT),
    }
}

fn truth(value: &Value) -> Result<bool, Wrong> {
    match value {
        Value::Bool(is_true) => Ok(*is_true),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Ok(false),
            Some(1.0) => Ok(true),
            _ => Err(BOOL_PARSING),
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
            "0" | "off" | "f" | "false" | "n" | "no" => Ok(false),
            _ => Err(BOOL_PARSING),
        },
        _ => Err(BOOL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_come_at_once_and_in_the_order_of_the_fields() {
        let body = json!({"collector_id": 1, "tracers": ["a", 2], "start": "x", "limit": 1.5, "distinct": 7, "where": []});
        let Value::Object(body) = body else { unreachable!() };
        let mut fields = Fields::new(body);
        fields.required_text("collector_id");
        fields.texts("tracers");
        fields.int("start");
        fields.int("limit");
        fields.object("where");
        fields.bool("distinct");
        let errors = fields.end().unwrap();
        let kinds: Vec<_> =
            errors.as_array().unwrap().iter().map(|error| error["type"].as_str().unwrap()).collect();
        let expected =
            ["string_type", "string_type", "int_parsing", "int_from_float", "dict_type", "bool_parsing"];
        assert_eq!(kinds, expected);
        assert_eq!(errors[1]["loc"], json!(["body", "tracers", 1]));
    }

    #[test]
    fn a_body_of_wrong_values_has_a_short_answer() {
        let Value::Object(body) = json!({"columns": vec![1; 100_000], "limit": "x"}) else { unreachable!() };
        let mut fields = Fields::new(body);
        assert!(fields.texts("columns").is_empty());
        fields.int("limit");
        assert_eq!(fields.end().unwrap().as_array().unwrap().len(), LISTED);
    }

    #[test]
    fn numbers_and_truth_values_are_converted() {
        for (value, expected) in
            [(json!(" 5 "), 5), (json!("5.0"), 5), (json!(5.0), 5), (json!(true), 1), (json!(-3), -3)]
        {
            assert_eq!(int(&value), Ok(expected), "{value}");
        }
        assert_eq!(int(&Value::Null), Err(INT));
        assert_eq!(
            (truth(&json!("Yes")), truth(&json!(0)), truth(&json!([]))),
            (Ok(true), Ok(false), Err(BOOL))
        );
    }
}
