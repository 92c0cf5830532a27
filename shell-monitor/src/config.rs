//! Settings of the two hosts, of the built-in `uname`, and of templates: tracers that a user adds without writing
//! Rust.
//!
//! A template contains only what differs; everything else comes from its host's section, see [`crate::settings`].

use std::collections::BTreeMap;
use std::time::Duration;

use model::units::{Period, Size};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Settings of this crate, by section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// Settings in `[shell]`, for all shell tracers.
    pub shell: ShellConfig,
    /// Settings in `[tracer.uname]`, the built-in shell tracer.
    pub uname: UnameConfig,
    /// Settings in `[subprocess]`, for all subprocess tracers.
    pub subprocess: SubprocessConfig,
    /// Templates in `[tracer.template]`.
    pub template: TemplateConfig,
}

/// Settings that all shell tracers share (`[shell]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellConfig {
    /// Disables all shell tracers.
    pub disabled: bool,
    /// Time from one start of a command to the next, unless its tracer sets another.
    pub interval: Period,
    /// Time after which a command is killed with its process group, unless its tracer sets another.
    pub timeout: Period,
    /// Bytes of output kept of one run; more is cut, and counted.
    pub output_limit: Size,
    /// Number of commands that may run at the same time; runs of one tracer never overlap.
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

/// Settings of the built-in shell tracer (`[tracer.uname]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnameConfig {
    /// Disables the tracer.
    pub disabled: bool,
    /// Name that its rows are stored under.
    pub name: String,
    /// Program and arguments of the command; no shell is used.
    pub comm: Vec<String>,
    /// Skips output that is the same as that of the previous run.
    pub enable_cache: bool,
    /// Time from one start of the command to the next.
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

/// Settings that all subprocess tracers share (`[subprocess]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubprocessConfig {
    /// Disables all subprocess tracers.
    pub disabled: bool,
    /// Time from one `event` message to the next.
    pub poll_interval: Period,
    /// Value of `poll_time` in the `init` message; in duetector, how long one poll of its pipe takes.
    pub poll_time: Period,
    /// Time from `stop` to SIGTERM, unless a child's template sets another.
    pub kill_timeout: Period,
    /// Number of restarts of a child before it is given up.
    pub restart_times: u32,
    /// Longest line in bytes; a longer one is counted and skipped.
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

/// Tracers that a user adds (`[tracer.template]`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateConfig {
    /// Disables all templates.
    pub disabled: bool,
    /// Shell tracers, by name.
    pub sh: BTreeMap<String, ShellTemplate>,
    /// Subprocess tracers, by name.
    pub sp: BTreeMap<String, SubprocessTemplate>,
}

/// Conversion of a command's output to records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParseConfig {
    /// The whole output is one record, as its `output`.
    #[default]
    Text,
    /// Each line that is not blank is one record, as its `line`.
    Lines,
    /// The output is a JSON object, whose fields are one record; or an array of such objects.
    Json,
    /// Each line is a JSON object, whose fields are one record.
    Jsonl,
    /// Each line in which `pattern` is found is one record; the pattern's named groups are its fields.
    Regex,
}

/// Settings of a shell tracer (`[tracer.template.sh.<name>]`), in duetector's form `name = { comm = [...], config =
/// {...} }` or ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellTemplate {
    /// Program and arguments of the command; no shell is used.
    pub comm: Vec<String>,
    /// Disables the tracer.
    pub disabled: bool,
    /// Name that its rows are stored under; default: its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Skips output that the previous run also had: the whole output, or with `lines`, `json`, `jsonl` and `regex`
    /// the same lines or elements. Enabled by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_cache: Option<bool>,
    /// Conversion of the output to records; default: `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parse: Option<ParseConfig>,
    /// Pattern to find in each line, with `parse = "regex"`. `(?<name>…)` makes a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Groups that are stored as numbers if they are numbers, with `parse = "regex"`; the others are text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<String>,
    /// Time from one start of the command to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// Time after which a run is killed with its process group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Bytes of output kept of one run; more is cut, and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<Size>,
    /// Variables added to the command's minimal environment.
    pub env: BTreeMap<String, String>,
    /// Working folder; default: the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// User to run as, with the supplementary groups: a name or number, with `:group` for another group than the
    /// user's own. Default: the agent's user; another one needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Lets the program and what it runs gain privileges: from setuid programs such as sudo, and file capabilities.
    pub allow_setuid: bool,
    /// duetector's table for `disabled` and `enable_cache`.
    pub config: ShellTemplateInner,
}

/// Table `config` of a shell template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShellTemplateInner {
    /// Disables the tracer.
    pub disabled: bool,
    /// Skips output that is the same as that of the previous run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_cache: Option<bool>,
}

/// Settings of a subprocess tracer (`[tracer.template.sp.<name>]`), in duetector's form or ours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubprocessTemplate {
    /// Program and arguments of the child; no shell is used.
    pub comm: Vec<String>,
    /// Disables the tracer.
    pub disabled: bool,
    /// Name that its events are stored under unless they contain a `tracer_name`; default: its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Passes the agent's whole environment to the child instead of a minimal one.
    pub preserve_env: bool,
    /// Variables added to the child's environment.
    pub env: BTreeMap<String, String>,
    /// Working folder; default: the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// User to run as, with the supplementary groups: a name or number, with `:group` for another group than the
    /// user's own. Default: the agent's user; another one needs root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Lets the program and what it runs gain privileges: from setuid programs such as sudo, and file capabilities.
    pub allow_setuid: bool,
    /// Number of restarts before the child is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_times: Option<u32>,
    /// Time from `stop` to SIGTERM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill_timeout: Option<Period>,
    /// Time from one `event` message to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_interval: Option<Period>,
    /// Longest line in bytes; a longer one is counted and skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_limit: Option<Size>,
    /// Time without output on stdout or stderr after which the child is ended and restarted; default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Period>,
    /// Table passed unchanged to the child in `init`. `disabled` in it disables the tracer, as in duetector.
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
