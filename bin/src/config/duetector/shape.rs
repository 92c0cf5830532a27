//! Converts duetector's values to ours. A value that duetector misreads (it takes the text `false` for true) is read as
//! it was meant.

use std::path::Path;

use toml::Value;

/// The type of a value, and its conversion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A truth value.
    Truth,
    /// A truth value, negated here.
    Untruth,
    /// A whole number.
    Whole,
    /// A number of milliseconds, which becomes a duration between `least` and `most`.
    Millis {
        least: u64,
        most: u64,
    },
    /// A number of seconds, which becomes a duration of at least `least_ms` milliseconds.
    Seconds {
        least_ms: u64,
    },
    Text,
    /// A command: program and arguments.
    Words,
    /// The URL of a database for SQLAlchemy, which becomes the path of a file.
    Store,
    /// Any value, unchanged.
    Any,
}

/// A converted value.
#[derive(Debug, PartialEq)]
pub(super) struct Shaped {
    pub(super) value: Value,
    /// The part of the value that could not be kept.
    pub(super) note: Option<String>,
}

impl Shape {
    /// Converts a value. `folder` is the base of relative paths.
    ///
    /// # Errors
    /// The expected value.
    pub(super) fn form(self, value: &Value, folder: &Path) -> Result<Shaped, String> {
        let plain = |value: Value| Shaped { value, note: None };
        let found = |expected: &str| format!("expected {expected}, found {value}");
        match self {
            Self::Truth => {
                truth(value).map(|truth| plain(truth.into())).ok_or_else(|| found("true or false"))
            }
            Self::Untruth => {
                truth(value).map(|truth| plain((!truth).into())).ok_or_else(|| found("true or false"))
            }
            Self::Whole => {
                let whole = number(value).filter(|number| number.fract() == 0.0 && *number >= 0.0);
                whole.map(|whole| plain(Value::Integer(whole as i64))).ok_or_else(|| found("a whole number"))
            }
            Self::Millis { least, most } => {
                let millis = number(value).ok_or_else(|| found("a number of milliseconds"))?;
                period(millis, least, most).ok_or_else(|| found("a number of milliseconds"))
            }
            Self::Seconds { least_ms } => {
                let seconds = number(value).ok_or_else(|| found("a number of seconds"))?;
                period(seconds * 1000.0, least_ms, u64::MAX).ok_or_else(|| found("a number of seconds"))
            }
            Self::Text => match value {
                Value::String(_) => Ok(plain(value.clone())),
                Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
                    Ok(plain(value.to_string().into()))
                }
                _ => Err(found("text")),
            },
            Self::Words => match value {
                // Python's Popen takes a text as the name of a program without arguments.
                Value::String(program) => Ok(plain(Value::Array(vec![program.as_str().into()]))),
                Value::Array(_) => Ok(plain(value.clone())),
                _ => Err(found("a list: the program and its arguments")),
            },
            Self::Store => store(value.as_str().ok_or_else(|| found("text"))?, folder),
            Self::Any => Ok(plain(value.clone())),
        }
    }
}

/// Reads a truth value in any of its spellings.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(truth) => Some(*truth),
        Value::Integer(number) => Some(*number != 0),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" | "none" | "" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Formats a duration as our settings have it, limited to its bounds.
fn period(millis: f64, least: u64, most: u64) -> Option<Shaped> {
    // Refuses more than 31 years, and numbers that a u64 can't hold.
    let micros = Some(millis * 1000.0).filter(|micros| (0.0..1e15).contains(micros))?.round() as u64;
    let bounded = micros.clamp(least * 1000, most.saturating_mul(1000));
    let words = match bounded {
        whole if whole % 1_000_000 == 0 => format!("{}s", whole / 1_000_000),
        whole if whole % 1000 == 0 => format!("{}ms", whole / 1000),
        other => format!("{other}us"),
    };
    let note = (bounded != micros).then(|| format!("out of range: {words} is used instead"));
    Some(Shaped { value: words.into(), note })
}

