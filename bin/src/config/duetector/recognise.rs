//! Recognises a file in duetector's format by its sections.

use toml::Table;

use super::super::layers::{Layer, Setting};
use super::super::origin::Key;
use super::super::sections::Config;

/// Sections and settings that only duetector has.
const THEIRS: [&str; 17] = [
    "monitor",
    "analyzer",
    "injector",
    "server.token",
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
/// Sections of both formats, in which the sections below them decide.
const SHARED: [&str; 3] = ["tracer", "filter", "collector"];
/// Settings that only our filters have.
const OUR_FILTER_KEYS: [&str; 6] = ["kind", "tracers", "drop", "keep", "folders", "files"];
/// The section of duetector's filter, which can also be the name of a filter of ours.
const EITHER: &str = "filter.patternfilter";

/// Returns whether the settings (with keys in lower case) are duetector's.
///
/// # Errors
/// That some settings are duetector's and some are ours.
pub(super) fn is_duetectors(settings: &Layer) -> Result<bool, String> {
    let own = Table::try_from(Config::default()).unwrap_or_default();
    let find = |is: &dyn Fn(&Key) -> bool| settings.iter().find(|(key, _)| is(key));
    let example = |(key, setting): (&Key, &Setting)| format!("{} ({})", key.join("."), setting.origin);
    match (find(&|key| is_theirs(key)), find(&|key| is_ours(key, &own))) {
        (Some(theirs), Some(ours)) => Err(format!(
            "settings of duetector's, like {}, and of ours, like {}, in one file: use one format only; \
             `duetector-actors config import` translates a file of duetector's",
            example(theirs),
            example(ours)
        )),
        (Some(_), None) => Ok(true),
        (None, Some(_)) => Ok(false),
        // A file with only a pattern filter is duetector's; templates mean the same in both formats.
        (None, None) => Ok(find(&|key| is_in(key, EITHER)).is_some()),
    }
}

/// Returns whether only duetector has this setting.
fn is_theirs(key: &Key) -> bool {
    THEIRS.iter().any(|section| is_in(key, section))
}

/// Returns whether a variable is duetector's setting, given a file that is known to be duetector's.
pub(super) fn is_theirs_in_env(key: &Key) -> bool {
    is_theirs(key) || is_in(key, EITHER)
}

/// Returns whether only we have this setting. A setting of neither may belong to an extension of duetector's, or be a
/// mistake.
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
