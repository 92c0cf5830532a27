//! Settings of filters: `[filter.<name>]`. The keys are duetector's; values that duetector misreads are read
//! correctly.

use std::collections::BTreeMap;

use model::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::list::entries;
use super::pattern::is_found_in_anything;
use super::tracer_names::TracerNames;

/// Paths hidden by default: files that the system opens for every process, rather than data that the process works
/// on. Programs are not among them (an executed `/usr/lib/…/git` is shown), nor is `/run/secrets`.
const NOISE: [&str; 10] = [
    "^/proc/",
    "^/sys/",
    "^/dev/(null|zero|full|u?random|tty|ptmx|pts/[0-9]+)$",
    "^/run/(systemd|udev|dbus|lock|log|nscd)/",
    r"^/etc/ld\.so\.(cache|preload)$",
    r"^/etc/(localtime|locale\.alias)$",
    // Shared libraries, by their usual name. The dynamic loader has another name and can be executed, so it is shown.
    r"^/(usr/)?lib(32|64|x32)?/(.*/)?lib[^/]*\.so[.0-9]*$",
    "^/(usr/)?lib(32|64)?/(.*/)?(gconv|locale)/",
    "^/usr/lib(32|64)?/(.*/)?(python3[.0-9]*|perl[^/]*)/",
    "^/usr/share/(locale|zoneinfo|i18n|perl[^/]*)/",
];

/// All filters (`[filter.<name>]`), by name. A row that matches any of them is dropped and counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FiltersConfig(pub BTreeMap<String, FilterConfig>);

impl Default for FiltersConfig {
    fn default() -> Self {
        Self(BTreeMap::from([("pattern".to_owned(), FilterConfig::noise())]))
    }
}

impl FiltersConfig {
    /// Returns warnings: settings that are valid but probably a mistake. They are shown when the configuration is
    /// read.
    pub fn warnings(&self, prefix: &str, tracers: &TracerNames) -> Vec<Problem> {
        let on = self.0.iter().filter(|(_, filter)| !filter.disabled);
        on.flat_map(|(name, filter)| filter.warnings(&format!("{prefix}.{name}"), tracers)).collect()
    }
}

/// Kind of filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterKind {
    /// Lists and patterns, as in duetector's `PatternFilter`.
    PatternFilter,
    /// An expression in CEL; see [`expression`].
    Cel,
}

/// Settings of a filter (`[filter.<name>]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterConfig {
    /// Kind of filter: `patternfilter` or `cel`; if absent, the other settings decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<FilterKind>,
    /// Disables the filter.
    pub disabled: bool,
    /// Tracers whose rows the filter checks, by the names they are stored under; empty: all.
    pub tracers: Vec<String>,
    /// Expression that is true for rows to drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop: Option<String>,
    /// Expression that is true for rows to keep; all others are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// Drops rows of the agent's own process. Has no effect on expressions.
    pub ignore_current_pid: bool,
    /// Allows `exclude_<field>` and `re_exclude_<field>` for other fields than duetector's own five.
    pub enable_customize_exclude: bool,
    /// Lists of values and patterns. `exclude_<field>` drops rows in which the field equals one of the values;
    /// `re_exclude_<field>` drops rows in which one of the patterns is found anywhere in the field, unless it is
    /// anchored (`^`). The field is a column or a field of `extended`; the value is a list, or text with commas.
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
    /// Returns the default filter. It does not exclude root: on most machines a first run would then show nothing.
    pub fn noise() -> Self {
        let patterns = NOISE.iter().map(|pattern| Value::from(*pattern)).collect();
        let mut excludes = BTreeMap::from([("re_exclude_fname".to_owned(), Value::Array(patterns))]);
        for key in ["re_exclude_comm", "exclude_pid", "exclude_uid", "exclude_gid"] {
            excludes.insert(key.to_owned(), Value::Array(Vec::new()));
        }
        Self { kind: Some(FilterKind::PatternFilter), excludes, ..Self::default() }
    }

    /// Returns the kind that is set, or that the other settings imply.
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
                // Worded like serde's error, which the configuration loader parses.
                Some(_) => Err(self.excludes.keys().map(|key| unknown_to_cel(prefix, key)).collect()),
            },
            (Some(FilterKind::PatternFilter) | None, None) => Ok(FilterKind::PatternFilter),
        }
    }

    fn warnings(&self, prefix: &str, tracers: &TracerNames) -> Vec<Problem> {
        let lists = self.excludes.iter().filter(|(key, _)| key.starts_with("re_exclude_"));
        let patterns = lists.flat_map(|(key, value)| {
            let entries = entries(value).unwrap_or_default();
            entries
                .into_iter()
                .enumerate()
                .map(move |(index, pattern)| (format!("{prefix}.{key}[{index}]"), pattern))
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
        found.map(warning).chain(self.never_true(prefix, tracers)).collect()
    }
}

fn unknown_to_cel(prefix: &str, key: &str) -> Problem {
    let known = "expected one of `kind`, `disabled`, `tracers`, `drop`, `keep`";
    Problem::new(format!("{prefix}.{key}"), format!("unknown field `{key}`, {known}"))
}

/// Returns the filters used when the configuration has none.
pub fn default_filters() -> FiltersConfig {
    FiltersConfig::default()
}
