//! Filters: what is dropped on purpose. Compiled once when the configuration is read; a bad pattern or expression is
//! refused there, never met by a record.

mod cel;
mod config;
mod exercise;
mod field;
mod list;
mod pattern;
mod pushdown;
mod python;
mod rules;

use std::collections::HashSet;

use model::{MANIFEST, Problem, TracerName, Tracking};

use cel::CelFilter;
pub use cel::Failures;
pub use config::{FilterConfig, FilterKind, FiltersConfig, default_filters};
pub use exercise::exercise;
use rules::PatternFilter;

/// What a row knows by when; filters ask as early as they can, so that what is dropped is not enriched first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The record's own fields.
    Normalized,
    /// Those that enrichers add too.
    Enriched,
}

/// Its name in expressions: [`Tracking::ancestors`].
const ANCESTORS: &str = "ancestors";

/// Fields that enrichers add.
const ENRICHED: [&str; 12] = [
    ANCESTORS,
    "cwd",
    "exe",
    "container_id",
    "cwd_bytes",
    "exe_bytes",
    "cgroup",
    "container_runtime",
    "container_name",
    "container_image",
    "pod_uid",
    "target_exec_id",
];

/// All filters of a run.
#[derive(Debug, Default)]
pub struct Filters {
    filters: Vec<Filter>,
}

/// One filter.
#[derive(Debug)]
struct Filter {
    name: String,
    /// Only rows of these; empty: of all.
    tracers: HashSet<TracerName>,
    rule: Rule,
}

/// What it asks.
#[derive(Debug)]
enum Rule {
    Pattern(PatternFilter),
    Cel(CelFilter),
}

impl Filters {
    /// Compiles all that are on. Those that are off must be right too.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its key below `prefix`.
    pub fn compile(config: &FiltersConfig, prefix: &str) -> Result<Self, Vec<Problem>> {
        let (mut filters, mut problems) = (Vec::new(), Vec::new());
        for (name, section) in &config.0 {
            match Filter::compile(name, section, &format!("{prefix}.{name}")) {
                Ok(filter) if !section.disabled => filters.push(filter),
                Ok(_) => {}
                Err(mut found) => problems.append(&mut found),
            }
        }
        if problems.is_empty() { Ok(Self { filters }) } else { Err(problems) }
    }

    /// Their names; a filter's number is its place here.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().map(|filter| filter.name.as_str())
    }

    /// Whether one of them wants to see rows again when they are enriched.
    pub(crate) fn look_twice(&self) -> bool {
        self.filters.iter().any(|filter| match &filter.rule {
            Rule::Pattern(pattern) => pattern.looks_at(Stage::Enriched),
            Rule::Cel(cel) => cel.stage() == Stage::Enriched,
        })
    }

    /// Whether one of them asks of whom a process descends.
    pub(crate) fn ask_for_descent(&self) -> bool {
        self.filters.iter().any(|filter| match &filter.rule {
            Rule::Pattern(_) => false,
            Rule::Cel(cel) => cel.reads(ANCESTORS),
        })
    }

    /// The first filter that drops the row, by number. At [`Stage::Enriched`] only what could not be known before
    /// is looked at.
    pub fn drops(&self, row: &Tracking, stage: Stage) -> Option<usize> {
        self.filters.iter().position(|filter| filter.drops(row, stage))
    }

    /// What expressions had no answer for since this was last asked, by filter. Such rows are kept.
    pub fn take_failures(&self) -> impl Iterator<Item = (&str, Failures)> {
        self.filters.iter().filter_map(|filter| match &filter.rule {
            Rule::Pattern(_) => None,
            Rule::Cel(cel) => Some((filter.name.as_str(), cel.take_failures()?)),
        })
    }
}

impl Filter {
    fn compile(name: &str, config: &FilterConfig, prefix: &str) -> Result<Self, Vec<Problem>> {
        let rule = match config.kind(prefix)? {
            FilterKind::PatternFilter => Rule::Pattern(PatternFilter::compile(config, prefix)?),
            FilterKind::Cel => Rule::Cel(CelFilter::compile(config, prefix)?),
        };
        let tracers = config.tracers.iter().map(|name| TracerName::new(name)).collect();
        Ok(Self { name: name.to_owned(), tracers, rule })
    }

    fn drops(&self, row: &Tracking, stage: Stage) -> bool {
        // What says what can't be in the store is dropped only by those who name it.
        let names_it = if self.tracers.is_empty() {
            row.tracer.as_str() != MANIFEST
        } else {
            self.tracers.contains(&row.tracer)
        };
        if !names_it {
            return false;
        }
        match &self.rule {
            Rule::Pattern(pattern) => pattern.drops(row, stage),
            Rule::Cel(cel) => cel.drops(row, stage),
        }
    }
}

#[cfg(test)]
mod tests;
