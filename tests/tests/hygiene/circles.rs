//! Rule about the files of a crate: types are below their users, so no files use each other in a circle.
//!
//! An import or a path is an edge to the file that defines what it names. `mod child;` and re-exports are no edges: a
//! `mod.rs` that gathers its children may be above or below all of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::modules::Crate;
use crate::{none, rust_files};

/// The files that a file uses, each with the line and the path that say so first.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

fn edges(root: &str, files: &BTreeMap<String, String>) -> Edges {
    let read = Crate::read(root, files);
    let mut edges = Edges::new();
    for (id, module) in read.modules.iter().enumerate() {
        for one in &module.uses {
            if let Some(file) = read.definition(id, &one.path).filter(|file| *file != module.file) {
                let reason = format!("line {}: {}", one.line, one.path.join("::"));
                let of_file = edges.entry(module.file.clone()).or_default();
                of_file.entry(file.to_owned()).or_insert(reason);
            }
        }
    }
    edges
}

/// Returns the shortest way from a file back to itself.
fn way_back<'a>(edges: &'a Edges, file: &'a str) -> Option<Vec<&'a str>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([file]);
    while let Some(at) = queue.pop_front() {
        for next in edges.get(at).into_iter().flat_map(BTreeMap::keys) {
            if from.contains_key(next.as_str()) {
                continue;
            }
            from.insert(next, at);
            if next == file {
                let mut way = vec![file, at];
                while way[way.len() - 1] != file {
                    way.push(from[way[way.len() - 1]]);
                }
                way.reverse();
                return Some(way);
            }
            queue.push_back(next);
        }
    }
    None
}

/// Returns the files that one reaches from `file`.
fn reached<'a>(edges: &'a Edges, file: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut queue) = (BTreeSet::new(), vec![file]);
    while let Some(at) = queue.pop() {
        for next in edges.get(at).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(next.as_str()) {
                queue.push(next);
            }
        }
    }
    seen
}

/// Returns a text for each set of files that use each other in circles: its shortest circle with reasons, and the rest.
fn circles(edges: &Edges) -> Vec<String> {
    let reached: BTreeMap<_, _> = edges.keys().map(|file| (file.as_str(), reached(edges, file))).collect();
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    for (file, others) in reached.iter().filter(|(file, others)| others.contains(*file)) {
        if !done.insert(*file) {
            continue;
        }
        let back = |other: &&&str| reached.get(**other).is_some_and(|others| others.contains(file));
        let group: BTreeSet<&str> = others.iter().filter(back).copied().collect();
        done.extend(&group);
        let ways = group.iter().filter_map(|file| way_back(edges, file));
        let way = ways.min_by_key(Vec::len).unwrap_or_default();
        let hops =
            way.windows(2).map(|hop| format!("\n    {} uses {} ({})", hop[0], hop[1], edges[hop[0]][hop[1]]));
        let rest: Vec<_> = group.iter().filter(|file| !way.contains(file)).copied().collect();
        found.push(format!(
            "{} files in circles:{}\n    and {rest:?}",
            group.len(),
            hops.collect::<String>()
        ));
    }
    found
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let files: BTreeMap<_, _> = rust_files().into_iter().collect();
    let roots = files
        .keys()
        .filter(|path| path.contains("/src/") && (path.ends_with("/lib.rs") || path.ends_with("/main.rs")));
    let mut complaints = Vec::new();
    for root in roots {
        let found = circles(&edges(root, &files)).into_iter();
        complaints.extend(found.map(|circle| format!("{root}: {circle}")));
    }
    none(complaints);
}

#[test]
fn a_circle_is_found_and_a_re_export_is_none() {
    let crate_of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        circles(&edges("src/lib.rs", &files))
    };
    let lib = ("src/lib.rs", "mod a; mod b; pub use a::A;");
    let found = crate_of(&[
        lib,
        ("src/a.rs", "pub struct A;\nfn x() { crate::b::b() }"),
        ("src/b.rs", "use crate::A; pub fn b() {}"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("src/a.rs uses src/b.rs (line 2: crate::b::b)"), "{found:?}");
    assert!(found[0].contains("src/b.rs uses src/a.rs (line 1: crate::A)"), "{found:?}");
    let test = "use crate::a::A; pub fn b() {} #[cfg(test)] mod tests { use crate::c::C; }";
    assert_eq!(
        crate_of(&[
            ("src/lib.rs", "mod a; mod b; mod c; pub use a::A;"),
            ("src/a.rs", "pub struct A;"),
            ("src/b.rs", test),
            ("src/c.rs", "use crate::b; pub struct C; fn c() { b::b() }")
        ]),
        Vec::<String>::new()
    );
    // A parent and its child: only what the parent defines itself counts.
    let parent = ("src/p/mod.rs", "mod child; pub use child::Child; pub struct P(Child);");
    let child = ("src/p/child.rs", "use super::*; pub struct Child; fn f(_: P) {}");
    assert_eq!(crate_of(&[("src/lib.rs", "mod p;"), parent, child]).len(), 1);
    let parent = ("src/p/mod.rs", "mod child; mod other; pub use {child::Child, other::P};");
    let other = ("src/p/other.rs", "pub struct P;");
    assert_eq!(crate_of(&[("src/lib.rs", "mod p;"), parent, child, other]), Vec::<String>::new());
}
