//! Rule about what a crate offers to others: few items, so that everything else may change.

use crate::{none, production, rust_files};

/// Crates whose public items are counted, and the number that they stay below.
const LIMITS: [(&str, usize); 1] = [("bpf-programs/src/", 100)];

/// Words that begin an item.
const ITEMS: [&str; 9] = ["async", "const", "enum", "fn", "mod", "static", "struct", "trait", "type"];

/// Returns the first lines of the public items in a file, also of those that a macro makes of `pub Name {`. Re-exports are
/// items of another file.
fn public(text: &str) -> impl Iterator<Item = &str> {
    production(text).lines().filter(|line| {
        let Some(rest) = line.trim_start().strip_prefix("pub ") else { return false };
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        ITEMS.contains(&word) || (rest == "{" && word.starts_with(char::is_uppercase))
    })
}

#[test]
fn crates_offer_few_items() {
    let mut complaints = Vec::new();
    for (folder, limit) in LIMITS {
        let files = rust_files().into_iter().filter(|(path, _)| path.starts_with(folder));
        let items: Vec<_> = files
            .flat_map(|(path, text)| {
                public(&text).map(|line| format!("{path}: {}", line.trim())).collect::<Vec<_>>()
            })
            .collect();
        assert!(!items.is_empty(), "no items in {folder}");
        if items.len() >= limit {
            let list = items.join("\n    ");
            complaints
                .push(format!("{folder} has {} public items, not under {limit}:\n    {list}", items.len()));
        }
    }
    none(complaints);
}

#[test]
fn fields_and_re_exports_are_no_public_items() {
    let text = "pub struct A {\n    pub kind: u32,\n    pub constants: u32,\n}\npub(crate) fn b() {}\npub use c::C;\n\
                    pub async fn d() {}\n    pub E {\n        pub f: u32,\n    }\n#[cfg(test)]\nmod tests {\n    pub fn g() {}\n}\n";
    let found: Vec<_> = public(text).map(str::trim).collect();
    assert_eq!(found, ["pub struct A {", "pub async fn d() {}", "pub E {"]);
}
