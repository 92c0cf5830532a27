//! A setting that is a list, or text that stands for one. It accepts duetector's notations, except that duetector
//! reads the text `1000` as the list "1" and "0".

use serde_json::Value;

/// Returns the entries without surrounding spaces; `None` if the value is not a list.
pub(super) fn entries(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(scalar).collect(),
        Value::String(text) => Some(from_text(text)),
        other => scalar(other).map(|entry| vec![entry]),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        // Formatted as in Python; the values compared with it are formatted in the same way.
        Value::Bool(truth) => Some(if *truth { "True" } else { "False" }.to_owned()),
        _ => None,
    }
}

/// Reads text such as `['a', "b", 3]` as a Python literal; splits any other text at commas.
fn from_text(text: &str) -> Vec<String> {
    let text = text.trim();
    let brackets = [('[', ']'), ('(', ')'), ('{', '}')];
    let inner = brackets.iter().find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close));
    let literal = inner.and_then(literal_items);
    literal.unwrap_or_else(|| {
        text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    })
}

/// Reads the items between the brackets of a literal: quoted text, or numbers. Returns `None` for anything else, such
/// as a pattern that happens to be in brackets.
fn literal_items(mut rest: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(items);
        }
        let (item, after) = match rest.chars().next()? {
            quote @ ('\'' | '"') => quoted(&rest[1..], quote)?,
            _ => bare(rest)?,
        };
        items.push(item.trim().to_owned());
        rest = after.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?;
        }
    }
}

fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut item = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next()?.1 {
                escaped if escaped == quote || escaped == '\\' => item.push(escaped),
                // As in Python, a backslash before any other character (`\d`) stays.
                other => item.extend(['\\', other]),
            },
            _ if c == quote => return Some((item, &text[at + c.len_utf8()..])),
            _ => item.push(c),
        }
    }
    None
}

fn bare(text: &str) -> Option<(String, &str)> {
    let end = text.find(',').unwrap_or(text.len());
    let item = text[..end].trim();
    let known = item.parse::<f64>().is_ok() || matches!(item, "True" | "False" | "None");
    known.then(|| (item.to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_and_texts_that_mean_lists() {
        let table: [(Value, &[&str]); 12] = [
            (json!(["/proc", " /sys "]), &["/proc", "/sys"]),
            (json!([0, 1000]), &["0", "1000"]),
            (json!("1000"), &["1000"]),
            (json!(1000), &["1000"]),
            (json!("['/proc*', \"/sys*\"]"), &["/proc*", "/sys*"]),
            (json!("/proc*, /sys*"), &["/proc*", "/sys*"]),
            (json!("('a,b', 3)"), &["a,b", "3"]),
            (json!(r"['\d+', 'it\'s']"), &[r"\d+", "it's"]),
            (json!("[a-z]"), &["[a-z]"]),
            (json!("[/proc*, /sys*]"), &["[/proc*", "/sys*]"]),
            (json!(true), &["True"]),
            (json!(""), &[]),
        ];
        for (value, expected) in table {
            assert_eq!(entries(&value).unwrap(), expected, "{value}");
        }
        assert_eq!(entries(&json!({"a": 1})), None);
        assert_eq!(entries(&json!([["a"]])), None);
    }
}
