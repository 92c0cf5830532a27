//! `tracers enable|disable NAME…` in the running agent: resolves the names, then enables or disables the tracers one after
//! the other. If a name is unknown, no tracer is changed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::subsystem::{Named, Subsystem};

/// The result for one tracer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EnableResult {
    /// The tracer's name in the store and in `status`.
    pub(crate) tracer: String,
    /// A sentence that says what happened.
    pub(crate) outcome: String,
    /// True if the tracer is in the requested state now.
    pub(crate) ok: bool,
}

/// Enables or disables the named tracers one after the other; none of them if one of the names is unknown.
///
/// # Errors
/// Lists the unknown names, each with the nearest known one.
pub(crate) async fn set_enabled(
    subsystems: &[Arc<dyn Subsystem>],
    config: &Config,
    names: &[String],
    on: bool,
) -> Result<Vec<EnableResult>, String> {
    let known: Vec<(&Arc<dyn Subsystem>, Named)> =
        subsystems.iter().flat_map(|it| it.switchable().into_iter().map(move |named| (it, named))).collect();
    let all: Vec<&Named> = known.iter().map(|(_, named)| named).collect();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for name in names {
        match find(&all, config, name) {
            Ok(index) => found.push(index),
            Err(why) => wrong.push(why),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let mut results = Vec::new();
    for index in found {
        let (subsystem, named) = &known[index];
        let done = subsystem.set_enabled(named.stored_as.clone(), on).await;
        results.push(result(named, on, done));
    }
    Ok(results)
}

fn result(named: &Named, on: bool, done: Result<bool, String>) -> EnableResult {
    let now = if on { "enabled" } else { "disabled" };
    let (outcome, ok) = match done {
        Ok(true) if on => ("enabled: it records from now on".to_owned(), true),
        Ok(true) => ("disabled: what it had recorded before is kept".to_owned(), true),
        Ok(false) => (format!("already {now}"), true),
        Err(cause) => (format!("could not be {now}: {cause}"), false),
    };
    tracing::info!(tracer = named.stored_as.as_str(), outcome, "tracer enabled or disabled by command");
    EnableResult { tracer: named.stored_as.to_string(), outcome, ok }
}

/// Returns the index of the tracer that is stored under that name; else of the one with that section, whole or its last
/// part.
fn find(known: &[&Named], config: &Config, name: &str) -> Result<usize, String> {
    if let Some(index) = known.iter().position(|named| named.stored_as.as_str() == name) {
        return Ok(index);
    }
    let by_section = |named: &&&Named| named.section == name || named.short() == name;
    let indexes: Vec<usize> = (0..known.len()).filter(|index| by_section(&&known[*index])).collect();
    match indexes[..] {
        [index] => Ok(index),
        [] => Err(unknown(known, config, name)),
        _ => {
            let sections: Vec<&str> = indexes.iter().map(|index| known[*index].section.as_str()).collect();
            Err(format!("{name:?} is the name of several tracers: use {}", sections.join(" or ")))
        }
    }
}

fn unknown(known: &[&Named], config: &Config, name: &str) -> String {
    if let Some(section) = disabled_section(config, name) {
        return format!(
            "tracer {name:?} is disabled in the configuration: set {section}.disabled = false, then reload"
        );
    }
    let names = known.iter().flat_map(|named| [named.stored_as.as_str(), named.short()]);
    let nearest =
        names.max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest {
        Some(nearest) if strsim::jaro_winkler(name, nearest) > 0.7 => {
            format!("no tracer {name:?}, did you mean {nearest:?}?")
        }
        _ => format!("no tracer {name:?}: `duetector-actors tracers` lists all"),
    }
}

/// Returns the section of that name if the configuration has one; it is disabled, or the tracer would exist.
fn disabled_section(config: &Config, name: &str) -> Option<String> {
    let tracers = serde_json::to_value(&config.tracer).ok()?;
    let template = tracers.get("template")?;
    let kinds = template.as_object()?.iter().filter_map(|(kind, of)| Some((kind, of.as_object()?)));
    for (kind, of) in kinds {
        let prefix = format!("tracer.template.{kind}.");
        let key = name.strip_prefix(&prefix).unwrap_or(name);
        if of.contains_key(key) {
            return Some(prefix + key);
        }
    }
    let own = tracers.get(name.strip_prefix("tracer.").unwrap_or(name))?;
    own.get("disabled").is_some().then(|| format!("tracer.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(stored_as: &str, section: &str) -> Named {
        Named { stored_as: stored_as.into(), section: section.to_owned() }
    }

    #[test]
    fn a_tracer_is_found_by_stored_name_section_or_last_part() {
        let known = [
            named("files", "tracer.open"),
            named("kernel", "tracer.template.sh.kernel"),
            named("open", "tracer.template.sp.jobs"),
            named("x", "tracer.template.sp.kernel"),
        ];
        let known: Vec<&Named> = known.iter().collect();
        let config = Config::default();
        let found = |name: &str| find(&known, &config, name);
        // A stored name wins over a section.
        assert_eq!(found("open"), Ok(2));
        assert_eq!(found("tracer.open"), Ok(0));
        assert_eq!(found("jobs"), Ok(2));
        assert_eq!(found("kernel"), Ok(1));
        assert_eq!(found("x"), Ok(3));
        assert_eq!(found("fils").unwrap_err(), "no tracer \"fils\", did you mean \"files\"?");
        assert_eq!(found("zzz").unwrap_err(), "no tracer \"zzz\": `duetector-actors tracers` lists all");
    }

    #[test]
    fn the_error_for_a_disabled_tracer_names_the_setting() {
        let mut config = Config::default();
        let template = shell_monitor::config::ShellTemplate { disabled: true, ..Default::default() };
        config.tracer.template.sh.insert("date".to_owned(), template);
        let found = find(&[], &config, "date").unwrap_err();
        assert!(found.ends_with("set tracer.template.sh.date.disabled = false, then reload"), "{found}");
    }
}
