//! Settings of filters: `[filter.<name>]`. duetector's keys, with what it reads wrongly read right.

use std::collections::BTreeMap;

use model::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Filters;

/// What a first user does not want to see: what the system does for each process, not what the process does
/// with data. Programs are not among it (an executed `/usr/lib/…/git` is shown), nor is `/run/secrets`.
const NOISE: [&str; 10] = [
    "^/proc/",
    "^/sys/",
    "^/dev/(null|zero|full|u?random|tty|ptmx|pts/[0-9]+)$",
    "^/run/(systemd|udev|dbus|lock|log|nscd)/",
    r"^/etc/ld\.so\.(cache|preload)$",
    r"^/etc/(localtime|locale\.alias)$",
    // Shared libraries, by the name all of them have; the loader itself has another and can be executed.
    r"^/(usr/)?lib(32|64|x32)?/(.*/)?lib[^/]*\.so[.0-9]*$",
    "^/(usr/)?lib(32|64)?/(.*/)?(gconv|locale)/",
    "^/usr/lib(32|64)?/(.*/)?(python3[.0-9]*|perl[^/]*)/",
    "^/usr/share/(locale|zoneinfo|i18n|perl[^/]*)/",
];

/// All filters (`[filter.<name>]`), by name. A row that any of them matches is dropped, and counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FiltersConfig(pub BTreeMap<String, FilterConfig>);

impl Default for FiltersConfig {
    fn default() -> Self {
        Self(BTreeMap::from([("pattern".to_owned(), FilterConfig::noise())]))
    }
}

impl FiltersConfig {
    /// All that is wrong with the settings.
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        Filters::compile(self, prefix).err().unwrap_or_default()
    }
}

/// What a filter understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterKind {
    /// duetector's `PatternFilter`.
    #[default]
    PatternFilter,
}

/// A filter (`[filter.<name>]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterConfig {
    /// What it understands: `patternfilter`.
    pub kind: FilterKind,
    /// Do not use it.
    pub disabled: bool,
    /// Only rows of these tracers, by the names they are stored under; empty: all.
    pub tracers: Vec<String>,
    /// Drop what the agent itself does.
    pub ignore_current_pid: bool,
    /// Look at `exclude_<field>` and `re_exclude_<field>` of other fields than duetector's own five.
    pub enable_customize_exclude: bool,
    /// `exclude_<field>`: drop rows whose field is one of these. `re_exclude_<field>`: drop rows in whose field one of
    /// these patterns is found, anywhere unless it is anchored (`^`). Any column or field of `extended` will do; a
    /// list, or text with commas.
    #[serde(flatten)]
    pub excludes: BTreeMap<String, Value>,
}

impl Default for FilterConfig {
    fn default() -> Self {
        Self {
            kind: FilterKind::default(),
            disabled: false,
            tracers: Vec::new(),
            ignore_current_pid: true,
            enable_customize_exclude: true,
            excludes: BTreeMap::new(),
        }
    }
}

impl FilterConfig {
    /// The one that is there when nobody says otherwise. Root is not excluded: on most machines a first run would
    /// show nothing.
    pub fn noise() -> Self {
        let patterns = NOISE.iter().map(|pattern| Value::from(*pattern)).collect();
        let mut excludes = BTreeMap::from([("re_exclude_fname".to_owned(), Value::Array(patterns))]);
        for key in ["re_exclude_comm", "exclude_pid", "exclude_uid", "exclude_gid"] {
            excludes.insert(key.to_owned(), Value::Array(Vec::new()));
        }
        Self { excludes, ..Self::default() }
    }
}

/// The filters that are there when nobody says otherwise.
pub fn default_filters() -> FiltersConfig {
    FiltersConfig::default()
}
