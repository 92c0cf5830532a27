//! Processes one batch in a single pass of plain function calls: normalise → filter → enrich → filter → shorten.
//!
//! duetector enriches before it filters, so that filters can name enriched fields. This pipeline gives the same
//! result, but decides everything that a record's own fields can decide before it looks anything up.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{BootNs, Clocks, Moment, ProcessTable, Record, TracerName, Tracking};

use crate::enrich::Enricher;
use crate::enrich::runtime::Names;
use crate::filter::{Filters, Stage};
use crate::normalize::{self, NormalizeError};
use crate::shorten::shorten;

/// Turns records into rows, filters them and enriches them.
#[derive(Debug)]
pub struct Pipeline {
    filters: Arc<Filters>,
    needs_enriched: bool,
    enricher: Enricher,
}

/// Result of processing one batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Rows to be stored.
    pub rows: Vec<Tracking>,
    /// Number of rows dropped, by filter index.
    pub filtered: BTreeMap<usize, u64>,
    /// Number of bytes of the texts of these rows.
    pub bytes: usize,
    /// Rows with texts that were cut.
    pub shortened: u64,
    /// Records that could not become rows.
    pub refused: u64,
    /// Error of the first refused record.
    pub first_refusal: Option<NormalizeError>,
}

impl Outcome {
    /// Returns the number of rows dropped by all filters together.
    pub fn filtered_total(&self) -> u64 {
        self.filtered.values().sum()
    }
}

impl Pipeline {
    /// Makes a pipeline with these filters, which looks processes up in this table.
    pub fn new(filters: impl Into<Arc<Filters>>, processes: ProcessTable) -> Self {
        let filters = filters.into();
        let enricher = Enricher::new(processes);
        let mut pipeline = Self { needs_enriched: false, filters: Arc::default(), enricher };
        pipeline.set_filters(filters);
        pipeline
    }

    /// Adds names and images of containers to rows, if `names` is given.
    pub fn with_names(mut self, names: Option<Names>) -> Self {
        self.enricher.set_names(names);
        self
    }

    /// Replaces the filters, from the next record on.
    pub fn set_filters(&mut self, filters: Arc<Filters>) {
        self.needs_enriched = filters.needs_enriched();
        self.enricher.set_descent(filters.ask_for_descent());
        self.filters = filters;
    }

    /// Returns the filters in force.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Processes one tracer's records.
    pub fn run(&mut self, tracer: &TracerName, records: Vec<Record>, clocks: &Clocks) -> Outcome {
        let mut outcome = Outcome { rows: Vec::with_capacity(records.len()), ..Outcome::default() };
        for record in records {
            let at = record.at;
            match normalize::row(tracer, record, clocks) {
                Ok(row) => self.pass(row, at, &mut outcome),
                Err(refusal) => {
                    outcome.refused += 1;
                    outcome.first_refusal.get_or_insert(refusal);
                }
            }
        }
        outcome
    }

    fn pass(&mut self, mut row: Tracking, at: Moment, outcome: &mut Outcome) {
        let mut dropped_by = self.filters.drops(&row, Stage::Normalized);
        if dropped_by.is_none() {
            // A record without kernel time has no identity to look up, so the moment makes no difference.
            let at = if let Moment::Boot(at) = at { at } else { BootNs(u64::MAX) };
            self.enricher.enrich(&mut row, at);
            if self.needs_enriched {
                dropped_by = self.filters.drops(&row, Stage::Enriched);
            }
        }
        match dropped_by {
            None => {
                let (bytes, is_cut) = shorten(&mut row);
                outcome.bytes += bytes;
                outcome.shortened += u64::from(is_cut);
                outcome.rows.push(row);
            }
            Some(filter) => *outcome.filtered.entry(filter).or_default() += 1,
        }
    }
}
