//! Rewrites serde's error messages in the terms of people who write TOML.

/// Rewrites a message of serde's; other messages are returned as they are.
pub(super) fn in_words(message: &str) -> String {
    match unknown_field(message) {
        Some((name, known)) => unknown_message(&name, &known),
        None => plain_words(message),
    }
}

/// Rewrites a message about a wrong type or value.
fn plain_words(message: &str) -> String {
    let split = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = split.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let expected = match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a section",
        other if other.starts_with("struct ") => "a section",
        other => other,
    };
    format!("expected {expected}, found {found}")
}

/// Returns the name and the known names from serde's "unknown field `x`, expected one of `a`, `b`".
pub(super) fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let rest = message.strip_prefix("unknown field `")?;
    let (name, rest) = rest.split_once('`')?;
    let known = rest.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    Some((name.to_owned(), known))
}

fn unknown_message(name: &str, known: &[String]) -> String {
    let nearest = known.iter().min_by_key(|other| strsim::damerau_levenshtein(name, other));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(name, nearest) > 0.7 => {
            format!("unknown key, did you mean `{nearest}`?")
        }
        _ => format!("unknown key, expected one of: {}", known.join(", ")),
    }
}
