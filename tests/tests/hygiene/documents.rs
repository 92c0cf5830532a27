//! Rules about documents: ARCHITECTURE.md names only files and tests that exist.

use std::fs;

use tests::binary::workspace;

use crate::{none, rust_files};

#[test]
fn the_architecture_names_only_what_exists() {
    let text = fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap();
    let code: String = rust_files().into_iter().map(|(_, text)| text).collect();
    let mut complaints = Vec::new();
    // Every second piece between back-ticks is quoted.
    let quoted: Vec<_> = text.split('`').skip(1).step_by(2).collect();
    for word in &quoted {
        let is_path =
            word.contains('/') && !word.contains(['<', '*', ' ', '{', ':', '@']) && !word.starts_with('/');
        if is_path && !workspace().join(word).exists() {
            complaints.push(format!("there is no {word}"));
        }
        if let Some(test) = word.strip_suffix("()")
            && !code.contains(&format!("fn {test}("))
        {
            complaints.push(format!("there is no test {test}"));
        }
    }
    let invariants = text.lines().filter(|line| line.starts_with("**Invariant")).count();
    assert!(invariants >= 8, "only {invariants} invariants");
    for paragraph in text.split("\n\n").filter(|paragraph| paragraph.starts_with("**Invariant")) {
        if !paragraph.contains("()`") {
            complaints.push(format!("an invariant names no test: {paragraph:.80}"));
        }
    }
    none(complaints);
}
