//! Translates Python's patterns into the syntax of the regex engines used here. A pattern that has another meaning
//! here and can't be translated is refused.

/// Escapes with the same meaning here, and those that Python does not have (`\p{…}`, `\z`).
const ESCAPES: &str = "AbBdDsSwWZafnrtvxuUpPz";

/// A translated pattern.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) pattern: String,
    /// True if the fast engine would give the pattern another meaning.
    pub(super) backtracks: bool,
}

/// Translates a pattern.
///
/// # Errors
/// The part of the pattern that is invalid in Python, or has another meaning here.
pub(super) fn translate(pattern: &str) -> Result<Translated, String> {
    let mut out = Translated { pattern: String::with_capacity(pattern.len()), backtracks: false };
    let mut rest = pattern.chars().peekable();
    // Number of characters since a class was opened; `None` outside.
    let mut class: Option<u32> = None;
    let mut repeated = false;
    while let Some(c) = rest.next() {
        let was_repeated = std::mem::replace(&mut repeated, false);
        match (c, class) {
            ('\\', _) => {
                let Some(escaped) = rest.next() else { return Err("a backslash at its end".to_owned()) };
                out.pattern.push_str(&escape(escaped, class.is_some())?);
            }
            ('[', None) => {
                out.pattern.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.pattern.push('^');
                }
                if rest.next_if_eq(&']').is_some() {
                    out.pattern.push_str("\\]");
                }
                class = Some(0);
                continue;
            }
            (']', Some(_)) => {
                out.pattern.push(']');
                class = None;
                continue;
            }
            // Python has no nested classes and no set operations: there these are ordinary characters.
            ('[' | '&' | '~', Some(_)) => out.pattern.extend(['\\', c]),
            ('-', Some(_)) if rest.peek() == Some(&'-') => {
                return Err("\"--\" in a class; write \"\\-\" for a minus".to_owned());
            }
            // Possessive repetition (Python 3.11), which the fast engine takes for a repetition of a repetition.
            ('+', None) if was_repeated => {
                out.pattern.push('+');
                out.backtracks = true;
                continue;
            }
            ('{', None) if rest.peek() == Some(&',') => out.pattern.push_str("{0"),
            (c, _) => {
                repeated = class.is_none() && matches!(c, '*' | '+' | '?' | '}') && !was_repeated;
                out.pattern.push(c);
                // `(?` begins a group and repeats nothing.
                repeated &= !(c == '?' && out.pattern.ends_with("(?"));
            }
        }
        class = class.map(|count| count + 1);
    }
    Ok(out)
}

fn escape(escaped: char, in_class: bool) -> Result<String, String> {
    match escaped {
        // Python's escape for the end of the text.
        'Z' if !in_class => Ok("\\z".to_owned()),
        'b' if in_class => Ok("\\x08".to_owned()),
        '0' => Ok("\\x00".to_owned()),
        c if c.is_ascii_alphabetic() && !ESCAPES.contains(c) => Err(format!("bad escape \\{c}")),
        // Word boundaries here, ordinary characters in Python.
        '<' | '>' => Ok(escaped.to_string()),
        c if c.is_ascii_alphanumeric() || c.is_ascii_punctuation() => Ok(format!("\\{c}")),
        // All other characters need no escape.
        c => Ok(regex::escape(c.encode_utf8(&mut [0; 4]))),
    }
}
