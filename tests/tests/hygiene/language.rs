//! Rules about language: how doc comments begin, which words no identifier uses, and how long the glossary is.

use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::LazyLock;

use proc_macro2::{TokenStream, TokenTree};
use regex::Regex;
use tests::binary::workspace;

use crate::{files, none, relative, rust_files};

/// First words of a doc comment that leave its subject open: the reader has to guess what the comment is about.
const OPENINGS: [&str; 12] =
    ["It", "Its", "It's", "What", "Which", "Whose", "Who", "Whom", "Of", "So", "One", "Those"];

/// Fewer words than this are written only because a comment is expected.
const FEWEST_WORDS: usize = 3;

/// Words that once meant several things each in this code, as whole parts of identifiers. The field's own words replace
/// them; see `docs/GLOSSARY.md`.
const BANNED: [&str; 36] = [
    "turn",
    "turns",
    "turned",
    "turning",
    "told",
    "tell",
    "tells",
    "telling",
    "look",
    "looks",
    "looked",
    "looking",
    "seat",
    "seats",
    "seated",
    "seating",
    "desk",
    "desks",
    "footing",
    "footings",
    "board",
    "boards",
    "judge",
    "judges",
    "judged",
    "place",
    "places",
    "placed",
    "zoo",
    "animal",
    "animals",
    "cage",
    "stretch",
    "stretches",
    "book",
    "books",
];

/// Words that only tests may use: every Rust reader expects test code behind them.
const BANNED_OUTSIDE_TESTS: [&str; 2] = ["fixture", "fixtures"];

/// Identifiers of other crates, which we can't rename: file and identifier.
const FOREIGN: [(&str, &str); 1] = [("expression/src/pushdown/pattern.rs", "Look")];

/// Most entries of the glossary.
const GLOSSARY_ENTRIES: usize = 25;

/// Returns the reason why a doc comment with this text is refused, if there is one.
fn opening_complaint(text: &str) -> Option<String> {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\w']+").unwrap());
    let words: Vec<&str> = WORD.find_iter(text).map(|word| word.as_str()).collect();
    let first = words.first().copied().unwrap_or_default();
    if OPENINGS.contains(&first) {
        return Some(format!("begins with “{first}”: {text:.80}"));
    }
    (words.len() < FEWEST_WORDS).then(|| format!("says too little, leave it out or say more: {text:.80}"))
}

/// Returns the first line number and the text of each block of doc comments.
fn doc_blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, &str, String)> = Vec::new();
    let mut previous = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let marker = ["///", "//!"].into_iter().find(|marker| line.starts_with(marker));
        let Some(marker) = marker else {
            previous = None;
            continue;
        };
        let content = line[marker.len()..].trim();
        match blocks.last_mut().filter(|_| previous == Some(marker)) {
            Some((_, _, block)) => {
                block.push(' ');
                block.push_str(content);
            }
            None => blocks.push((number, marker, content.to_owned())),
        }
        previous = Some(marker);
    }
    blocks.into_iter().map(|(number, _, block)| (number, block)).collect()
}

#[test]
fn doc_comments_begin_with_what_the_item_is_or_does() {
    let mut complaints = Vec::new();
    for (path, text) in rust_files() {
        for (line, block) in doc_blocks(&text) {
            complaints.extend(opening_complaint(&block).map(|why| format!("{path}:{line}: {why}")));
        }
    }
    let comment = Regex::new(r"/\*+\s*(\w+)").unwrap();
    for path in c_files() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in (1..).zip(text.lines()) {
            let first = comment.captures(line).map(|found| found.get(1).unwrap().as_str());
            if let Some(first) = first.filter(|first| OPENINGS.contains(first)) {
                complaints.push(format!("{}:{number}: begins with “{first}”", relative(&path)));
            }
        }
    }
    none(complaints);
}

/// Returns the C sources and headers of the workspace.
fn c_files() -> Vec<std::path::PathBuf> {
    [files(workspace(), ".c"), files(workspace(), ".h")].concat()
}

