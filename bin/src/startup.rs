//! The summary that `start` logs when its tracers have started: what runs, what is degraded and why, where the rows go;
//! and the failure if nothing runs.
//!
//! The report has at most [`MOST_CAUSES`] + 3 lines, however many tracers there are. Until it is logged, the log holds back lines
//! about single tracers (`logging::HeldBack`), because the summary reports the same for all tracers together.

use std::path::Path;

use crate::exit::Failure;
use crate::status::{Status, TracerPhase, TracerStatus};

/// Number of different causes that are listed; the rest is counted.
const MOST_CAUSES: usize = 6;

/// Tracers that share a state and its cause.
#[derive(Debug, PartialEq)]
struct Trouble<'a> {
    state: &'static str,
    cause: &'a str,
    tracers: Vec<&'a str>,
}

/// Logs the summary. `store` is the path of the store, if there is one.
pub(crate) fn report(status: &Status, store: Option<&Path>) {
    let records: Vec<&str> =
        status.tracers.iter().filter(|one| one.records).map(|one| one.tracer.as_str()).collect();
    let (attached, of) = (records.len(), status.tracers.len());
    tracing::info!(attached, of, workdir = status.workdir, tracers = records.join(", "), "recording");
    let trouble = trouble(&status.tracers);
    let (listed, rest) = trouble.split_at(trouble.len().min(MOST_CAUSES));
    for Trouble { state, cause, tracers } in listed {
        tracing::warn!(tracers = tracers.join(", "), cause, "{state}");
    }
    if !rest.is_empty() {
        tracing::warn!(causes = rest.len(), "more tracers have trouble; `duetector-actors status` lists all");
    }
    match store {
        Some(store) => tracing::info!(path = %store.display(), "rows are stored"),
        None => tracing::info!("no store is enabled: rows go only to the other sinks"),
    }
}

/// Groups the tracers that do not record in full, by state and cause, in the order in which they are listed.
fn trouble(tracers: &[TracerStatus]) -> Vec<Trouble<'_>> {
    let mut groups: Vec<Trouble<'_>> = Vec::new();
    for tracer in tracers {
        let state = match (tracer.phase, tracer.records) {
            (TracerPhase::Attached | TracerPhase::Disabled | TracerPhase::Ended, _) => continue,
            (TracerPhase::Degraded, true) => "degraded: these record, but not everything",
            (TracerPhase::Degraded, false) => "degraded: these record nothing",
            (TracerPhase::Restarting, _) => "failed: these are started again",
            (TracerPhase::Starting, _) => "still starting",
        };
        // The first line says it; further lines are details, which `status` shows.
        let cause = tracer.cause.as_deref().and_then(|cause| cause.lines().next()).unwrap_or_default();
        match groups.iter_mut().find(|group| (group.state, group.cause) == (state, cause)) {
            Some(group) => group.tracers.push(&tracer.tracer),
            None => groups.push(Trouble { state, cause, tracers: vec![&tracer.tracer] }),
        }
    }
    groups
}

/// Returns the failure to report if no tracer can run, with the cause for each tracer.
pub(crate) fn nothing_traced(status: &Status) -> Failure {
    if status.tracers.is_empty() {
        return Failure::NothingTraced(anyhow::anyhow!(
            "nothing to record: every tracer is disabled in the configuration"
        ));
    }
    let mut words = String::from("no tracer can run:");
    for tracer in &status.tracers {
        let cause = tracer.cause.as_deref().unwrap_or("unknown");
        words.push_str(&format!("\n  {}: {}", tracer.tracer, cause.replace('\n', "\n    ")));
    }
    words.push_str("\nrun `duetector-actors check` to see what is missing and how to grant it");
    Failure::NothingTraced(anyhow::anyhow!(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracer(name: &str, phase: TracerPhase, records: bool, cause: Option<&str>) -> TracerStatus {
        let json = serde_json::json!({
            "tracer": name, "section": name, "kind": "ebpf", "phase": phase, "records": records, "cause": cause,
            "last_cause": null, "restarts": 0, "seen": 0, "stored": 0, "filtered": 0,
            "lost": {"ring": 0, "decode": 0, "queue": 0, "sink": 0}, "in_flight": 0, "detail": null,
        });
        serde_json::from_value(json).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn tracers_with_one_cause_share_one_line() {
        let (attached, degraded) = (TracerPhase::Attached, TracerPhase::Degraded);
        let tracers = [
            tracer("open", degraded, false, Some("missing CAP_BPF\nrun as root")),
            tracer("uname", attached, true, None),
            tracer("exec", degraded, false, Some("missing CAP_BPF\nrun as root")),
            tracer("usage", degraded, true, Some("without io_uring")),
            tracer("bind", TracerPhase::Starting, false, None),
        ];
        let found = trouble(&tracers);
        let found: Vec<_> = found.iter().map(|one| (one.cause, one.tracers.join(" "))).collect();
        let expected = [("missing CAP_BPF", "open exec"), ("without io_uring", "usage"), ("", "bind")];
        assert_eq!(found, expected.map(|(cause, tracers)| (cause, tracers.to_owned())));
    }
}
