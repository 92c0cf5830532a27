//! Warnings about tests in filters that no row can pass, so that the filter does not do what its author meant.

use std::collections::BTreeSet;

use expression::{Asked, Expression, Schema, nearest};
use model::Problem;

use super::config::FilterConfig;
use super::list::entries;
use super::users::{id_of, is_number};

/// Names that rows are stored under.
#[derive(Clone, Debug, Default)]
pub struct TracerNames {
    /// Names of built-in tracers, and of the agent's own rows.
    pub built_in: BTreeSet<String>,
    /// Names of templates, the rows of which have any values.
    pub templates: BTreeSet<String>,
}

impl TracerNames {
    fn unknown(&self, name: &str) -> Option<String> {
        if self.built_in.contains(name) || self.templates.contains(name) {
            return None;
        }
        let known = self.built_in.iter().chain(&self.templates).map(String::as_str);
        Some(format!("no tracer is called {name:?}, did you mean {:?}?", nearest(name, known)))
    }
}

impl FilterConfig {
    pub(super) fn never_true(&self, prefix: &str, names: &TracerNames) -> Vec<Problem> {
        let mut found = Vec::new();
        for (index, tracer) in self.tracers.iter().enumerate() {
            let warning = names.unknown(tracer);
            found.extend(warning.map(|message| Problem::new(format!("{prefix}.tracers[{index}]"), message)));
        }
        // Rows of a template may have other values in fields of the same names.
        let is_template = |name: &String| names.templates.contains(name);
        if !self.tracers.is_empty() && self.tracers.iter().all(is_template) {
            return found;
        }
        for (key, text) in [("drop", &self.drop), ("keep", &self.keep)] {
            let Some(Ok(compiled)) = text.as_ref().map(|text| Expression::compile(text, &Schema::default()))
            else {
                continue;
            };
            let warnings = compiled.asked().into_iter().filter_map(|asked| why(&asked, names));
            found.extend(warnings.map(|message| Problem::new(format!("{prefix}.{key}"), message)));
        }
        let lists =
            self.excludes.iter().filter_map(|(key, list)| Some((key, key.strip_prefix("exclude_")?, list)));
        for (key, field, list) in lists {
            for (index, entry) in entries(list).unwrap_or_default().iter().enumerate() {
                let warning = not_a_number(field, entry).or_else(|| why(&Asked::whole(field, entry), names));
                found
                    .extend(warning.map(|message| Problem::new(format!("{prefix}.{key}[{index}]"), message)));
            }
        }
        found
    }
}

fn why(asked: &Asked, names: &TracerNames) -> Option<String> {
    match (asked.field.as_str(), asked.whole) {
        ("tracer", true) => names.unknown(&asked.text),
        // A pattern filter compares lists as one text.
        _ => asked.is_never_true(),
    }
}

fn not_a_number(field: &str, entry: &str) -> Option<String> {
    if !is_number(field) || entry.parse::<i64>().is_ok() || id_of(field, entry).is_some() {
        return None;
    }
    Some(if field.ends_with("uid") {
        format!("this machine has no user {entry:?}, so no row has it in {field}")
    } else if field.ends_with("gid") {
        format!("this machine has no group {entry:?}, so no row has it in {field}")
    } else {
        format!("{field} is a number, no row has {entry:?} in it")
    })
}
