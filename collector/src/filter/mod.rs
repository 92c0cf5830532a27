//! Filters decide which rows are dropped on purpose. They are compiled once, when the configuration is read, so a bad
//! pattern or expression is reported then and never while records flow.

mod cel;
mod config;
mod fuzz_target;
mod kernel_part;
mod keys;
mod list;
mod never;
mod pattern;
mod pattern_filter;
mod python;
mod stage;
mod system;
mod tracer_names;
mod undecided;
mod users;

use std::collections::HashSet;

use model::{MANIFEST, Problem, TracerName, Tracking};

use cel::CelFilter;
pub use config::{FilterConfig, FilterKind, FiltersConfig, default_filters};
pub use fuzz_target::fuzz_target;
use pattern_filter::PatternFilter;
pub(crate) use stage::ANCESTORS;
#[cfg(test)]
pub(crate) use stage::ENRICHED;
pub use stage::Stage;
pub use tracer_names::TracerNames;
pub use undecided::Failures;

/// All filters of a run, compiled.
#[derive(Debug, Default)]
pub struct Filters {
    filters: Vec<Filter>,
}

/// A compiled filter of the configuration.
#[derive(Debug)]
struct Filter {
    name: String,
    /// Tracers whose rows the filter checks; empty: all.
    tracers: HashSet<TracerName>,
    rule: Rule,
}

/// Condition under which the filter drops a row.
#[derive(Debug)]
enum Rule {
    Pattern(PatternFilter),
    Cel(CelFilter),
    /// Reading of files of the system.
    System,
}

impl Filters {
    /// Compiles all enabled filters. Disabled filters must be valid too.
    ///
    /// # Errors
    /// Everything that is wrong with the filters, each with its key below `prefix`.
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

    /// Returns the filters' names; a filter's index is its position here.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().map(|filter| filter.name.as_str())
    }

    /// Returns whether a filter also needs rows after enrichment.
    pub(crate) fn needs_enriched(&self) -> bool {
        self.filters.iter().any(|filter| match &filter.rule {
            Rule::Pattern(pattern) => pattern.reads_field(Stage::Enriched),
            Rule::Cel(cel) => cel.stage() == Stage::Enriched,
            Rule::System => false,
        })
    }

    /// Returns whether a filter reads the ancestors of processes.
    pub(crate) fn ask_for_descent(&self) -> bool {
        self.filters.iter().any(|filter| match &filter.rule {
            Rule::Pattern(_) | Rule::System => false,
            Rule::Cel(cel) => cel.reads(ANCESTORS),
        })
    }

    /// Returns the index of the first filter that drops the row. At [`Stage::Enriched`] only filters that could not
    /// decide before are evaluated.
    pub fn drops(&self, row: &Tracking, stage: Stage) -> Option<usize> {
        self.filters.iter().position(|filter| filter.drops(row, stage))
    }

    /// Takes what filters had no answer for since the previous call, by filter. The rows concerned are kept.
    pub fn take_failures(&self) -> impl Iterator<Item = (&str, Failures)> {
        self.filters.iter().filter_map(|filter| match &filter.rule {
            Rule::Pattern(pattern) => Some((filter.name.as_str(), pattern.take_failures()?)),
            Rule::Cel(cel) => Some((filter.name.as_str(), cel.take_failures()?)),
            Rule::System => None,
        })
    }
}

impl FiltersConfig {
    /// Returns everything that is wrong with the settings.
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        Filters::compile(self, prefix).err().unwrap_or_default()
    }
}

impl Filter {
    fn compile(name: &str, config: &FilterConfig, prefix: &str) -> Result<Self, Vec<Problem>> {
        let rule = match config.kind(prefix)? {
            FilterKind::PatternFilter => Rule::Pattern(PatternFilter::compile(config, prefix)?),
            FilterKind::Cel => Rule::Cel(CelFilter::compile(config, prefix)?),
            FilterKind::System => config.validate_system(prefix).map(|()| Rule::System)?,
        };
        let tracers = config.tracers.iter().map(|name| TracerName::new(name)).collect();
        Ok(Self { name: name.to_owned(), tracers, rule })
    }

    fn drops(&self, row: &Tracking, stage: Stage) -> bool {
        // Rows of tracer `manifest` describe what the store can't contain. Only a filter that names this tracer may
        // drop them.
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
            Rule::System => stage == Stage::Normalized && row.extended.details.reads_system_file(),
        }
    }
}

#[cfg(test)]
mod tests;
