//! Matches many patterns at once, with the meaning of Python's `re.search`.

use fancy_regex::Regex as FancyRegex;
use regex::{Regex, RegexSet};

use super::python::translate;

/// Compiled patterns of one setting.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    set: Option<RegexSet>,
    /// Patterns that the fast engine does not support: look-around, back-references.
    fancy: Vec<FancyRegex>,
}

impl Patterns {
    /// Compiles patterns.
    ///
    /// # Errors
    /// Each pattern that neither engine accepts, by its index in the list, with the cause.
    pub(super) fn compile(patterns: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let (mut plain, mut fancy, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (index, pattern) in patterns.iter().enumerate() {
            match compile(pattern) {
                Ok(Compiled::Plain(pattern)) => plain.push(pattern),
                Ok(Compiled::Fancy(regex)) => fancy.push(*regex),
                Err(cause) => problems.push((index, cause)),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let set = match RegexSet::new(&plain) {
            _ if plain.is_empty() => None,
            Ok(set) => Some(set),
            // Each pattern is valid by itself, so together they are too large.
            Err(cause) => {
                return Err(vec![(0, format!("all patterns together: {}", one_line(&cause.to_string())))]);
            }
        };
        Ok(Self { set, fancy })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_none() && self.fancy.is_empty()
    }

    /// Returns whether a pattern is found in `text`. Nothing is found in empty text.
    pub(super) fn found_in(&self, text: &str) -> bool {
        if text.is_empty() {
            return false;
        }
        self.set.as_ref().is_some_and(|set| set.is_match(text))
            // A search that takes too long (the text comes from a traced process) counts as not found, so the row is
            // kept.
            || self.fancy.iter().any(|regex| regex.is_match(text).unwrap_or(false))
    }
}

enum Compiled {
    Plain(String),
    Fancy(Box<FancyRegex>),
}

fn compile(pattern: &str) -> Result<Compiled, String> {
    let translated = translate(pattern)?;
    if !translated.backtracks && Regex::new(&translated.pattern).is_ok() {
        return Ok(Compiled::Plain(translated.pattern));
    }
    let fancy = FancyRegex::new(&translated.pattern).map_err(|cause| one_line(&cause.to_string()))?;
    Ok(Compiled::Fancy(Box::new(fancy)))
}

/// Returns whether a pattern is found in any text, which is most likely a mistake: usually an include without its
/// `^`. Tries some texts, and the words of the pattern itself, in which a correct include is not found.
pub(super) fn is_found_in_anything(pattern: &str) -> bool {
    let Ok(patterns) = Patterns::compile(&[pattern.to_owned()]) else { return false };
    let spoken_of = pattern.split(|c: char| !(c.is_alphanumeric() || "/_-".contains(c)));
    let texts = ["x", "0", "1000", "/", "/proc/self/maps", "/data/set.csv", "some text"];
    texts.into_iter().chain(spoken_of.filter(|text| !text.is_empty())).all(|text| patterns.found_in(text))
}

/// Shortens an engine's message, which spans several lines with the pattern and an arrow, to its last line.
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
    fn search_works_as_in_python() {
        let table = [
            ("/proc", "/srv/proc/x", true),
            ("^/proc", "/srv/proc/x", false),
            ("/lib", "/home/alice/library/x", true),
            (".", "x", true),
            (".*", "", false),
            ("(?!/proc/)", "/proc/1", true),
            ("^(?!/proc/)", "/proc/1", false),
            ("^(?!/proc/)", "/etc/passwd", true),
            (r"(.)\1", "boot", true),
            (r"end\Z", "the end", true),
            (r"(?P<ext>\.so)$", "libc.so", true),
            ("ü", "grün", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(found(pattern, text), expected, "{pattern} in {text}");
        }
    }

    #[test]
    fn patterns_that_python_writes_differently_keep_their_meaning() {
        let table = [
            (r"^a{,2}$", "aa", true),
            (r"^a{,2}$", "aaa", false),
            // classes: not nested, no set operations
            (r"[[a]x", "[x", true),
            (r"^[[a]b]$", "b", false),
            (r"^[[a]b]$", "ab]", true),
            (r"^[]a]+$", "]a", true),
            (r"^[^]a]$", "]", false),
            (r"^[a&&b]$", "&", true),
            (r"^[~~x]$", "~", true),
            (r"[\b]", "a\u{8}b", true),
            // escaped characters that mean something else here
            (r"\<x\>", "<x>", true),
            (r"\<x", "x", false),
            (r"\/proc\/\ \'\-\é", "/proc/ '-é", true),
            // possessive
            (r"a++a", "aaa", false),
            (r"(?:ab)++c", "ababc", true),
            (r"a+?b", "aab", true),
            (r"(?P<a>x)(?P=a)", "xx", true),
            (r"(?P<a>x)(?P=a)", "xy", false),
            (r"(?i)ÄB", "äb", true),
            (r"a|b$", "xb", true),
            // not a repetition, so literal characters
            (r"^a{2$", "a{2", true),
            (r"^{x}$", "{x}", true),
        ];
        for (pattern, text, expected) in table {
            assert_eq!(found(pattern, text), expected, "{pattern} in {text}");
        }
        for pattern in [r"\h", r"\K", r"\G", r"x\", r"[a--b]", r"[b-a]", r"(?<=a+)b\y", r"(?a)x"] {
            let problems = Patterns::compile(&[pattern.to_owned()]);
            assert!(problems.is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_is_found_in_any_text_is_detected() {
        for pattern in ["(?!/proc/)", ".*", "", "x*", ".", "^", "(?!/srv/only)", "$", "(?=)"] {
            assert!(is_found_in_anything(pattern), "{pattern}");
        }
        for pattern in
            ["^(?!/proc/)", "^(?!/srv/only)", "^/", "/lib", "^[0-9]+$", "[a-z]", "^(?!/a/|/b/)", "("]
        {
            assert!(!is_found_in_anything(pattern), "{pattern}");
        }
    }

    #[test]
    fn a_bad_pattern_is_reported_with_its_index() {
        let problems = Patterns::compile(&["ok".into(), "(".into(), "[b-a]".into()]).unwrap_err();
        assert_eq!(problems.iter().map(|problem| problem.0).collect::<Vec<_>>(), [1, 2]);
        assert!(!problems[0].1.is_empty() && !problems[0].1.contains('\n'), "{problems:?}");
    }

    #[test]
    fn a_search_that_does_not_end_keeps_the_row() {
        assert!(!found(r"^(?=(a+)+$)\1b", &"a".repeat(100_000)));
    }
}
