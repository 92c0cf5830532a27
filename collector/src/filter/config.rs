//! Settings of filters: `[filter.<name>]`. The keys are duetector's; values that duetector misreads are read
//! correctly.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::keys::{OWN_KEYS, PATTERN_KEYS};
use super::list::entries;
use super::pattern::is_found_in_anything;
use super::tracer_names::TracerNames;

/// All filters (`[filter.<name>]`), by name. A row that matches any of them is dropped and counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FiltersConfig(pub BTreeMap<String, FilterConfig>);

impl Default for FiltersConfig {
    fn default() -> Self {
        let filters = [("pattern", FilterConfig::empty_lists()), ("system", FilterConfig::system())];
        Self(filters.map(|(name, filter)| (name.to_owned(), filter)).into())
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
    /// Reading of files of the system, see [`model::system_files`].
    System,
}

/// Settings of a filter (`[filter.<name>]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilterConfig {
    /// Kind of filter: `patternfilter`, `cel` or `system`; if absent, the other settings decide.
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
    /// Folders whose files are the system's, for kind `system` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folders: Option<Vec<PathBuf>>,
    /// Single files of the system, for kind `system` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PathBuf>>,
    /// Drops rows of the agent's own process. Has an effect only on pattern filters.
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
            folders: None,
            files: None,
            ignore_current_pid: true,
            enable_customize_exclude: true,
            excludes: BTreeMap::new(),
        }
    }
}

impl FilterConfig {
    /// Returns a pattern filter with duetector's five lists, which are empty. It does not exclude root: on most machines a
    /// first run would then show nothing.
    fn empty_lists() -> Self {
        let lists = OWN_KEYS.map(|key| (key.to_owned(), Value::Array(Vec::new())));
        Self { kind: Some(FilterKind::PatternFilter), excludes: lists.into(), ..Self::default() }
    }

    /// Returns the kind that is set, or that the other settings imply.
    pub(super) fn kind(&self, prefix: &str) -> Result<FilterKind, Vec<Problem>> {
        let expression =
            [("drop", &self.drop), ("keep", &self.keep)].into_iter().find(|(_, text)| text.is_some());
        let unknown = |known: &'static str, keys: &mut dyn Iterator<Item = &str>| {
            // Worded like serde's error, which the configuration loader parses.
            let problem = |key: &str| {
                let message = format!("unknown field `{key}`, expected one of {known}");
                Problem::new(format!("{prefix}.{key}"), message)
            };
            let problems: Vec<_> = keys.map(problem).collect();
            if problems.is_empty() { Ok(()) } else { Err(problems) }
        };
        let paths = [("files", &self.files), ("folders", &self.folders)];
        let paths = || paths.iter().filter(|(_, list)| list.is_some()).map(|(key, _)| *key);
        let lists = || self.excludes.keys().map(String::as_str);
        let (system, cel) = (
            "`kind`, `disabled`, `tracers`, `folders`, `files`",
            "`kind`, `disabled`, `tracers`, `drop`, `keep`",
        );
        match (self.kind, expression) {
            (Some(FilterKind::PatternFilter), Some((key, _))) => {
                let message =
                    "this filter is a patternfilter; an expression is a filter of its own, [filter.<name>]";
                Err(vec![Problem::new(format!("{prefix}.{key}"), message)])
            }
            (Some(FilterKind::System), expression) => {
                let expression = expression.map(|(key, _)| key);
                unknown(system, &mut lists().chain(expression)).map(|()| FilterKind::System)
            }
            (Some(FilterKind::Cel), _) | (None, Some(_)) => {
                unknown(cel, &mut lists().chain(paths())).map(|()| FilterKind::Cel)
            }
            (Some(FilterKind::PatternFilter) | None, None) => {
                unknown(PATTERN_KEYS, &mut paths()).map(|()| FilterKind::PatternFilter)
            }
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

/// Returns the filters used when the configuration has none.
pub fn default_filters() -> FiltersConfig {
    FiltersConfig::default()
}
