//! Rule about matches over names: a name that nobody thought of is refused, and never taken for another one.
//!
//! A `match` with two or more arms that are texts, or constants that hold texts, is a match over names: of sinks, tracers,
//! columns, commands. Its arm for all other names must return an error, `None` or false. Names that the program itself
//! gives belong into an enum with one list: the compiler closes its matches.

use std::collections::BTreeSet;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use regex::Regex;

use crate::{none, production, rust_files};

/// Arms with texts that make a `match` one over names.
const FEWEST: usize = 2;

/// Beginnings of the arm for all other names: a refusal.
const REFUSALS: [&str; 7] =
    ["Err", "None", "false", "return Err", "return None", "return false", "Ok (None)"];

/// Matches over texts that take any other text, and why: file, beginning of that arm.
const OPEN: [(&str, &str); 11] = [
    // Shows a point of loss of another version by its name.
    ("analyzer/src/render/about/agent.rs", "format ! (\"in {other}\")"),
    // Logs the type of the message and returns `None`.
    ("bin/src/child/listen.rs", "tracing :: warn !"),
    // Searches all other sections in the table of our own settings.
    ("bin/src/config/duetector/recognise.rs", "own . get (section)"),
    // The words of serde, some of which have plainer ones.
    ("bin/src/config/words.rs", "other"),
    // Members of a map's definition, two of which matter.
    ("bpf-programs/src/template/layout/choose.rs", ""),
    // Names of C types, some of which hold text.
    ("bpf-programs/src/template/layout/types.rs", ""),
    // Components of a path, some of which are special.
    ("bpf-programs/src/text.rs", "names . push (name)"),
    // Searches all other fields in the list of numbers.
    ("collector/src/filter/kernel_part.rs", "Number :: named (name)"),
    // Paths of a file, one of which is standard output.
    ("collector/src/sink/jsonl/mod.rs", "Target :: File"),
    // Lines and events of a test's protocol: others are skipped, or a failure.
    ("xtask/src/vm/report.rs", "let Ok (message)"),
    ("xtask/src/vm/report.rs", "Outcome :: Failed"),
];

/// The arms of a `match`: the tokens of pattern and body.
type Arms = Vec<(Vec<TokenTree>, Vec<TokenTree>)>;

fn text(tokens: &[TokenTree]) -> String {
    tokens.iter().cloned().collect::<TokenStream>().to_string()
}

fn arms(body: TokenStream) -> Arms {
    let mut arms = Arms::new();
    let mut tokens = body.into_iter().peekable();
    while tokens.peek().is_some() {
        let (mut pattern, mut body) = (Vec::new(), Vec::new());
        while let Some(token) = tokens.next() {
            let arrow = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '=')
                && matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == '>');
            if arrow {
                tokens.next();
                break;
            }
            pattern.push(token);
        }
        let block =
            matches!(tokens.peek(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
        while let Some(token) = tokens.next() {
            let comma =
                |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
            if comma(&token) {
                break;
            }
            body.push(token);
            // A block ends the arm, unless it is the beginning of an expression.
            let goes_on =
                |next: &TokenTree| matches!(next, TokenTree::Punct(punct) if ".?".contains(punct.as_char()));
            if block && body.len() == 1 && !tokens.peek().is_some_and(goes_on) {
                tokens.next_if(comma);
                break;
            }
        }
        arms.push((pattern, body));
    }
    arms
}

/// Calls `visit` with the line and the arms of each `match`.
fn matches(tokens: TokenStream, visit: &mut dyn FnMut(usize, Arms)) {
    let mut line = None;
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "match" => line = Some(word.span().start().line),
            TokenTree::Group(group) => {
                if group.delimiter() == Delimiter::Brace
                    && let Some(line) = line.take()
                {
                    visit(line, arms(group.stream()));
                }
                matches(group.stream(), visit);
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => line = None,
            _ => {}
        }
    }
}

/// Returns the names of all constants that hold a text.
fn text_constants(files: &[(String, String)]) -> BTreeSet<String> {
    let constant = Regex::new(r"const (\w+): &(?:'static )?str\b").unwrap();
    let found = files.iter().flat_map(|(_, code)| constant.captures_iter(code));
    found.map(|found| found[1].to_owned()).collect()
}

