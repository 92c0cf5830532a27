//! Names of files as tables print them, so that they can be typed again as targets: in bash, and as text that a program gets as it is.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::render::escape::is_hostile;

/// Returns a name as a word: as it is if it has only characters that mean themselves, else as `$'…'`. Bash turns this into the name, and
/// [`unquoted`] does the same. Characters of patterns are in brackets, so that as a target it stands for this name only.
///
/// ```
/// assert_eq!(analyzer::quoting::quoted("/data/x.csv"), "/data/x.csv");
/// assert_eq!(analyzer::quoting::quoted("/data/it's\n[1]"), r"$'/data/it\'s\n[[]1]'");
/// ```
pub fn quoted(name: &str) -> Cow<'_, str> {
    if !name.is_empty() && name.chars().all(is_plain) && !name.starts_with('~') {
        return Cow::Borrowed(name);
    }
    let mut word = String::with_capacity(name.len() + 16);
    word.push_str("$'");
    for one in name.chars() {
        match one {
            '\n' => word.push_str("\\n"),
            '\r' => word.push_str("\\r"),
            '\t' => word.push_str("\\t"),
            '\\' | '\'' => word.extend(['\\', one]),
            '*' | '?' | '[' => word.extend(['[', one, ']']),
            one if is_hostile(one) => {
                for byte in one.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String can't fail.
                    let _ = write!(word, "\\x{byte:02x}");
                }
            }
            one => word.push(one),
        }
    }
    word.push('\'');
    Cow::Owned(word)
}

/// Returns the bytes that a word `$'…'` stands for; `None` if the text is no such word.
pub fn unquoted(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text.strip_prefix(b"$'")?.strip_suffix(b"'")?;
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        if *first == b'\'' {
            return None;
        }
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (kind, after) = after.split_first()?;
        let (byte, after) = match kind {
            b'n' => (b'\n', after),
            b'r' => (b'\r', after),
            b't' => (b'\t', after),
            b'\\' | b'\'' | b'"' | b'?' => (*kind, after),
            b'x' => hex(after)?,
            _ => return None,
        };
        bytes.push(byte);
        rest = after;
    }
    Some(bytes)
}

/// Returns the byte that one or two hexadecimal digits stand for, and what follows them.
fn hex(text: &[u8]) -> Option<(u8, &[u8])> {
    let count = text.iter().take(2).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let digits = std::str::from_utf8(&text[..count]).ok()?;
    Some((u8::from_str_radix(digits, 16).ok()?, &text[count..]))
}

/// Returns whether a character means itself to a shell, in a pattern and on a terminal.
fn is_plain(one: char) -> bool {
    let is_word = one.is_ascii_alphanumeric() || "/._-+:,@%=^~".contains(one);
    is_word || (!one.is_ascii() && !one.is_whitespace() && !is_hostile(one))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;
    use std::process::Command;

    use model::Text;
    use proptest::prelude::*;

    use super::*;
    use crate::target::Target;

    #[test]
    fn names_with_nothing_special_are_as_they_are() {
        for name in ["/data/x.csv", "/srv/Zürich/日本", "/a-b_c+d:e,f@g%h=i^j~"] {
            assert!(matches!(quoted(name), Cow::Borrowed(_)), "{name}");
        }
        assert_eq!(quoted("/nl\nname\u{1b}[31mRED"), r"$'/nl\nname\x1b[[]31mRED'");
        assert_eq!(quoted("/a b\u{202e}"), r"$'/a b\xe2\x80\xae'");
        for wrong in ["", "x", "$'", "$'a", r"$'a\'", r"$'\q'", "$'a'b'", r"$'\x'"] {
            assert_eq!(unquoted(wrong.as_bytes()), None, "{wrong}");
        }
    }

    fn parsed(text: &[u8]) -> Target {
        Target::parse(OsStr::from_bytes(text), Path::new("/")).unwrap()
    }

    /// Returns the word as bash passes it to a program.
    fn by_bash(word: &str) -> Vec<u8> {
        let mut command = Command::new("bash");
        let output = command.args(["-c", &format!("printf %s {word}")]).env("LC_ALL", "C").output().unwrap();
        assert!(output.status.success(), "{word}");
        output.stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_printed_name_is_that_target_again(parts in proptest::collection::vec(part(), 1..12)) {
            let bytes = parts.concat();
            prop_assume!(!matches!(bytes.last(), Some(b'/')) && !bytes.contains(&0));
            let name = [b"/d", bytes.as_slice()].concat();
            let shown = Text::from_bytes(&name).to_str().into_owned();
            let word = quoted(&shown);
            prop_assert!(!word.chars().any(is_hostile), "{}", word);
            let expected = Target::Path(shown.clone());
            prop_assert_eq!(parsed(word.as_bytes()), expected.clone());
            prop_assert_eq!(parsed(&by_bash(&word)), expected);
        }
    }

    /// Returns parts of names that need care.
    fn part() -> impl Strategy<Value = Vec<u8>> {
        let known = [
            "\n",
            "\u{1b}[31m",
            "[",
            "]",
            "*",
            "?",
            "'",
            "\\",
            "\\x41",
            "$'",
            "\"",
            " ",
            "~",
            "\u{202e}",
            "\u{9b}",
            "`id`",
            "!",
            "é",
        ];
        prop_oneof![
            proptest::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
            "[a-z0-9]{1,4}".prop_map(String::into_bytes),
            Just(b"\xff".to_vec()),
            any::<char>()
                .prop_filter("no part of a path", |one| !"/.".contains(*one))
                .prop_map(|one| one.to_string().into_bytes()),
        ]
    }
}
