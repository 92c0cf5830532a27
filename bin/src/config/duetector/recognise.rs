//! Whose file it is: duetector's or ours, by its sections.

use toml::Table;

use super::super::layers::{Key, Leaf, Leaves};
use super::super::sections::Config;

/// Sections and settings that only duetector has.
const THEIRS: [&str; 17] = [
    "monitor",
    "analyzer",
    "injector",
    "server",
    "filter.disabled",
    "filter.include_extension",
    "tracer.disabled",
    "tracer.include_extension",
    "tracer.opentracer",
    "tracer.clonetracer",
    "tracer.tcpconnecttracer",
    "tracer.unametracer",
    "collector.disabled",
    "collector.include_extension",
    "collector.dbcollector",
    "collector.otelcollector",
    "collector.dequecollector",
];
/// Sections that both have, with sections of their own below.
const SHARED: [&str; 3] = ["tracer", "filter", "collector"];
/// Settings of a filter that duetector's filters do not have.
const OUR_FILTER_KEYS: [&str; 4] = ["kind", "tracers", "drop", "keep"];
/// duetector's filter. One of ours can have that name.
const EITHER: &str = "filter.patternfilter";

/// Whether the settings (keys in lower case) are duetector's.
///
/// # Errors
/// When some are duetector's and some are ours.
pub(super) fn is_duetectors(leaves: &Leaves) -> Result<bool, String> {
    let own = Table::try_from(Config::default()).unwrap_or_default();
    let find = |is: &dyn Fn(&Key) -> bool| leaves.0.iter().find(|(key, _)| is(key));
    let said = |(key, leaf): (&Key, &Leaf)| format!("{} ({})", key.join("."), leaf.origin);
    match (find(&|key| is_theirs(key)), find(&|key| is_ours(key, &own))) {
        (Some(theirs), Some(ours)) => Err(format!(
            "settings of duetector's, like {}, and of ours, like {}, in one file: keep to one of them; \
             `duetector-actors config import` translates a file of duetector's",
            said(theirs),
            said(ours)
        )),
        (Some(_), None) => Ok(true),
        (None, Some(_)) => Ok(false),
        // A pattern filter alone is duetector's; templates alone mean the same in both.
        (None, None) => Ok(find(&|key| is_in(key, EITHER)).is_some()),
    }
}

/// Whether a setting is one that only duetector has.
fn is_theirs(key: &Key) -> bool {
    THEIRS.iter().any(|section| is_in(key, section))
}

/// The same beside a file that is known to be duetector's.
pub(super) fn is_theirs_in_env(key: &Key) -> bool {
    is_theirs(key) || is_in(key, EITHER)
}

/// Whether a setting is one that only we have. What neither has may be an extension's of duetector's, or a mistake.
fn is_ours(key: &Key, own: &Table) -> bool {
    let (Some(section), name) = (key.first(), key.get(1)) else { return false };
    if is_theirs(key) {
        return false;
    }
    if !SHARED.contains(&section.as_str()) {
        return own.contains_key(section);
    }
    let Some(name) = name else { return false };
    match section.as_str() {
        "filter" => {
            name == "pattern" || key.get(2).is_some_and(|key| OUR_FILTER_KEYS.contains(&key.as_str()))
        }
        "tracer" if name == "template" => is_in(key, "tracer.template.bpf"),
        _ => own.get(section).and_then(|section| section.get(name)).is_some(),
    }
}

fn is_in(key: &Key, section: &str) -> bool {
    let mut parts = key.iter();
    section.split('.').all(|section| parts.next().is_some_and(|part| part == section))
}
