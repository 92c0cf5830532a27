//! Complete settings of each tracer: its template's settings, completed from its host's section.

use std::collections::BTreeMap;
use std::time::Duration;

use model::TracerName;
use model::units::Size;
use serde_json::{Map, Value};

use crate::config::{
    Config, ParseConfig, ShellConfig, ShellTemplate, SubprocessConfig, SubprocessTemplate, UnameConfig,
};

/// Program to run, and its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and its arguments.
    pub comm: Vec<String>,
    /// Passes the agent's whole environment instead of a minimal one.
    pub preserve_env: bool,
    /// Variables added to the environment.
    pub env: BTreeMap<String, String>,
    /// Working folder of the program.
    pub cwd: Option<String>,
    /// User to run as; see [`crate::user`].
    pub user: Option<String>,
    /// Lets the program gain privileges from setuid programs and file capabilities.
    pub allow_setuid: bool,
}

impl Command {
    /// Returns the program's name, for messages.
    pub fn program(&self) -> &str {
        self.comm.first().map_or("", String::as_str)
    }
}

/// Conversion of output to records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parse {
    /// The whole output is one record.
    #[default]
    Text,
    /// Each line is one record.
    Lines,
    /// Each JSON object is one record.
    Json,
    /// Each line is a JSON object and one record.
    Jsonl,
    /// Each line in which the pattern is found is one record.
    Regex {
        /// Pattern with named groups.
        pattern: String,
        /// Groups that are stored as numbers.
        numbers: Vec<String>,
    },
}

/// Complete settings of a shell tracer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellSettings {
    /// Name that its rows are stored under.
    pub name: TracerName,
    /// Configuration section that defines it.
    pub section: String,
    /// Command to run.
    pub command: Command,
    /// Conversion of its output to records.
    pub parse: Parse,
    /// Skips output that the previous run also had.
    pub enable_cache: bool,
    /// Time from one start to the next.
    pub interval: Duration,
    /// Time after which a run is killed.
    pub timeout: Duration,
    /// Bytes of output that are kept.
    pub output_limit: usize,
}

impl ShellSettings {
    /// Returns whether both would make the same records of the same runs, so that records already emitted need not be
    /// emitted again.
    pub(crate) fn emits_like(&self, other: &Self) -> bool {
        let Self { name, command, parse, enable_cache, output_limit, section: _, interval: _, timeout: _ } =
            self;
        (name, command, parse, *enable_cache, *output_limit)
            == (&other.name, &other.command, &other.parse, other.enable_cache, other.output_limit)
    }
}

/// Complete settings of a subprocess tracer.
#[derive(Clone, Debug, PartialEq)]
pub struct SubprocessSettings {
    /// Name that its events are stored under unless they contain another.
    pub name: TracerName,
    /// Configuration section that defines it.
    pub section: String,
    /// Command of the child.
    pub command: Command,
    /// Time from one `event` message to the next.
    pub poll_interval: Duration,
    /// Value of `poll_time` in `init`.
    pub poll_time: Duration,
    /// Time from `stop` to SIGTERM.
    pub kill_timeout: Duration,
    /// Number of restarts before it is given up.
    pub restart_times: u32,
    /// Longest line in bytes.
    pub line_limit: usize,
    /// Time without output after which the child is ended and restarted.
    pub heartbeat: Option<Duration>,
    /// Table `config` in `init`.
    pub config: Map<String, Value>,
}

impl Config {
    /// Returns the settings of all enabled shell tracers.
    pub fn shells(&self) -> Vec<ShellSettings> {
        let mut shells = Vec::new();
        if self.shell.disabled {
            return shells;
        }
        if !self.uname.disabled {
            shells.push(self.uname.settings(&self.shell));
        }
        let templates = self.template.sh.iter().filter(|(_, template)| !template.is_disabled());
        shells.extend(
            templates.filter(|_| !self.template.disabled).map(|(key, it)| it.settings(key, &self.shell)),
        );
        shells
    }

    /// Returns the settings of all enabled subprocess tracers.
    pub fn subprocesses(&self) -> Vec<SubprocessSettings> {
        if self.subprocess.disabled || self.template.disabled {
            return Vec::new();
        }
        let templates = self.template.sp.iter().filter(|(_, template)| !template.is_disabled());
        templates.map(|(key, template)| template.settings(key, &self.subprocess)).collect()
    }
}

impl UnameConfig {
    fn settings(&self, shell: &ShellConfig) -> ShellSettings {
        ShellSettings {
            name: tracer_name(&self.name),
            section: "tracer.uname".to_owned(),
            command: Command { comm: self.comm.clone(), ..Command::default() },
            parse: Parse::Text,
            enable_cache: self.enable_cache,
            interval: self.interval.0,
            timeout: shell.timeout.0,
            output_limit: bytes(shell.output_limit),
        }
    }
}

