//! Warnings about tests in filters that no row can pass. A filter with such a test does not do what its author meant.

use expression::{Asked, Expression, Schema};
use model::Problem;

use super::config::FilterConfig;
use super::list::entries;
use super::tracer_names::TracerNames;
use super::users::{id_of, is_number};

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::FiltersConfig;
    use super::*;

    fn names() -> TracerNames {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        TracerNames { built_in: set(&["open", "exec", "unlink"]), templates: set(&["mine"]) }
    }

    #[test]
    fn tests_that_no_row_can_pass_cause_a_warning() {
        let table = [
            (
                json!({"tracers": ["open", "openat"]}),
                "tracers[1]: no tracer is called \"openat\", did you mean \"open\"?",
            ),
            (
                json!({"drop": "tracer == 'openat'"}),
                "drop: no tracer is called \"openat\", did you mean \"open\"?",
            ),
            (
                json!({"keep": "errno == 'eacces'"}),
                "keep: no row has \"eacces\" in errno, did you mean \"EACCES\"?",
            ),
            (json!({"exclude_errno": ["eacces"]}), "exclude_errno[0]: no row has \"eacces\" in errno"),
            (
                json!({"drop": "'O_CREATE' in flags"}),
                "drop: no row has \"O_CREATE\" in flags, did you mean \"O_CREAT\"?",
            ),
            (
                json!({"exclude_comm": "sh, kworker/u8:0-events"}),
                "exclude_comm[1]: no row has \"kworker/u8:0-events\" in comm",
            ),
            (
                json!({"exclude_uid": ["nobody-here"]}),
                "exclude_uid[0]: this machine has no user \"nobody-here\"",
            ),
            (json!({"exclude_pid": ["sshd"]}), "exclude_pid[0]: pid is a number, no row has \"sshd\" in it"),
        ];
        for (section, expected) in table {
            let filter: FilterConfig = serde_json::from_value(section.clone()).unwrap();
            let warnings =
                FiltersConfig(BTreeMap::from([("f".to_owned(), filter)])).warnings("filter", &names());
            let [warning] = &warnings[..] else { panic!("{section}: {warnings:?}") };
            assert!(warning.to_string().starts_with(&format!("filter.f.{expected}")), "{warning}");
        }
        for section in [
            json!({"tracers": ["mine"], "drop": "errno == 'eacces'"}),
            json!({"exclude_uid": ["root", 0], "exclude_gid": "root", "exclude_comm": ["kworker/u8:0-e"]}),
        ] {
            let filter: FilterConfig = serde_json::from_value(section.clone()).unwrap();
            let warnings =
                FiltersConfig(BTreeMap::from([("f".to_owned(), filter)])).warnings("filter", &names());
            assert_eq!(warnings, [], "{section}");
        }
    }
}
