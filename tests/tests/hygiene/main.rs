//! Rules about the code itself that no compiler checks: crates and their arrows, files, kernel tracers, documents and
//! language.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod cases;
mod circles;
mod closed;
mod coverage;
mod crates;
mod documents;
mod files;
mod kernel;
mod language;
mod modules;
mod public;

use std::fs;
use std::path::{Path, PathBuf};

use tests::binary::workspace;

/// Returns every file below `folder` whose name ends with `ending`.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git"].contains(&name.as_str()) {
                found.extend(files(&path, ending));
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the path and the text of every Rust file of the workspace.
fn rust_files() -> Vec<(String, String)> {
    let files = files(workspace(), ".rs").into_iter();
    let files: Vec<_> = files.map(|path| (relative(&path), fs::read_to_string(path).unwrap())).collect();
    assert!(files.len() > 50, "only {} Rust files found", files.len());
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(workspace()).unwrap().display().to_string()
}

/// Returns the text of a file without its test module.
fn production(text: &str) -> &str {
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap()
}

/// Fails if there are complaints, and prints all of them.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n  {}", complaints.join("\n  "));
}
