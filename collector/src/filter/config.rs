//! Settings of filters: `[filter.<name>]`. duetector's keys, with what it reads wrongly read right.

use std::collections::BTreeMap;

use model::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Filters;
use super::list::entries;
use super::pattern::is_found_in_anything;

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

    /// What is no error and most likely not meant: to be told when the configuration is read.
    pub fn warnings(&self, prefix: &str) -> Vec<Problem> {
        let on = self.0.iter().filter(|(_, filter)| !filter.disabled);
        on.flat_map(|(name, filter)| filter.warnings(&format!("{prefix}.{name}"))).collect()
    }
}

/// What a filter understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterKind {
    /// duetector's `PatternFilter`.
    PatternFilter,
    /// An expression in CEL: see [`model::expression`].
    Cel,
}

/// A filter (`[filter.<name>]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterConfig {
    /// What it understands: `patternfilter`, or `cel`. Without, what its other settings say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FilterKind>,
    /// Do not use it.
    pub disabled: bool,
    /// Only rows of these tracers, by the names they are stored under; empty: all.
    pub tracers: Vec<String>,
    /// An expression: drop rows for which it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<String>,
    /// An expression: drop rows for which it does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// Drop what the agent itself does. Of no meaning to an expression.
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
            kind: None,
            disabled: false,
            tracers: Vec::new(),
            drop: None,
            keep: None,
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
        Self { kind: Some(FilterKind::PatternFilter), excludes, ..Self::default() }
    }

    /// What it understands: as it says, or as its settings do.
    pub(super) fn kind(&self, prefix: &str) -> Result<FilterKind, Vec<Problem>> {
        let expression =
            [("drop", &self.drop), ("keep", &self.keep)].into_iter().find(|(_, text)| text.is_some());
        match (self.kind, expression) {
            (Some(FilterKind::PatternFilter), Some((key, _))) => {
                let message =
                    "this filter is a patternfilter; an expression is a filter of its own, [filter.<name>]";
                Err(vec![Problem::new(format!("{prefix}.{key}"), message)])
            }
            (Some(FilterKind::Cel), _) | (None, Some(_)) => match self.excludes.keys().next() {
                None => Ok(FilterKind::Cel),
                // In serde's own words, which the loader reads.
                Some(_) => Err(self.excludes.keys().map(|key| unknown_to_cel(prefix, key)).collect()),
            },
            (Some(FilterKind::PatternFilter) | None, None) => Ok(FilterKind::PatternFilter),
        }
    }

    /// What is no error and most likely not meant.
    fn warnings(&self, prefix: &str) -> Vec<Problem> {
        let lists = self.excludes.iter().filter(|(key, _)| key.starts_with("re_exclude_"));
        let patterns = lists.flat_map(|(key, value)| {
            let entries = entries(value).unwrap_or_default();
            entries
                .into_iter()
                .enumerate()
                .map(move |(place, pattern)| (format!("{prefix}.{key}[{place}]"), pattern))
        });
        let found = patterns.filter(|(_, pattern)| is_found_in_anything(pattern));
        let warning = |(key, pattern): (String, String)| {
            let mut message =
                format!("{pattern:?} is found in every text, so every row with this field is dropped");
            if let Some(rest) = pattern.strip_prefix("(?!") {
                message.push_str(&format!("; to keep only what it names, write \"^(?!{rest}\""));
            }
            Problem::new(key, message)
        };
        found.map(warning).collect()
    }
}

fn unknown_to_cel(prefix: &str, key: &str) -> Problem {
    let known = "expected one of `kind`, `disabled`, `tracers`, `drop`, `keep`";
    Problem::new(format!("{prefix}.{key}"), format!("unknown field `{key}`, {known}"))
}

/// The filters that are there when nobody says otherwise.
pub fn default_filters() -> FiltersConfig {
    FiltersConfig::default()
}
