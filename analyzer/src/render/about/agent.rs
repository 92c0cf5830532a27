//! Phrases of the rows that the agent writes about itself: `loss`, `manifest`.

use super::facts::{Facts, shortened};
use super::units::counted;

/// `12 records of open lost in the ring buffer: it was full`
pub(super) fn loss(row: &Facts<'_>) -> Option<String> {
    let records = match row.count {
        Some(count) => counted(u64::try_from(count).ok()?, "record"),
        None => "an unknown number of records".to_owned(),
    };
    let (tracer, point) = (row.text("lost_tracer")?, row.text("place")?);
    let sink = row.text("sink");
    let point = match (point, sink) {
        ("ring", _) => "in the ring buffer".to_owned(),
        ("decode", _) => "in decoding".to_owned(),
        ("queue", Some(sink)) => format!("in the queue of sink {sink}"),
        ("queue", None) => "in a queue".to_owned(),
        ("sink", Some(sink)) => format!("in sink {sink}"),
        (other, _) => format!("in {other}"),
    };
    let cause = row.text("cause").map(|cause| format!(": {cause}")).unwrap_or_default();
    let owner = match row.unsigned("cgroup_id") {
        Some(id) => format!(" of control group {id}"),
        None if row.is("other_users") => " of other users".to_owned(),
        None => String::new(),
    };
    Some(format!("{records} of {tracer}{owner} lost {point}{cause}"))
}

/// `open: attached by tracepoint: sys_exit_openat, sys_exit_openat2`, `open: degraded: …`
pub(super) fn manifest(row: &Facts<'_>) -> Option<String> {
    let (tracer, state) = (row.text("tracer")?, row.text("state")?);
    let degraded = row.list("degraded");
    if !degraded.is_empty() {
        return Some(format!("{tracer}: {state}: {}", degraded.join("; ")));
    }
    let tier = row.text("tier").map(|tier| format!(" by {tier}")).unwrap_or_default();
    let hooks = row.list("hooks");
    Some(format!("{tracer}: {state}{tier}: {}", shortened(&hooks)))
}
