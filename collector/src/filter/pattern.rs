//! Patterns as Python's `re.search` finds them, many at once.

use fancy_regex::Regex as FancyRegex;
use regex::{Regex, RegexSet};

/// Patterns of one setting, compiled once.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    set: Option<RegexSet>,
    /// What the fast engine refuses: look-around, back-references.
    fancy: Vec<FancyRegex>,
}

impl Patterns {
    /// # Errors
    /// Each pattern that neither engine understands, by its place in the list, with what is wrong.
    pub(super) fn compile(patterns: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let (mut plain, mut fancy, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (place, pattern) in patterns.iter().enumerate() {
            let pattern = translate(pattern);
            if Regex::new(&pattern).is_ok() {
                plain.push(pattern);
                continue;
            }
            match FancyRegex::new(&pattern) {
                Ok(regex) => fancy.push(regex),
                Err(cause) => problems.push((place, one_line(&cause.to_string()))),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let set = match RegexSet::new(&plain) {
            _ if plain.is_empty() => None,
            Ok(set) => Some(set),
            // Each is fine by itself, so together they are too large.
            Err(cause) => {
                return Err(vec![(0, format!("all patterns together: {}", one_line(&cause.to_string())))]);
            }
        };
        Ok(Self { set, fancy })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_none() && self.fancy.is_empty()
    }

    /// Whether one of them is found in `text`. Empty text holds nothing.
    pub(super) fn found_in(&self, text: &str) -> bool {
        if text.is_empty() {
            return false;
        }
        self.set.as_ref().is_some_and(|set| set.is_match(text))
            // A search that goes on for too long (the text comes from a traced process) finds nothing: when in
            // doubt the row is kept.
            || self.fancy.iter().any(|regex| regex.is_match(text).unwrap_or(false))
    }
}

/// Python's `\Z` (the very end) is `\z` here.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '\\' {
            out.extend(chars.next().map(|escaped| if escaped == 'Z' { 'z' } else { escaped }));
        }
    }
    out
}

/// Both engines explain themselves over several lines, with the pattern and an arrow; the last line says it.
fn one_line(message: &str) -> String {
    let last = message.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or(message);
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str, text: &str) -> bool {
        Patterns::compile(&[pattern.to_owned()]).unwrap().found_in(text)
    }

    #[test]
    fn search_is_pythons() {
        let table = [
            ("/proc", "/srv/proc/x", true),
            ("^/proc", "/srv/proc/x", false),
            ("/lib", "/home/alice/library/x", true),
            (".", "x", true),
            (".*", "", false),
            ("(?!/proc/)", "/proc/1", true),
            ("^(?!/proc/)", "/proc/1", false),
            ("^(?!/proc/)", "/etc/passwd", true),
            (r"(.)\1", "book", true),
            (r"end\Z", "the end", true),
            (r"(?P<ext>\.so)$", "libc.so", true),
            ("ü", "grün", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(found(pattern, text), expected, "{pattern} in {text}");
        }
    }

    #[test]
    fn a_bad_pattern_is_told_with_its_place() {
        let problems = Patterns::compile(&["ok".into(), "(".into(), "[b-a]".into()]).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.0).collect::<Vec<_>>(), [1, 2]);
        assert!(!problems[0].1.is_empty() && !problems[0].1.contains('\n'), "{problems:?}");
    }

    #[test]
    fn a_search_that_does_not_end_keeps_the_row() {
        assert!(!found(r"^(?=(a+)+$)\1b", &"a".repeat(100_000)));
    }
}
