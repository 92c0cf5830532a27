//! `tracers enable|disable NAME…` in the running agent: finds the tracers meant, then turns them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::part::{Named, Part};

/// What became of one tracer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turned {
    /// The name it is stored under.
    pub(crate) tracer: String,
    /// What happened, in words.
    pub(crate) outcome: String,
    /// It is as it was to be.
    pub(crate) ok: bool,
}

/// Turns all of these, one after the other; or none, if one of them is not known.
///
/// # Errors
/// Which are not known, with the nearest known one.
pub(crate) async fn turn(
    parts: &[Arc<dyn Part>],
    config: &Config,
    names: &[String],
    on: bool,
) -> Result<Vec<Turned>, String> {
    let known: Vec<(&Arc<dyn Part>, Named)> =
        parts.iter().flat_map(|part| part.switchable().into_iter().map(move |named| (part, named))).collect();
    let all: Vec<&Named> = known.iter().map(|(_, named)| named).collect();
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for name in names {
        match find(&all, config, name) {
            Ok(place) => found.push(place),
            Err(why) => wrong.push(why),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    let mut turned = Vec::new();
    for place in found {
        let (part, named) = &known[place];
        let done = part.turn(named.clone(), on).await;
        turned.push(tell(named, on, done));
    }
    Ok(turned)
}

fn tell(named: &Named, on: bool, done: Result<bool, String>) -> Turned {
    let now = if on { "enabled" } else { "disabled" };
    let (outcome, ok) = match done {
        Ok(true) if on => ("enabled: it records from now on".to_owned(), true),
        Ok(true) => ("disabled: all it had seen is handed on".to_owned(), true),
        Ok(false) => (format!("already {now}"), true),
        Err(cause) => (format!("could not be {now}: {cause}"), false),
    };
    tracing::info!(tracer = named.stored_as.as_str(), outcome, "tracer turned");
    Turned { tracer: named.stored_as.to_string(), outcome, ok }
}

/// By the name it is stored under, else by its section or the last part of that.
fn find(known: &[&Named], config: &Config, name: &str) -> Result<usize, String> {
    if let Some(place) = known.iter().position(|named| named.stored_as.as_str() == name) {
        return Ok(place);
    }
    let by_section = |named: &&&Named| named.section == name || named.short() == name;
    let places: Vec<usize> = (0..known.len()).filter(|place| by_section(&&known[*place])).collect();
    match places[..] {
        [place] => Ok(place),
        [] => Err(unknown(known, config, name)),
        _ => {
            let sections: Vec<&str> = places.iter().map(|place| known[*place].section.as_str()).collect();
            Err(format!("{name:?} is more than one tracer: say {}", sections.join(" or ")))
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
        _ => format!("no tracer {name:?}: `tracers` lists them"),
    }
}

/// A section of that name which asks for no tracer now.
fn disabled_section(config: &Config, name: &str) -> Option<String> {
    let tracers = serde_json::to_value(&config.tracer).ok()?;
    let template = tracers.get("template")?;
    let kinds = template.as_object()?.iter().filter_map(|(kind, of)| Some((kind, of.as_object()?)));
    for (kind, of) in kinds {
        if let Some(key) =
            of.keys().find(|key| *key == name || format!("tracer.template.{kind}.{key}") == name)
        {
            return Some(format!("tracer.template.{kind}.{key}"));
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
    fn a_tracer_is_found_by_any_of_its_names() {
        let known = [
            named("files", "tracer.open"),
            named("kernel", "tracer.template.sh.kernel"),
            named("open", "tracer.template.sp.jobs"),
            named("x", "tracer.template.sp.kernel"),
        ];
        let known: Vec<&Named> = known.iter().collect();
        let config = Config::default();
        let found = |name: &str| find(&known, &config, name);
        // The name it is stored under comes first.
        assert_eq!(found("open"), Ok(2));
        assert_eq!(found("tracer.open"), Ok(0));
        assert_eq!(found("jobs"), Ok(2));
        assert_eq!(found("kernel"), Ok(1));
        assert_eq!(found("x"), Ok(3));
        assert_eq!(found("fils").unwrap_err(), "no tracer \"fils\", did you mean \"files\"?");
        assert_eq!(found("zzz").unwrap_err(), "no tracer \"zzz\": `tracers` lists them");
    }

    #[test]
    fn a_section_that_is_disabled_says_so() {
        let mut config = Config::default();
        let template = shell_monitor::config::ShellTemplate { disabled: true, ..Default::default() };
        config.tracer.template.sh.insert("date".to_owned(), template);
        let found = find(&[], &config, "date").unwrap_err();
        assert!(found.ends_with("set tracer.template.sh.date.disabled = false, then reload"), "{found}");
    }
}
