//! The summary of duetector's analyzer: one for each table.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{Error, Store};

/// A summary of all tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AnalyzerBrief {
    /// The tracers that have a table.
    pub tracers: BTreeSet<String>,
    /// The collectors that have a table.
    pub collector_ids: BTreeSet<String>,
    /// Summaries of tables, by `tracer@collector`.
    pub briefs: BTreeMap<String, TableBrief>,
}

/// A summary of a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableBrief {
    /// The tracer that the rows are stored under.
    pub tracer: String,
    /// The collector that wrote them.
    pub collector_id: String,
    /// Local time of the first row.
    pub start: Option<String>,
    /// Local time of the last row.
    pub end: Option<String>,
    /// Number of rows.
    pub count: u64,
    /// Types of the columns, by Python's names.
    pub fields: BTreeMap<&'static str, &'static str>,
}

/// The columns of duetector's tables, with their types.
const FIELDS: [(&str, &str); 8] = [
    ("pid", "int"),
    ("uid", "int"),
    ("gid", "int"),
    ("dt", "datetime"),
    ("comm", "str"),
    ("cwd", "str"),
    ("fname", "str"),
    ("extended", "dict"),
];

impl AnalyzerBrief {
    /// Summarizes the store.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn of(store: &Store) -> Result<Self, Error> {
        let mut all = Self::default();
        let tables: BTreeSet<_> =
            store.tables()?.into_iter().map(|table| (table.tracer, table.collector_id)).collect();
        for brief in store.brief()?.tracers {
            let key = (brief.tracer, brief.collector_id);
            if !tables.contains(&key) {
                continue;
            }
            let (tracer, collector_id) = key;
            let time = |at: Option<model::ZonedTime>| at.map(|at| local(&at));
            all.briefs.insert(
                format!("{tracer}@{collector_id}"),
                TableBrief {
                    tracer: tracer.clone(),
                    collector_id: collector_id.clone(),
                    start: time(brief.start),
                    end: time(brief.end),
                    count: brief.count,
                    fields: FIELDS.into_iter().collect(),
                },
            );
            all.tracers.insert(tracer);
            all.collector_ids.insert(collector_id);
        }
        Ok(all)
    }
}

/// Returns a time as Python's `isoformat` writes it, without an offset: microseconds only if they are not zero.
fn local(at: &model::ZonedTime) -> String {
    let text = at.wall().to_text().replacen(' ', "T", 1);
    text.strip_suffix(".000000").map_or(text.clone(), str::to_owned)
}