/// Calls `visit` with each identifier and its line.
fn identifiers(tokens: TokenStream, visit: &mut dyn FnMut(usize, String)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => identifiers(group.stream(), visit),
            TokenTree::Ident(name) => visit(name.span().start().line, name.to_string()),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Returns a banned word that is a whole part of the identifier, if there is one.
fn banned_word(identifier: &str, in_test: bool) -> Option<String> {
    static PART: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[A-Z]+[a-z]*|[a-z]+").unwrap());
    let mut words = PART.find_iter(identifier).map(|word| word.as_str().to_lowercase());
    words.find(|word| {
        let word = word.as_str();
        BANNED.contains(&word) || (!in_test && BANNED_OUTSIDE_TESTS.contains(&word))
    })
}

/// Returns true for files that hold nothing but tests.
fn is_test(path: &str) -> bool {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.starts_with("tests/") || path.contains("/tests/") || name.contains("tests")
}

#[test]
fn no_identifier_uses_a_banned_word() {
    let mut complaints = Vec::new();
    let mut check = |path: &str, line: usize, identifier: &str| {
        if FOREIGN.contains(&(path, identifier)) {
            return;
        }
        if let Some(word) = banned_word(identifier, is_test(path)) {
            complaints.push(format!("{path}:{line}: {identifier} uses “{word}”"));
        }
    };
    for (path, text) in rust_files() {
        let tokens = TokenStream::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        identifiers(tokens, &mut |line, identifier| check(&path, line, &identifier));
    }
    // Comments and texts in quotes are prose; an identifier is all else that begins with a letter.
    let prose = Regex::new(r#"(?s)"(\\.|[^"\\])*"|'(\\.|[^'\\])'|//[^\n]*|/\*.*?\*/"#).unwrap();
    let python_prose = Regex::new(r#"(?s)""".*?"""|"(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])*'|#[^\n]*"#).unwrap();
    let name = Regex::new(r"[A-Za-z_]\w*").unwrap();
    for path in [c_files(), files(workspace(), ".py")].concat() {
        let text = fs::read_to_string(&path).unwrap();
        let prose = if path.extension().is_some_and(|it| it == "py") { &python_prose } else { &prose };
        let keep_lines = |found: &regex::Captures<'_>| "\n".repeat(found[0].matches('\n').count());
        let code = prose.replace_all(&text, keep_lines);
        for (number, line) in (1..).zip(code.lines()) {
            name.find_iter(line).for_each(|found| check(&relative(&path), number, found.as_str()));
        }
    }
    none(complaints);
}

#[test]
fn the_glossary_is_short_and_has_one_meaning_a_word() {
    let text = fs::read_to_string(workspace().join("docs/GLOSSARY.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| **"));
    let words: Vec<_> = rows.map(|line| line.split("**").nth(1).unwrap()).collect();
    assert!(!words.is_empty() && words.len() <= GLOSSARY_ENTRIES, "{} entries", words.len());
    let mut once = words.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), words.len(), "a word stands twice: {words:?}");
}

#[test]
fn riddles_and_banned_words_are_found() {
    assert!(opening_complaint("Whose books.").is_some_and(|why| why.contains("Whose")));
    assert!(opening_complaint("`It` is read").is_some());
    assert!(opening_complaint("Milliseconds waited").is_some_and(|why| why.contains("too little")));
    assert_eq!(opening_complaint("Returns the tracer's account."), None);
    let blocks = doc_blocks("//! Head\n//! of it.\n\n/// Item\nfn a() {}\n/// Other\n");
    assert_eq!(blocks, [(1, "Head of it.".into()), (4, "Item".into()), (6, "Other".into())]);
    assert_eq!(banned_word("SetLookInterval", false).as_deref(), Some("look"));
    assert_eq!(banned_word("judge_step", true).as_deref(), Some("judge"));
    assert_eq!(banned_word("replaced_bookkeeping", false), None);
    assert_eq!(banned_word("fixture", true), None);
    assert_eq!(banned_word("Fixture", false).as_deref(), Some("fixture"));
    let mut found = Vec::new();
    let tokens = TokenStream::from_str("/// A told comment\nfn told() { \"look\" }").unwrap();
    identifiers(tokens, &mut |line, name| found.push((line, name)));
    assert_eq!(found[found.len() - 2..], [(2, "fn".to_owned()), (2, "told".to_owned())]);
}
