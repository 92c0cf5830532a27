//! Renames without an identity that moved a file by way of a folder above it, or exchanged it: rows about its names can't be joined.

use store::Selection;

use super::targets::TargetFile;
use crate::Error;
use crate::evidence::Evidence;
use crate::quoting::quoted;
use crate::span::Span;
use crate::store::{Chunk, Walk, Walker};
use crate::target::{Target, path_of};

/// Number of such renames that are described.
const DESCRIBED: usize = 5;

const COLUMNS: [&str; 5] = ["fname", "new_path", "ret", "ino", "flags"];

/// Adds to the evidence that rows about the files can be missing, for each such rename.
pub(super) fn add(
    evidence: &mut Evidence,
    walker: &Walker<'_>,
    (targets, files): (&[Target], &[TargetFile]),
    span: Span,
) -> Result<(), Error> {
    let mut found: Vec<String> = Vec::new();
    let selection: Selection = span.select(Vec::new());
    walker.walk(Walk { tracer: "rename", columns: &COLUMNS, selection: &selection }, &mut |chunk| {
        for row in 0..chunk.len() {
            let Some((old, new)) = unknown(chunk, row) else { continue };
            let is_exchange = chunk.texts(row, 4).any(|flag| flag == "RENAME_EXCHANGE");
            let moves = |path: &str| {
                let is_below =
                    |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
                is_below(old) || is_below(new) || (is_exchange && (path == old || path == new))
            };
            let of_targets = targets.iter().any(|target| match target {
                Target::Path(path) => moves(path),
                _ => false,
            });
            if of_targets || files.iter().flat_map(|file| &file.names).any(|name| moves(&name.path)) {
                let how = if is_exchange { "was exchanged with" } else { "was renamed to" };
                let text = format!("{} {how} {}", quoted(old), quoted(new));
                if !found.contains(&text) {
                    found.push(text);
                }
            }
        }
    })?;
    if found.is_empty() {
        return Ok(());
    }
    let more = found.len().saturating_sub(DESCRIBED);
    found.truncate(DESCRIBED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let what = format!(
        "files of the answer that got another path or gave theirs to another file ({}{more}): with the hooks of that time such rows have no \
         identity, so deletions, attributes and refused calls under the new path can be missing, or be those of another file",
        found.join(", ")
    );
    evidence.add_blind("rename", &what);
    Ok(())
}

/// Returns both paths of a rename that succeeded and has no identity.
fn unknown<'a>(chunk: &'a Chunk<'_>, row: usize) -> Option<(&'a str, &'a str)> {
    let is_unknown = chunk.int(row, 2) == Some(0) && chunk.uint(row, 3).is_none();
    is_unknown.then_some(())?;
    Some((path_of(chunk.text(row, 0)?), path_of(chunk.text(row, 1)?)))
}
