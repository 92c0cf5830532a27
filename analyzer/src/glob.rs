//! Patterns of paths: `*` stands for any characters but `/`, `**` for any characters, `?` for one character but `/`, `[…]` for one of a
//! list. A backslash is an ordinary character, since names that are not UTF-8 have it in rows (`\xNN`).

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A pattern of paths.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    /// The text that each matching path begins with.
    prefix: String,
    /// True if no other path matches than `prefix`.
    is_name: bool,
    regex: Regex,
}

/// A part of a pattern.
enum Part {
    /// A character that stands for itself.
    Literal(char),
    /// A part of a regular expression.
    Expression(String),
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Glob {
    /// Returns whether a text has characters that mean more than themselves.
    pub(crate) fn is_one(text: &str) -> bool {
        text.contains(['*', '?', '['])
    }

    /// Parses a pattern.
    ///
    /// # Errors
    /// The reason why it is none, as text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut pattern, mut prefix, mut is_literal) = (String::from(r"(?s)\A"), String::new(), true);
        let mut rest = text.chars().peekable();
        while let Some(first) = rest.next() {
            let part = match first {
                '*' => Part::Expression(stars(&mut rest).to_owned()),
                '?' => Part::Expression("[^/]".to_owned()),
                '[' => class(&mut rest)?,
                other => Part::Literal(other),
            };
            match part {
                Part::Literal(one) => {
                    pattern.push_str(&regex::escape(one.encode_utf8(&mut [0; 4])));
                    if is_literal {
                        prefix.push(one);
                    }
                }
                Part::Expression(expression) => {
                    pattern.push_str(&expression);
                    is_literal = false;
                }
            }
        }
        pattern.push_str(r"\z");
        let regex = Regex::new(&pattern).map_err(|cause| cause.to_string())?;
        Ok(Self { text: text.to_owned(), prefix, is_name: is_literal, regex })
    }

    /// Returns the text that each matching path begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the only path that matches, if there is only one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.is_name.then_some(&self.prefix)
    }

    /// Returns the regular expression of whole paths.
    pub fn expression(&self) -> &str {
        self.regex.as_str()
    }

    /// Returns whether a path matches.
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }

    /// Returns the pattern as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Returns the expression for one or more stars, of which the first was read.
fn stars(rest: &mut Peekable<Chars<'_>>) -> &'static str {
    let mut count = 1;
    while rest.next_if_eq(&'*').is_some() {
        count += 1;
    }
    if count == 1 {
        return "[^/]*";
    }
    // `a/**/b` is also `a/b`.
    if rest.next_if_eq(&'/').is_some() { "(?:.*/)?" } else { ".*" }
}

/// Returns a list of characters, of which the bracket was read. A `]` that comes first is one of them.
fn class(rest: &mut Peekable<Chars<'_>>) -> Result<Part, String> {
    let is_negated = rest.next_if(|next| matches!(next, '!' | '^')).is_some();
    let mut members = Vec::new();
    loop {
        match rest.next() {
            None => {
                return Err(
                    "it has a [ without a ]; a bracket that is part of a name is written [[]".to_owned()
                );
            }
            Some(']') if !members.is_empty() => break,
            Some(member) => members.push(member),
        }
    }
    if let ([one], false) = (members.as_slice(), is_negated) {
        return Ok(Part::Literal(*one));
    }
    let mut expression = String::from(if is_negated { "[^/" } else { "[" });
    let mut index = 0;
    while index < members.len() {
        let escaped = |member: char| regex::escape(member.encode_utf8(&mut [0; 4]));
        let first = members[index];
        if members.get(index + 1) == Some(&'-')
            && let Some(last) = members.get(index + 2)
        {
            if *last < first {
                return Err(format!("it has the list {first}-{last}, which is empty"));
            }
            expression.push_str(&format!("{}-{}", escaped(first), escaped(*last)));
            index += 3;
        } else {
            expression.push_str(&escaped(first));
            index += 1;
        }
    }
    expression.push(']');
    Ok(Part::Expression(expression))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, prefix: &str, matching: &[&str], others: &[&str]) {
        let glob = Glob::parse(pattern).unwrap();
        assert_eq!(glob.prefix(), prefix, "{pattern}");
        matching.iter().for_each(|path| assert!(glob.matches(path), "{pattern} {path}"));
        others.iter().for_each(|path| assert!(!glob.matches(path), "{pattern} {path}"));
    }

    #[test]
    fn stars_end_at_a_slash_unless_there_are_two() {
        check(
            "/data/*.csv",
            "/data/",
            &["/data/a.csv", "/data/.csv"],
            &["/data/a/b.csv", "/data/a.csv2", "x/data/a.csv"],
        );
        check("/data/**", "/data/", &["/data/a", "/data/a/b\nc"], &["/data", "/database/x"]);
        check("/**/x.csv", "/", &["/x.csv", "/a/b/x.csv"], &["/a/ax.csv"]);
        check("/a?c", "/a", &["/abc", "/a\u{e9}c"], &["/ac", "/a/c"]);
    }

    #[test]
    fn lists_stand_for_one_character_and_name_special_ones() {
        check("/[a-c]x", "/", &["/ax", "/cx"], &["/dx", "/-x"]);
        check("/[!a]x", "/", &["/bx"], &["/ax", "//x"]);
        check("/a[*]b[[]c[]]*", "/a*b[c]", &["/a*b[c]", "/a*b[c]d"], &["/aXb[c]"]);
        check("/[]-]", "/", &["/]", "/-"], &["/a"]);
        check(r"/caf\xe9*", r"/caf\xe9", &[r"/caf\xe9.txt"], &["/café"]);
        for wrong in ["/[", "/[]", "/a[b", "/[z-a]"] {
            assert!(Glob::parse(wrong).is_err(), "{wrong}");
        }
    }
}
