//! Blind spots: what rows of the tracer `manifest` say that tracers could not see.

use std::collections::{BTreeMap, BTreeSet};

use model::MANIFEST;
use serde::Serialize;

use crate::Error;
use crate::span::Span;
use crate::store::{Walk, Walker};

/// Events that a tracer could not see.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Blind {
    /// Name of the tracer.
    pub tracer: String,
    /// Description of the events.
    pub what: String,
    /// Whether events of this kind could belong to the answer. True as long as that was not decided.
    pub touches: bool,
    /// A short phrase for the events, if they are known.
    #[serde(skip)]
    pub brief: Option<&'static str>,
}

impl Blind {
    pub(super) fn new(tracer: &str, what: &str) -> Self {
        Self { tracer: tracer.to_owned(), what: what.to_owned(), touches: true, brief: None }
    }
}

/// A row of the tracer `manifest`.
struct Said {
    time: i64,
    what: Vec<String>,
}

const COLUMNS: [&str; 5] = ["tracer", "time", "unseen", "degraded", "state"];

/// Returns the blind spots of these tracers in this time. A row holds until the next one about the same tracer of the same collector.
pub(super) fn spots(walker: &Walker<'_>, span: Span, tracers: &[&str]) -> Result<Vec<Blind>, Error> {
    let selection = Span { since: i64::MIN, until: span.until }.select(Vec::new());
    let mut said: BTreeMap<(String, String), Vec<Said>> = BTreeMap::new();
    let mut has_any = false;
    walker.walk(Walk { tracer: MANIFEST, columns: &COLUMNS, selection: &selection }, &mut |chunk| {
        for row in 0..chunk.len() {
            has_any = true;
            let Some(tracer) = chunk.text(row, 0).filter(|tracer| tracers.contains(tracer)) else { continue };
            let what = chunk.texts(row, 2).chain(chunk.texts(row, 3)).map(str::to_owned).collect();
            let key = (tracer.to_owned(), chunk.collector_id().to_owned());
            said.entry(key).or_default().push(Said { time: chunk.int(row, 1).unwrap_or_default(), what });
        }
    })?;
    let mut found = BTreeSet::new();
    for tracer in tracers.iter().map(|tracer| (*tracer).to_owned()) {
        let of_tracer = said.iter_mut().filter(|((name, _), _)| *name == tracer);
        let mut is_known = false;
        for (_, rows) in of_tracer {
            is_known = true;
            rows.sort_by_key(|row| row.time);
            let before = rows.iter().rposition(|row| row.time <= span.since).unwrap_or(0);
            let whats = rows[before..].iter().flat_map(|row| &row.what);
            found.extend(whats.map(|what| Blind::new(&tracer, what)));
        }
        if !is_known {
            found.insert(Blind::new(&tracer, unknown(has_any)));
        }
    }
    Ok(found.into_iter().collect())
}

fn unknown(has_any: bool) -> &'static str {
    if has_any {
        "all events: nothing says that the tracer ran in this time"
    } else {
        "what it could not see is not known: the store has no rows of tracer manifest"
    }
}
