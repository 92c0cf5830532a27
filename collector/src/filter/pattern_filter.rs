//! duetector's `PatternFilter`, compiled.

use std::borrow::Cow;
use std::collections::HashSet;

use expression::{EvalError, Source as _, Value, is_path};
use model::extended::Field;
use model::schema::{Column, ColumnValue};
use model::{Problem, Tracking};

use super::config::FilterConfig;
use super::keys::{OWN_KEYS, PATTERN_KEYS};
use super::list;
use super::pattern::Patterns;
use super::stage::{ENRICHED, Stage};
use super::undecided::{Failures, Tally};
use super::users::resolved;

/// A pattern filter: drops rows by the values and patterns of its rules.
#[derive(Debug)]
pub(super) struct PatternFilter {
    own_pid: Option<i64>,
    rules: Vec<Rule>,
    failures: Tally,
}

/// Values and patterns that one field must not match.
#[derive(Debug)]
struct Rule {
    field: RowField,
    stage: Stage,
    texts: HashSet<String>,
    numbers: HashSet<i64>,
    patterns: Patterns,
}

/// Where a rule finds its field in a row.
#[derive(Debug)]
enum RowField {
    Column(Column),
    Field(String),
}

impl RowField {
    fn named(name: &str) -> Self {
        // duetector's filter sees the fields of `extended` one by one, and has no ancestors.
        let column =
            Column::named(name).filter(|column| !matches!(column, Column::Extended | Column::Ancestors));
        column.map_or_else(|| Self::Field(name.to_owned()), Self::Column)
    }
}

impl PatternFilter {
    pub(super) fn compile(config: &FilterConfig, prefix: &str) -> Result<Self, Vec<Problem>> {
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
        Ok(Self { own_pid, rules, failures: Tally::default() })
    }

    pub(super) fn reads_field(&self, stage: Stage) -> bool {
        self.rules.iter().any(|rule| rule.stage == stage)
    }

    pub(super) fn drops(&self, row: &Tracking, stage: Stage) -> bool {
        if stage == Stage::Normalized && self.own_pid.is_some() && row.pid == self.own_pid {
            return true;
        }
        let mut is_in_doubt = false;
        for rule in self.rules.iter().filter(|rule| rule.stage == stage) {
            match rule.matches(row) {
                Some(true) => return true,
                Some(false) => {}
                None => is_in_doubt = true,
            }
        }
        if is_in_doubt {
            self.failures.add(EvalError::Incomplete);
        }
        false
    }

    pub(super) fn take_failures(&self) -> Option<Failures> {
        self.failures.take()
    }
}

impl Rule {
    fn compile(key: &str, value: &serde_json::Value, full_key: &str) -> Result<Self, Vec<Problem>> {
        let (field, is_regex) = match (key.strip_prefix("re_exclude_"), key.strip_prefix("exclude_")) {
            (Some(field), _) if !field.is_empty() => (field, true),
            (_, Some(field)) if !field.is_empty() => (field, false),
            // Worded like serde's error, which the configuration loader parses.
            _ => {
                let message = format!("unknown field `{key}`, expected one of {PATTERN_KEYS}");
                return Err(vec![Problem::new(full_key, message)]);
            }
        };
        let Some(entries) = list::entries(value) else {
            return Err(vec![Problem::new(full_key, format!("{value} is no list of texts or numbers"))]);
        };
        let stage = if ENRICHED.contains(&field) { Stage::Enriched } else { Stage::Normalized };
        let mut rule = Self {
            field: RowField::named(field),
            stage,
            texts: HashSet::new(),
            numbers: HashSet::new(),
            patterns: Patterns::default(),
        };
        if is_regex {
            rule.patterns = Patterns::compile(&entries).map_err(|problems| {
                let at = |(index, cause): (usize, String)| {
                    let pattern = entries.get(index).map_or("", String::as_str);
                    let message = format!("{pattern:?} is no pattern: {cause}");
                    Problem::new(format!("{full_key}[{index}]"), message)
                };
                problems.into_iter().map(at).collect::<Vec<_>>()
            })?;
        } else {
            let entries = resolved(field, entries);
            // Numbers are compared as text: "00" does not match 0.
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

    /// Returns whether the field has one of the values; `None` if the field is a path of which not enough is known.
    fn matches(&self, row: &Tracking) -> Option<bool> {
        match self.is_in_doubt(row) {
            None => Some(self.is_found(row)),
            // Some of it may be known: that it can't be one of the values.
            Some(end) if self.patterns.is_empty() => {
                let possible = self.texts.iter().any(|text| text.ends_with(end.trim()));
                (!possible).then_some(false)
            }
            Some(_) => None,
        }
    }

    /// Returns what is known of a path that is not known as a whole.
    fn is_in_doubt<'a>(&self, row: &'a Tracking) -> Option<Cow<'a, str>> {
        let value = match &self.field {
            RowField::Column(column) if is_path(column.name()) => row.column(*column),
            RowField::Field(name) if is_path(name) => row.field(name),
            RowField::Column(_) | RowField::Field(_) => return None,
        };
        match value {
            Value::Part(end) => Some(end.unwrap_or_default()),
            _ => None,
        }
    }

    fn is_found(&self, row: &Tracking) -> bool {
        let text = match self.field {
            RowField::Column(column) => match row.value(column) {
                ColumnValue::Int(number) => return self.matches_number(number),
                value => value.to_plain(),
            },
            RowField::Field(ref name) => match row.extended.get(name) {
                Some(Field::Int(number)) => return self.matches_number(number),
                found => found.and_then(Field::into_python),
            },
        };
        let Some(text) = text else { return false };
        let text = text.trim();
        self.texts.contains(text) || self.patterns.found_in(text)
    }

    fn matches_number(&self, number: i64) -> bool {
        self.numbers.contains(&number)
            || (!self.patterns.is_empty() && self.patterns.found_in(&number.to_string()))
    }
}
