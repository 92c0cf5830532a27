//! Rewrites anchored regular expressions as the prefixes that matching texts begin with.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use model::pushdown::Prefix;

/// Largest number of texts that one pattern may be rewritten as.
const MAX_TEXTS: usize = 256;
/// Largest number of characters in a class that is rewritten one by one.
const MAX_CLASS: usize = 8;

/// A beginning of matching texts, as far as the pattern has been read.
#[derive(Clone, Debug, Default)]
struct Begun {
    text: String,
    anchored: bool,
    /// True if the text must end here.
    ended: bool,
}

/// Returns prefixes of paths in which the pattern certainly matches, and whether it matches in no other path. The
/// pattern has the syntax of [`regex`] and may match anywhere in the path unless it is anchored.
pub fn prefixes_of(pattern: &str) -> (Vec<Prefix>, bool) {
    let Ok(hir) = regex_syntax::Parser::new().parse(pattern) else { return (Vec::new(), false) };
    let mut exact = true;
    let begun = go_on(vec![Begun::default()], &hir, true, &mut exact);
    let found: Vec<_> = begun
        .iter()
        .map(|begun| if begun.anchored { Prefix::new(&begun.text, begun.ended) } else { None })
        .collect();
    exact &= !found.is_empty() && found.iter().all(Option::is_some);
    (found.into_iter().flatten().collect(), exact)
}

/// Extends each beginning by one part of the pattern. Beginnings that a prefix can't express are dropped, and `exact`
/// becomes false. `last` is true for the last part of the pattern.
fn go_on(begun: Vec<Begun>, hir: &Hir, last: bool, exact: &mut bool) -> Vec<Begun> {
    let next = match hir.kind() {
        HirKind::Empty => begun,
        HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
            Ok(text) => append(begun, &[text.to_owned()], exact),
            Err(_) => Vec::new(),
        },
        HirKind::Class(class) => append(begun, &members(class), exact),
        HirKind::Look(Look::Start) => {
            let at_start = |begun: &Begun| begun.text.is_empty();
            *exact &= begun.iter().all(at_start);
            begun.into_iter().filter(at_start).map(|begun| Begun { anchored: true, ..begun }).collect()
        }
        HirKind::Look(Look::End) => begun.into_iter().map(|begun| Begun { ended: true, ..begun }).collect(),
        HirKind::Look(_) => Vec::new(),
        HirKind::Capture(capture) => go_on(begun, &capture.sub, last, exact),
        HirKind::Concat(parts) => concat(begun, parts, last, exact),
        HirKind::Alternation(parts) => {
            parts.iter().flat_map(|part| go_on(begun.clone(), part, last, exact)).collect()
        }
        HirKind::Repetition(repetition) if repetition.min == 0 && repetition.max == Some(1) => {
            let once = go_on(begun.clone(), &repetition.sub, false, exact);
            begun.into_iter().chain(once).collect()
        }
        HirKind::Repetition(_) => Vec::new(),
    };
    *exact &= !next.is_empty();
    if next.len() > MAX_TEXTS {
        *exact = false;
        return Vec::new();
    }
    next
}

/// Extends each beginning by a sequence of parts. An optional part at the end of the pattern requires nothing, so it is
/// skipped.
fn concat(mut begun: Vec<Begun>, parts: &[Hir], last: bool, exact: &mut bool) -> Vec<Begun> {
    let asks = |part: &Hir| !last || !matches!(part.kind(), HirKind::Repetition(it) if it.min == 0);
    let end = parts.iter().rposition(asks).map_or(0, |last| last + 1);
    for (at, part) in parts[..end].iter().enumerate() {
        begun = go_on(begun, part, last && at + 1 == end, exact);
    }
    begun
}

fn append(begun: Vec<Begun>, texts: &[String], exact: &mut bool) -> Vec<Begun> {
    let open = |begun: &Begun| begun.anchored && !begun.ended;
    *exact &= begun.iter().all(open);
    let with =
        |begun: Begun| texts.iter().map(move |text| Begun { text: begun.text.clone() + text, ..begun });
    begun.into_iter().filter(open).flat_map(with).collect()
}

/// Returns the characters of a small class; none for a large one.
fn members(class: &Class) -> Vec<String> {
    let Class::Unicode(class) = class else { return Vec::new() };
    let all = class.iter().flat_map(|range| range.start()..=range.end());
    let some: Vec<_> = all.take(MAX_CLASS + 1).map(String::from).collect();
    if some.len() > MAX_CLASS { Vec::new() } else { some }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pattern: &str) -> String {
        let (prefixes, exact) = prefixes_of(pattern);
        let shown = |it: &Prefix| format!("{}{}", it.text, if it.whole { "$" } else { "" });
        let all: Vec<_> = prefixes.iter().map(shown).collect();
        format!("{}{}", all.join(" "), if exact { "" } else { " …" })
    }

    #[test]
    fn anchored_patterns_are_prefixes() {
        let table = [
            ("^/proc/", "/proc/"),
            ("^/proc/.*", "/proc/"),
            ("^/dev/(null|zero|u?random)$", "/dev/null$ /dev/zero$ /dev/random$ /dev/urandom$"),
            ("^(/a|/b)", "/a /b"),
            (r"^/etc/ld\.so\.(cache|preload)$", "/etc/ld.so.cache$ /etc/ld.so.preload$"),
            ("^/usr/share/(locale|perl[^/]*)/", "/usr/share/locale/ …"),
            ("^/lib(32|64)?/x", "/lib/x /lib32/x /lib64/x"),
            ("/proc/", " …"),
            ("^proc", " …"),
            ("^/a+", " …"),
            ("^/a.b", " …"),
            ("x^/a", " …"),
            ("^/a|/b", "/a …"),
            (r"^/a\\b", " …"),
            ("(?i)^/a", "/A /a"),
        ];
        for (pattern, expected) in table {
            assert_eq!(shown(pattern), expected, "{pattern}");
        }
    }

    /// A text with one of the prefixes matches; if the prefixes are exact, no other text matches.
    #[test]
    fn prefixes_match_what_the_pattern_matches() {
        let patterns = [
            "^/ab?(c|/d)",
            "^/(a|b|)x",
            "^(/a|b)",
            "^/a(b*)c",
            "^/[ab]/c$",
            "^/a$|^/b",
            "^(?:/a)?/b",
            "^/a(b$|c)d",
            "^/a(b$|c)",
            "(^/a|/b)c",
            "^/(a|b)*",
            "^/a\\b",
            "^/a(x|b[^/]*)/c",
            "^/(a|bx*)",
            "^/(a[^/]*)?c",
            "^$",
            "^",
            "^/a[^b]*$",
        ];
        let pieces = ["/", "a", "b", "c", "x", "d"];
        for pattern in patterns {
            let regex = regex::Regex::new(pattern).unwrap();
            let (prefixes, exact) = prefixes_of(pattern);
            for number in 0..6_usize.pow(5) {
                let text: String = (0..5_u32).map(|at| pieces[number / 6_usize.pow(at) % 6]).collect();
                for text in [&text[..], &text[..3], &text[..1], &text[..2]] {
                    let begins =
                        |it: &Prefix| if it.whole { text == it.text } else { text.starts_with(&it.text) };
                    let said = prefixes.iter().any(begins);
                    assert!(!said || regex.is_match(text), "{pattern} in {text}");
                    assert!(!exact || said == regex.is_match(text), "{pattern} exactly in {text}");
                }
            }
        }
    }
}
