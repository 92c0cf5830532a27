//! Settings of the two hosts, of the built-in `uname`, and of templates: tracers a user adds with no Rust.
//!
//! A template says only where it differs; what it leaves open comes from its host's section, see [`crate::settings`].

use std::collections::BTreeMap;
use std::time::Duration;

use model::units::{Period, Size};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Everything this crate can be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[shell]`
    pub shell: ShellConfig,
    /// `[tracer.uname]`
    pub uname: UnameConfig,
    /// `[subprocess]`
    pub subprocess: SubprocessConfig,
    /// `[tracer.template]`
    pub template: TemplateConfig,
}

/// What all shell tracers share (`[shell]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellConfig {
    /// Run no shell tracer at all.
    pub disabled: bool,
    /// From one start of a command to its next, where its tracer says nothing else.
    pub interval: Period,
    /// A command that runs longer is killed with its whole process group, where its tracer says nothing else.
    pub timeout: Period,
    /// More output than this of one run is cut, and counted.
    pub output_limit: Size,
    /// So many commands run side by side; one tracer's own runs never overlap.
    pub max_running: u32,
}

impl Default for ShellConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            interval: seconds(10),
            timeout: seconds(5),
            output_limit: Size(1 << 20),
            max_running: 16,
        }
    }
}

/// The built-in shell tracer (`[tracer.uname]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnameConfig {
    /// Do not run it.
    pub disabled: bool,
    /// The name it is stored under.
    pub name: String,
    /// The command: program and arguments, no shell.
    pub comm: Vec<String>,
    /// The same output is not stored twice in a row.
    pub enable_cache: bool,
    /// From one start of the command to its next.
    pub interval: Period,
}

impl Default for UnameConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            name: "uname".to_owned(),
            comm: vec!["uname".to_owned(), "-a".to_owned()],
            enable_cache: true,
            interval: seconds(60),
        }
    }
}

/// What all subprocess tracers share (`[subprocess]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubprocessConfig {
    /// Run no subprocess tracer at all.
    pub disabled: bool,
    /// From one `event` message to the child to the next.
    pub poll_interval: Period,
    /// What `init` tells the child as `poll_time`. duetector's meaning: how long one look at its pipe takes.
    pub poll_time: Period,
    /// From `stop` to SIGTERM, where a child's template says nothing else.
    pub kill_timeout: Period,
    /// How often a child that ended is started anew before it is given up.
    pub restart_times: u32,
    /// A longer line is counted and skipped.
    pub line_limit: Size,
}

impl Default for SubprocessConfig {
    fn default() -> Self {
        Self {
            disabled: false,
            poll_interval: Period(Duration::from_millis(500)),
            poll_time: Period(Duration::from_millis(10)),
            kill_timeout: seconds(5),
            restart_times: 3,
            line_limit: Size(16 << 20),
        }
    }
}

/// Tracers a user adds (`[tracer.template]`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateConfig {
    /// Run none of them.
    pub disabled: bool,
    /// Shell tracers, by name.
    pub sh: BTreeMap<String, ShellTemplate>,
    /// Subprocess tracers, by name.
    pub sp: BTreeMap<String, SubprocessTemplate>,
}

/// What becomes of a command's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParseConfig {
    /// All of it is one record's `output`.
    #[default]
    Text,
    /// Each line that is not blank is a record's `line`.
    Lines,
    /// It is a JSON object, a record's fields; or an array of such.
    Json,
    /// Each line is a JSON object, a record's fields.
    Jsonl,
    /// Each line that `pattern` is found in is a record; the pattern's named groups are its fields.
    Regex,
}

/// A shell tracer (`[tracer.template.sh.<name>]`), duetector's `name = { comm = [...], config = {...} }` or ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellTemplate {
    /// The command: program and arguments, no shell.
    pub comm: Vec<String>,
    /// Do not run it.
    pub disabled: bool,
    /// The name it is stored under; its key, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the run before had, too, is not stored again: the same output, or with `lines`, `json`, `jsonl` and
    /// `regex` the same lines or elements; on, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_cache: Option<bool>,
    /// What becomes of the output; `text`, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parse: Option<ParseConfig>,
    /// With `parse = "regex"`: what is looked for in each line. `(?<name>…)` makes a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// With `parse = "regex"`: groups that are stored as numbers where they are numbers; the others are text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// From one start of the command to its next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// A run that takes longer is killed with its process group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// More output than this of one run is cut, and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<Size>,
    /// Added to the command's small clean environment.
    pub env: BTreeMap<String, String>,
    /// Folder to run in; the agent's, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Whom to run as: a name or number, with `:group` if not with its own; with its supplementary groups. The
    /// agent's user, if not said; somebody else needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// duetector's place for `disabled` and `enable_cache`.
    pub config: ShellTemplateInner,
}

/// The `config` table inside a shell template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellTemplateInner {
    /// Do not run it.
    pub disabled: bool,
    /// The same output is not stored twice in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_cache: Option<bool>,
}

/// A subprocess tracer (`[tracer.template.sp.<name>]`), in duetector's form or ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubprocessTemplate {
    /// The child: program and arguments, no shell.
    pub comm: Vec<String>,
    /// Do not run it.
    pub disabled: bool,
    /// The name its events are stored under unless they bring a `tracer_name`; its key, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Give the child the agent's whole environment instead of a small clean one.
    pub preserve_env: bool,
    /// Added to the child's environment.
    pub env: BTreeMap<String, String>,
    /// Folder to run in; the agent's, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Whom to run as: a name or number, with `:group` if not with its own; with its supplementary groups. The
    /// agent's user, if not said; somebody else needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How often it is started anew before it is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_times: Option<u32>,
    /// From `stop` to SIGTERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_timeout: Option<Period>,
    /// From one `event` message to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_interval: Option<Period>,
    /// A longer line is counted and skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_limit: Option<Size>,
    /// A child that says nothing for so long, on stdout or stderr, is ended and started anew; never, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Period>,
    /// Handed to the child in `init` as it is. duetector's `disabled` in it counts.
    pub config: Map<String, Value>,
}

fn seconds(count: u64) -> Period {
    Period(Duration::from_secs(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_as_it_is_written() {
        let text = toml::to_string(&SubprocessConfig::default()).unwrap();
        assert_eq!(toml::from_str::<SubprocessConfig>(&text).unwrap(), SubprocessConfig::default());
        assert!(toml::from_str::<ShellConfig>("intervall = \"1s\"").is_err());
    }
}
