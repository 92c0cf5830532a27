//! Filters: what is dropped on purpose. Compiled once when the configuration is read; a bad pattern is refused
//! there, never met by a record.

mod config;
mod field;
mod list;
mod pattern;

use std::collections::HashSet;

use model::{Problem, TracerName, Tracking};

pub use config::{FilterConfig, FilterKind, FiltersConfig, default_filters};
use field::{FieldRef, Found};
use pattern::Patterns;

/// What a row knows by when; filters ask as early as they can, so that what is dropped is not enriched first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The record's own fields.
    Normalized,
    /// Those that enrichers add too.
    Enriched,
}

/// Fields that enrichers add.
const ENRICHED: [&str; 5] = ["cwd", "exe", "container_id", "cwd_bytes", "exe_bytes"];
/// The settings that count without `enable_customize_exclude`.
const OWN_KEYS: [&str; 5] =
    ["re_exclude_fname", "re_exclude_comm", "exclude_pid", "exclude_uid", "exclude_gid"];

/// All filters of a run.
#[derive(Debug, Default)]
pub struct Filters {
    filters: Vec<PatternFilter>,
}

/// duetector's `PatternFilter`, compiled.
#[derive(Debug)]
struct PatternFilter {
    name: String,
    tracers: HashSet<TracerName>,
    own_pid: Option<i64>,
    rules: Vec<Rule>,
}

/// What one field must not be.
#[derive(Debug)]
struct Rule {
    field: FieldRef,
    stage: Stage,
    texts: HashSet<String>,
    numbers: HashSet<i64>,
    patterns: Patterns,
}

impl Filters {
    /// Compiles all that are on.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its key below `prefix`.
    pub fn compile(config: &FiltersConfig, prefix: &str) -> Result<Self, Vec<Problem>> {
        let (mut filters, mut problems) = (Vec::new(), Vec::new());
        for (name, section) in &config.0 {
            match PatternFilter::compile(name, section, &format!("{prefix}.{name}")) {
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
        self.filters.iter().flat_map(|filter| &filter.rules).any(|rule| rule.stage == Stage::Enriched)
    }

    /// The first filter that drops the row, by number. At [`Stage::Enriched`] only what could not be known before
    /// is looked at.
    pub fn drops(&self, row: &Tracking, stage: Stage) -> Option<usize> {
        self.filters.iter().position(|filter| filter.drops(row, stage))
    }
}

impl PatternFilter {
    fn compile(name: &str, config: &FilterConfig, prefix: &str) -> Result<Self, Vec<Problem>> {
        let (mut rules, mut problems) = (Vec::new(), Vec::new());
        for (key, value) in &config.excludes {
            match Rule::compile(key, value, &format!("{prefix}.{key}")) {
                Ok(rule) if rule.is_empty() => {}
                Ok(rule) if config.enable_customize_exclude || OWN_KEYS.contains(&key.as_str()) => {
                    rules.push(rule)
                }
                Ok(_) => {}
                Err(mut found) => problems.append(&mut found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let own_pid = config.ignore_current_pid.then(|| i64::from(std::process::id()));
        let tracers = config.tracers.iter().map(|name| TracerName::new(name)).collect();
        Ok(Self { name: name.to_owned(), tracers, own_pid, rules })
    }

    fn drops(&self, row: &Tracking, stage: Stage) -> bool {
        if !self.tracers.is_empty() && !self.tracers.contains(&row.tracer) {
            return false;
        }
        let own = stage == Stage::Normalized && self.own_pid.is_some() && row.pid == self.own_pid;
        own || self.rules.iter().any(|rule| rule.stage == stage && rule.matches(row))
    }
}

impl Rule {
    fn compile(key: &str, value: &serde_json::Value, full_key: &str) -> Result<Self, Vec<Problem>> {
        let (field, is_regex) = match (key.strip_prefix("re_exclude_"), key.strip_prefix("exclude_")) {
            (Some(field), _) if !field.is_empty() => (field, true),
            (_, Some(field)) if !field.is_empty() => (field, false),
            // In serde's own words, which the loader reads.
            _ => {
                let known = "expected one of `kind`, `disabled`, `tracers`, `ignore_current_pid`, \
                             `enable_customize_exclude`, `exclude_<field>`, `re_exclude_<field>`";
                return Err(vec![Problem::new(full_key, format!("unknown field `{key}`, {known}"))]);
            }
        };
        let Some(entries) = list::entries(value) else {
            return Err(vec![Problem::new(full_key, format!("{value} is no list of texts or numbers"))]);
        };
        let stage = if ENRICHED.contains(&field) { Stage::Enriched } else { Stage::Normalized };
        let mut rule = Self {
            field: FieldRef::named(field),
            stage,
            texts: HashSet::new(),
            numbers: HashSet::new(),
            patterns: Patterns::default(),
        };
        if is_regex {
            rule.patterns = Patterns::compile(&entries).map_err(|problems| {
                let at = |(place, cause): (usize, String)| {
                    let pattern = entries.get(place).map_or("", String::as_str);
                    Problem::new(
                        format!("{full_key}[{place}]"),
                        format!("{pattern:?} is no pattern: {cause}"),
                    )
                };
                problems.into_iter().map(at).collect::<Vec<_>>()
            })?;
        } else {
            // Numbers are compared as text: "00" is not 0.
            let number =
                |entry: &String| entry.parse::<i64>().ok().filter(|number| number.to_string() == *entry);
            rule.numbers = entries.iter().filter_map(number).collect();
            rule.texts = entries.into_iter().collect();
        }
        Ok(rule)
    }

    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.patterns.is_empty()
    }

    fn matches(&self, row: &Tracking) -> bool {
        match self.field.find(row) {
            None => false,
            Some(Found::Int(number)) => {
                self.numbers.contains(&number)
                    || (!self.patterns.is_empty() && self.patterns.found_in(&number.to_string()))
            }
            Some(Found::Text(text)) => {
                let text = text.trim();
                self.texts.contains(text) || self.patterns.found_in(text)
            }
        }
    }
}

#[cfg(test)]
mod tests;