/// Returns whether a pattern names texts: literals or constants, perhaps inside `Some(…)` or a tuple.
fn names(pattern: &[TokenTree], constants: &BTreeSet<String>) -> bool {
    let is_name = |token: &TokenTree| match token {
        TokenTree::Literal(literal) => literal.to_string().ends_with('"'),
        TokenTree::Ident(word) => constants.contains(&word.to_string()),
        TokenTree::Group(group) => names(&group.stream().into_iter().collect::<Vec<_>>(), constants),
        TokenTree::Punct(_) => false,
    };
    let guard = pattern.iter().position(|token| matches!(token, TokenTree::Ident(word) if word == "if"));
    pattern[..guard.unwrap_or(pattern.len())].iter().any(is_name)
}

/// Returns whether a pattern takes any text: `_`, a new name, `Some(_)`, or a tuple of nothing else.
fn takes_all(pattern: &[TokenTree]) -> bool {
    let words = text(pattern).replace(['(', ')', ','], " ");
    let mut words = words.strip_prefix("Some ").unwrap_or(&words).split_whitespace();
    words.all(|word| word.starts_with(|first: char| first == '_' || first.is_lowercase()) && word != "if")
}

/// Returns the body of the arm for all other names where that is no refusal, of each match over names, with its line.
fn open(code: &str, constants: &BTreeSet<String>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    matches(TokenStream::from_str(code).unwrap(), &mut |line, arms| {
        if arms.iter().filter(|(pattern, _)| names(pattern, constants)).count() < FEWEST {
            return;
        }
        let others = arms.iter().filter(|(pattern, _)| !names(pattern, constants) && takes_all(pattern));
        let bodies = others.map(|(_, body)| match body.as_slice() {
            [TokenTree::Group(group)] if group.delimiter() == Delimiter::Brace => group.stream().to_string(),
            body => text(body),
        });
        let open = bodies.filter(|body| !REFUSALS.iter().any(|refusal| body.starts_with(refusal)));
        found.extend(open.map(|body| (line, body)));
    });
    found
}

#[test]
fn a_match_over_names_refuses_all_others() {
    let (files, mut complaints) = (rust_files(), Vec::new());
    let constants = text_constants(&files);
    let code = files.iter().filter(|(path, _)| path.contains("/src/") && !path.contains("tests"));
    let mut unused: BTreeSet<_> = OPEN.into_iter().collect();
    for (path, code) in code {
        for (line, body) in open(production(code), &constants) {
            let known = OPEN.iter().find(|(file, known)| {
                file == path && body.starts_with(known) && body.is_empty() == known.is_empty()
            });
            match known {
                Some(known) => drop(unused.remove(known)),
                None => complaints.push(format!("{path}:{line}: all other names are {body:.90}")),
            }
        }
    }
    complaints.extend(unused.iter().map(|known| format!("{known:?} is not there any more")));
    none(complaints);
}

#[test]
fn a_name_that_is_taken_for_another_is_found() {
    // As sinks were once built: one that was forgotten here became a second SQLite.
    let old = r#"
        const NAME: &str = "memory";
        fn build(name: &str) -> Sink {
            match name {
                memory::NAME => memory(),
                jsonl::NAME => { jsonl() }
                _ => sqlite(),
            }
        }"#;
    let files = [(String::new(), old.to_owned())];
    assert_eq!(open(old, &text_constants(&files)), [(4, "sqlite ()".to_owned())]);
    let none = BTreeSet::new();
    assert_eq!(open(r#"fn f() { match a { "b" | "c" => 1, other => 2 } }"#, &none), []);
    assert_eq!(
        open(r#"fn f() { match (a, b) { ("b", _) => 1, ("c", 1) => 2, (_, _) => 3 } }"#, &none).len(),
        1
    );
    assert_eq!(
        open(r#"fn f() { match a? { "b" => x(), "c" => { y() }.z(), _ => return None } }"#, &none),
        []
    );
    assert_eq!(
        open(
            r#"fn f() { match a { Some("b") => x(), Some("c") => y(), Some(_) => z(), None => w() } }"#,
            &none
        )
        .len(),
        1
    );
}
