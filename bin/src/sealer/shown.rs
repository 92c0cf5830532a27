//! The lines about the store in `status`, for people.

use model::Size;
use serde_json::Value;

use super::SealerState;

/// Returns a line for each thing about the store that an administrator should know; an empty text if there is none.
pub(crate) fn lines(state: &Value) -> String {
    let Ok(state) = serde_json::from_value::<SealerState>(state.clone()) else { return String::new() };
    let mut lines = Vec::new();
    lines.extend(state.full.map(|why| format!("store: full, no rows are stored until there is room: {why}")));
    lines.extend(state.failing.map(|why| format!("store: sealing fails, and is tried again: {why}")));
    if state.adopted > 0 {
        let (segments, rows) = (state.adopted, state.adopted_rows);
        lines.push(format!(
            "store: it goes on with {segments} segments of a lost file, which have {rows} rows"
        ));
    }
    let refused = state.refused.iter();
    lines.extend(refused.map(|(name, why)| {
        format!("store: segment {name} of a lost file is not as it was written, and is left alone: {why}")
    }));
    let (names, count) = state.strangers;
    if count > 0 {
        let more = if count > names.len() { ", …" } else { "" };
        lines.push(format!(
            "store: {count} segments in its folder are not part of it, and are left alone: {}{more}",
            names.join(", ")
        ));
    }
    if state.kept_for_readers > 0 {
        let size = Size(state.kept_for_readers).rounded();
        lines.push(format!("store: {size} of removed files are kept for queries that still read them"));
    }
    lines.iter().map(|line| format!("\n\n{line}")).collect()
}
