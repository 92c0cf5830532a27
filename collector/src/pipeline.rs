//! normalise → filter → enrich → filter, over one batch: plain function calls, one pass.
//!
//! duetector enriches before it filters, so that a filter can name what enrichers add. The result here is the
//! same, but what a record's own fields already decide is decided before anything is looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{BootClock, BootNs, Moment, ProcessTable, Record, TracerName, Tracking};

use crate::enrich::Enricher;
use crate::enrich::runtime::Names;
use crate::filter::{Filters, Stage};
use crate::normalize::{self, NormalizeError};

/// What a batch becomes on its way.
#[derive(Debug)]
pub struct Pipeline {
    filters: Arc<Filters>,
    look_twice: bool,
    enricher: Enricher,
}

/// What became of one batch.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be stored.
    pub rows: Vec<Tracking>,
    /// Dropped on purpose, by filter number.
    pub filtered: BTreeMap<usize, u64>,
    /// Could not become rows.
    pub refused: u64,
    /// Why the first of these could not.
    pub first_refusal: Option<NormalizeError>,
}

impl Outcome {
    /// Dropped on purpose by all filters together.
    pub fn filtered_total(&self) -> u64 {
        self.filtered.values().sum()
    }
}

impl Pipeline {
    /// With these filters, asking this table.
    pub fn new(filters: impl Into<Arc<Filters>>, processes: ProcessTable) -> Self {
        let filters = filters.into();
        let enricher = Enricher::new(processes);
        let mut pipeline = Self { look_twice: false, filters: Arc::default(), enricher };
        pipeline.set_filters(filters);
        pipeline
    }

    /// Tells names and images of containers as well.
    pub fn with_names(mut self, names: Option<Names>) -> Self {
        self.enricher.set_names(names);
        self
    }

    /// Filters by these from the next record on.
    pub fn set_filters(&mut self, filters: Arc<Filters>) {
        self.look_twice = filters.look_twice();
        self.enricher.set_descent(filters.ask_for_descent());
        self.filters = filters;
    }

    /// The filters.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Runs one tracer's records through.
    pub fn run(&mut self, tracer: &TracerName, records: Vec<Record>, clock: BootClock) -> Outcome {
        let mut outcome = Outcome { rows: Vec::with_capacity(records.len()), ..Outcome::default() };
        for record in records {
            let at = record.at;
            match normalize::row(tracer, record, clock) {
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
            // A record without kernel time has no identity to look up by, so which moment is asked for hardly matters.
            let at = if let Moment::Boot(at) = at { at } else { BootNs(u64::MAX) };
            self.enricher.enrich(&mut row, at);
            if self.look_twice {
                dropped_by = self.filters.drops(&row, Stage::Enriched);
            }
        }
        match dropped_by {
            None => outcome.rows.push(row),
            Some(filter) => *outcome.filtered.entry(filter).or_default() += 1,
        }
    }
}
