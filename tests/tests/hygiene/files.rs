//! Rules about files: their length, their heads, where `unsafe` is, and that nothing is unfinished.

use std::fs;

use tests::binary::workspace;

use crate::crates::LIBRARIES;
use crate::{files, none, production, relative, rust_files};

/// Most lines of a Rust file; what comes after `mod tests` is not counted.
const RUST_LINES: usize = 400;
/// Most lines of a BPF program.
const BPF_LINES: usize = 200;
/// Files that may be longer, and why.
const LONGER: [(&str, usize); 2] = [
    // Everything unsafe has to be in this one.
    ("bpf-programs/src/wire.rs", 440),
    // Two hooks and two families, and what a socket's outcome needs between them.
    ("bpf-programs/src/tracers/connect/probe.bpf.c", 240),
];

/// Where `unsafe` may be: what reads the kernel's bytes, and the traits of virtual tables, which are unsafe to implement.
const MAY_USE_UNSAFE: [&str; 3] =
    ["bpf-programs/src/wire", "analyzer/src/store/vtab.rs", "analyzer/src/store/typed_vtab.rs"];

/// Returns how many lines the file at `path` may have.
fn limit(path: &str, usual: usize) -> usize {
    LONGER.iter().find(|(longer, _)| *longer == path).map_or(usual, |(_, lines)| *lines)
}

#[test]
fn files_and_their_heads() {
    let mut complaints = Vec::new();
    for (path, text) in rust_files() {
        let (lines, limit) = (production(&text).lines().count(), limit(&path, RUST_LINES));
        if lines > limit {
            complaints.push(format!("{path}: {lines} lines, at most {limit}"));
        }
        if !text.starts_with("//!") {
            complaints.push(format!("{path}: does not begin with what is here (`//!`)"));
        }
    }
    for path in files(workspace(), ".bpf.c") {
        let text = fs::read_to_string(&path).unwrap();
        let limit = limit(&relative(&path), BPF_LINES);
        if text.lines().count() > limit {
            complaints.push(format!("{}: more than {limit} lines", relative(&path)));
        }
        if !text.starts_with("// SPDX-License-Identifier:")
            && !text.starts_with("/* SPDX-License-Identifier:")
        {
            complaints.push(format!("{}: does not begin with its licence (SPDX)", relative(&path)));
        }
    }
    none(complaints);
}

#[test]
fn unsafe_is_in_one_module() {
    let mut complaints = Vec::new();
    for (path, text) in rust_files() {
        let code = |line: &&str| !line.trim_start().starts_with("//");
        let uses = text.lines().filter(code).any(|line| line.contains("unsafe ") && !line.contains('"'));
        if uses && !MAY_USE_UNSAFE.iter().any(|module| path.starts_with(module)) {
            complaints.push(format!("{path} uses unsafe"));
        }
        if uses && !text.contains("// SAFETY:") {
            complaints.push(format!("{path} does not say why its unsafe is sound"));
        }
    }
    none(complaints);
}

#[test]
fn nothing_is_left_for_later_and_no_library_prints() {
    // Put together here, so that this file does not find itself.
    let later = ["TO", "FIX", "XX"].map(|start| start.to_owned()).into_iter().zip(["DO", "ME", "X"]);
    let later: Vec<_> = later.map(|(start, end)| start + end).collect();
    let mut complaints = Vec::new();
    for (path, text) in rust_files() {
        for word in &later {
            if text.contains(word.as_str()) {
                complaints.push(format!("{path}: {word}"));
            }
        }
        if text.contains(&["#[", "ignore"].concat()) {
            complaints.push(format!("{path}: an ignored test"));
        }
        let library = LIBRARIES.iter().any(|library| path.starts_with(&format!("{library}/src/")));
        let prints = ["println!", "print!(", "eprint!(", "dbg!("];
        let code = || production(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
        if library && code().any(|line| prints.iter().any(|print| line.contains(print))) {
            complaints.push(format!("{path}: a library prints"));
        }
    }
    none(complaints);
}
