//! Makes text from traced processes harmless for terminals: nothing in it moves the cursor, changes colours, breaks a
//! line or reverses the reading direction.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes control characters and invisible characters as `\n`, `\t`, `\x1b`, `\u{202e}`.
///
/// ```
/// assert_eq!(analyzer::render::escape::visible("a\x1b[2Jb\n"), r"a\x1b[2Jb\n");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        let number = u32::from(character);
        // Writing to a String can't fail.
        let _ = match character {
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            _ if !is_hostile(character) => out.write_char(character),
            _ if number < 0x80 => write!(out, "\\x{number:02x}"),
            _ => write!(out, "\\u{{{number:x}}}"),
        };
    }
    Cow::Owned(out)
}

/// True if a terminal does anything with the character but show it.
pub fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Separators that end lines, marks that change the reading direction, characters without width.
            '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{061c}' | '\u{00ad}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn harmless_text_is_unchanged() {
        assert!(matches!(visible("Zürich/日本/\\x"), Cow::Borrowed("Zürich/日本/\\x")));
        assert_eq!(visible("\u{9b}31m\u{202e}\u{7f}"), "\\u{9b}31m\\u{202e}\\x7f");
    }

    proptest! {
        #[test]
        fn nothing_hostile_remains(text in any::<String>()) {
            prop_assert!(!visible(&text).chars().any(is_hostile));
        }
    }
}