impl ShellTemplate {
    fn is_disabled(&self) -> bool {
        self.disabled || self.config.disabled
    }

    fn settings(&self, key: &str, shell: &ShellConfig) -> ShellSettings {
        ShellSettings {
            name: tracer_name(self.name.as_deref().unwrap_or(key)),
            section: format!("tracer.template.sh.{key}"),
            command: Command {
                comm: self.comm.clone(),
                preserve_env: false,
                env: self.env.clone(),
                cwd: self.cwd.clone(),
                user: self.user.clone(),
                allow_setuid: self.allow_setuid,
            },
            parse: self.parsing(),
            enable_cache: self.enable_cache.or(self.config.enable_cache).unwrap_or(true),
            interval: self.interval.unwrap_or(shell.interval).0,
            timeout: self.timeout.unwrap_or(shell.timeout).0,
            output_limit: bytes(self.output_limit.unwrap_or(shell.output_limit)),
        }
    }

    fn parsing(&self) -> Parse {
        match self.parse.unwrap_or_default() {
            ParseConfig::Text => Parse::Text,
            ParseConfig::Lines => Parse::Lines,
            ParseConfig::Json => Parse::Json,
            ParseConfig::Jsonl => Parse::Jsonl,
            ParseConfig::Regex => Parse::Regex {
                pattern: self.pattern.clone().unwrap_or_default(),
                numbers: self.numbers.clone(),
            },
        }
    }
}

impl SubprocessTemplate {
    fn is_disabled(&self) -> bool {
        self.disabled || self.config.get("disabled") == Some(&Value::Bool(true))
    }

    fn settings(&self, key: &str, host: &SubprocessConfig) -> SubprocessSettings {
        // duetector merges the user's keys over the tracer's defaults, of which there is one.
        let mut config = Map::from_iter([("disabled".to_owned(), Value::Bool(false))]);
        config.extend(self.config.clone());
        SubprocessSettings {
            name: tracer_name(self.name.as_deref().unwrap_or(key)),
            section: format!("tracer.template.sp.{key}"),
            command: Command {
                comm: self.comm.clone(),
                preserve_env: self.preserve_env,
                env: self.env.clone(),
                cwd: self.cwd.clone(),
                user: self.user.clone(),
                allow_setuid: self.allow_setuid,
            },
            poll_interval: self.poll_interval.unwrap_or(host.poll_interval).0,
            poll_time: host.poll_time.0,
            kill_timeout: self.kill_timeout.unwrap_or(host.kill_timeout).0,
            restart_times: self.restart_times.unwrap_or(host.restart_times),
            line_limit: bytes(self.line_limit.unwrap_or_else(|| match self.user {
                Some(_) => host.line_limit.min(USERS_LINE_LIMIT),
                None => host.line_limit,
            })),
            heartbeat: self.heartbeat.map(|period| period.0),
            config,
        }
    }
}

/// Longest line in bytes of a child that runs as another user, unless its section says otherwise: a line is in memory as a whole,
/// in a form that may take many times its bytes.
const USERS_LINE_LIMIT: Size = Size(1 << 20);

/// Returns the name in lower case, as it is stored.
fn tracer_name(name: &str) -> TracerName {
    TracerName::new(&name.to_lowercase())
}

fn bytes(size: Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TemplateConfig;

    #[test]
    fn duetectors_template_form_is_understood() {
        let template: TemplateConfig = toml::from_str(
            "[sh]\n\
             Kernel = { comm = [\"uname\"], config = { enable_cache = false } }\n\
             off = { comm = [\"uname\"], config = { disabled = true } }\n\
             [sp]\n\
             child = { comm = [\"prog\", \"arg\"], config = { depth = 3 } }\n",
        )
        .unwrap();
        let config = Config { template, ..Config::default() };
        let shells = config.shells();
        let names: Vec<&str> = shells.iter().map(|shell| shell.name.as_str()).collect();
        assert_eq!(names, ["uname", "kernel"]);
        assert_eq!((shells[0].enable_cache, shells[1].enable_cache), (true, false));
        let child = &config.subprocesses()[0];
        assert_eq!(serde_json::to_string(&child.config).unwrap(), r#"{"disabled":false,"depth":3}"#);
        assert_eq!((child.command.preserve_env, child.restart_times), (false, 3));
    }

    #[test]
    fn our_own_keys_win_over_the_hosts() {
        let template: TemplateConfig = toml::from_str(
            "[sp.child]\n\
             comm = [\"prog\"]\n\
             name = \"Other\"\n\
             kill_timeout = \"1s\"\n\
             restart_times = 0\n",
        )
        .unwrap();
        let child = &Config { template, ..Config::default() }.subprocesses()[0];
        assert_eq!((child.name.as_str(), child.section.as_str()), ("other", "tracer.template.sp.child"));
        assert_eq!((child.kill_timeout, child.restart_times), (Duration::from_secs(1), 0));
    }
}
