//! Errors of JSON in the words of Python's parser.

use serde_json::{Value, json};

/// Returns the list of errors for a text that is no JSON.
pub(super) fn errors(text: &str, cause: &serde_json::Error) -> Value {
    let at = position(text, cause);
    json!([{
        "type": "json_invalid", "loc": ["body", at], "msg": "JSON decode error", "input": {}, "ctx": {"error": words(&cause.to_string())},
    }])
}

/// Returns the number of the character at which the error is.
fn position(text: &str, cause: &serde_json::Error) -> usize {
    let before = cause.line().saturating_sub(1);
    let lines: usize = text.split('\n').take(before).map(|line| line.chars().count() + 1).sum();
    let line = text.split('\n').nth(before).unwrap_or_default();
    // Columns are counted in bytes, and from 1.
    let column = if cause.is_eof() { cause.column() } else { cause.column().saturating_sub(1) };
    let column = line.char_indices().take_while(|(at, _)| *at < column).count();
    lines + column
}

fn words(cause: &str) -> &'static str {
    const KNOWN: [(&str, &str); 6] = [
        ("key must be a string", "Expecting property name enclosed in double quotes"),
        ("EOF while parsing an object", "Expecting property name enclosed in double quotes"),
        ("trailing characters", "Extra data"),
        ("expected `:`", "Expecting ':' delimiter"),
        ("expected `,`", "Expecting ',' delimiter"),
        ("EOF while parsing a string", "Unterminated string starting at"),
    ];
    let known = KNOWN.iter().find(|(part, _)| cause.contains(part));
    known.map_or("Expecting value", |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_where_python_sees_them() {
        for (text, at, words) in [
            ("{abc", 1, "Expecting property name enclosed in double quotes"),
            ("nope", 1, "Expecting value"),
            ("{\"a\":", 5, "Expecting value"),
            ("{\"ä\" 1}", 5, "Expecting ':' delimiter"),
            ("{}\n x", 4, "Extra data"),
        ] {
            let cause = serde_json::from_str::<Value>(text).unwrap_err();
            let errors = errors(text, &cause);
            assert_eq!(
                (&errors[0]["loc"][1], &errors[0]["ctx"]["error"]),
                (&json!(at), &json!(words)),
                "{text}"
            );
        }
    }
}
