//! Patterns as Python writes them, made into what the engines here understand; what means something else here and
//! can't be made so is refused.

/// Escapes that mean the same here, or that are more than Python has (`\p{…}`, `\z`).
const ESCAPES: &str = "AbBdDsSwWZafnrtvxuUpPz";

/// A pattern made ready.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) pattern: String,
    /// The fast engine would take it for something else.
    pub(super) backtracks: bool,
}

/// # Errors
/// What has no meaning in Python, or another than here.
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
            // Classes within classes and operations on them are not Python's: there these are characters.
            ('[' | '&' | '~', Some(_)) => out.pattern.extend(['\\', c]),
            ('-', Some(_)) if rest.peek() == Some(&'-') => {
                return Err("\"--\" in a class; write \"\\-\" for a minus".to_owned());
            }
            // Python 3.11's possessive repetition, which the fast engine takes for a repetition of a repetition.
            ('+', None) if was_repeated => {
                out.pattern.push('+');
                out.backtracks = true;
                continue;
            }
            ('{', None) if rest.peek() == Some(&',') => out.pattern.push_str("{0"),
            (c, _) => {
                repeated = class.is_none() && matches!(c, '*' | '+' | '?' | '}') && !was_repeated;
                out.pattern.push(c);
                // `(?` begins a group; it repeats nothing.
                repeated &= !(c == '?' && out.pattern.ends_with("(?"));
            }
        }
        class = class.map(|count| count + 1);
    }
    Ok(out)
}

fn escape(escaped: char, in_class: bool) -> Result<String, String> {
    match escaped {
        // The very end, in Python's letter.
        'Z' if !in_class => Ok("\\z".to_owned()),
        'b' if in_class => Ok("\\x08".to_owned()),
        '0' => Ok("\\x00".to_owned()),
        c if c.is_ascii_alphabetic() && !ESCAPES.contains(c) => Err(format!("bad escape \\{c}")),
        // Beginning and end of a word here, characters there.
        '<' | '>' => Ok(escaped.to_string()),
        c if c.is_ascii_alphanumeric() || c.is_ascii_punctuation() => Ok(format!("\\{c}")),
        // What needs no escape.
        c => Ok(regex::escape(c.encode_utf8(&mut [0; 4]))),
    }
}