/// Returns the file that SQLAlchemy would open if it ran in that folder.
fn store(url: &str, folder: &Path) -> Result<Shaped, String> {
    let not_sqlite = || {
        let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
        // Only the scheme is shown: the rest may contain a password.
        format!(
            "a database of kind {scheme:?}: only SQLite files can be written, as sqlite:///file (relative to the \
             current folder) or sqlite:////path/of/file"
        )
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(not_sqlite)?;
    if scheme != "sqlite" && !scheme.starts_with("sqlite+") {
        return Err(not_sqlite());
    }
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let path = path.strip_prefix('/').ok_or("a SQLite file on another machine, expected sqlite:///file")?;
    if path.is_empty() || path == ":memory:" {
        return Err("a database in memory, which is lost when the agent stops: name a file, or enable `collector.memory` \
                    in a configuration in the agent's own format"
            .to_owned());
    }
    if path.starts_with("file:") {
        return Err("a SQLite URI, expected a path: sqlite:///file".to_owned());
    }
    let path = folder.join(path);
    let path = path.to_str().ok_or("the name of the current folder is not UTF-8: write the whole path")?;
    let note = query.map(|query| format!("the file is opened without {query:?}"));
    Ok(Shaped { value: path.into(), note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formed(shape: Shape, value: impl Into<Value>) -> Result<(Value, bool), String> {
        let shaped = shape.form(&value.into(), Path::new("/start"))?;
        Ok((shaped.value, shaped.note.is_some()))
    }

    #[test]
    fn the_text_false_is_false() {
        for (value, expected) in [("false", false), ("False", false), ("1", true), ("", false)] {
            assert_eq!(formed(Shape::Truth, value), Ok((expected.into(), false)), "{value}");
        }
        assert_eq!(formed(Shape::Untruth, true), Ok((false.into(), false)));
        assert!(formed(Shape::Truth, "maybe").unwrap_err().starts_with("expected true or false"));
    }

    #[test]
    fn durations_are_formatted_and_limited() {
        let millis = Shape::Millis { least: 10, most: 60_000 };
        let table: [(Value, &str, bool); 6] = [
            (500.into(), "500ms", false),
            ("500".into(), "500ms", false),
            (1000.into(), "1s", false),
            (1.into(), "10ms", true),
            (90_000.into(), "60s", true),
            (10.5.into(), "10500us", false),
        ];
        for (value, expected, noted) in table {
            assert_eq!(formed(millis, value.clone()), Ok((expected.into(), noted)), "{value}");
        }
        let seconds = Shape::Seconds { least_ms: 0 };
        assert_eq!(formed(seconds, 0.01), Ok(("10ms".into(), false)));
        assert_eq!(formed(seconds, 5), Ok(("5s".into(), false)));
        assert!(formed(seconds, -1).is_err() && formed(seconds, f64::NAN).is_err());
    }

    #[test]
    fn the_store_is_a_file() {
        let table = [
            ("sqlite:///x.sqlite3", "/start/x.sqlite3", false),
            ("sqlite:////var/x", "/var/x", false),
            ("sqlite+pysqlite:///x", "/start/x", false),
            ("sqlite:///x?timeout=60", "/start/x", true),
        ];
        for (url, expected, noted) in table {
            assert_eq!(formed(Shape::Store, url), Ok((expected.into(), noted)), "{url}");
        }
        let refused = formed(Shape::Store, "postgresql://user:secret@host/db").unwrap_err();
        assert!(refused.contains("\"postgresql\"") && !refused.contains("secret"), "{refused}");
        for url in [
            "x.sqlite3",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
            "sqlite://host/x",
            "sqlite:///file:x",
        ] {
            assert!(formed(Shape::Store, url).is_err(), "{url}");
        }
        assert!(formed(Shape::Store, 1).is_err());
    }

    #[test]
    fn commands_texts_and_numbers() {
        assert_eq!(formed(Shape::Words, "uname"), Ok((Value::Array(vec!["uname".into()]), false)));
        assert_eq!(formed(Shape::Text, 5), Ok(("5".into(), false)));
        assert_eq!(formed(Shape::Whole, "3"), Ok((3.into(), false)));
        assert!(formed(Shape::Whole, 1.5).is_err());
    }
}
