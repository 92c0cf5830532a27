//! Each tracer's settings with nothing left open: what its template says over what its host's section says.

use std::collections::BTreeMap;
use std::time::Duration;

use model::TracerName;
use model::units::Size;
use serde_json::{Map, Value};

use crate::config::{
    Config, ParseConfig, ShellConfig, ShellTemplate, SubprocessConfig, SubprocessTemplate, UnameConfig,
};

/// What to run and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub comm: Vec<String>,
    /// With the agent's whole environment, not a small clean one.
    pub preserve_env: bool,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Folder to run in.
    pub cwd: Option<String>,
    /// Whom to run as; see [`crate::user`].
    pub user: Option<String>,
}

impl Command {
    /// The program, for messages.
    pub fn program(&self) -> &str {
        self.comm.first().map_or("", String::as_str)
    }
}

/// What becomes of output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Parse {
    /// One record.
    #[default]
    Text,
    /// A record a line.
    Lines,
    /// A record an object.
    Json,
    /// A record a line, which is an object.
    Jsonl,
    /// A record a line that the pattern is found in.
    Regex {
        /// With named groups.
        pattern: String,
        /// Groups that are numbers.
        numbers: Vec<String>,
    },
}

/// A shell tracer with nothing left open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellSettings {
    /// The name it is stored under.
    pub name: TracerName,
    /// The section it comes from.
    pub section: String,
    /// The command.
    pub command: Command,
    /// What becomes of its output.
    pub parse: Parse,
    /// What the run before had, too, is not stored again.
    pub enable_cache: bool,
    /// From start to start.
    pub interval: Duration,
    /// A run that takes longer is killed.
    pub timeout: Duration,
    /// Bytes of output kept.
    pub output_limit: usize,
}

impl ShellSettings {
    /// Whether the same runs would make the same records, so that what one has emitted the other need not.
    pub(crate) fn emits_like(&self, other: &Self) -> bool {
        let Self { name, command, parse, enable_cache, output_limit, section: _, interval: _, timeout: _ } =
            self;
        (name, command, parse, *enable_cache, *output_limit)
            == (&other.name, &other.command, &other.parse, other.enable_cache, other.output_limit)
    }
}

/// A subprocess tracer with nothing left open.
#[derive(Clone, Debug, PartialEq)]
pub struct SubprocessSettings {
    /// The name its events are stored under unless they bring their own.
    pub name: TracerName,
    /// The section it comes from.
    pub section: String,
    /// The child.
    pub command: Command,
    /// From one `event` message to the next.
    pub poll_interval: Duration,
    /// `init`'s `poll_time`.
    pub poll_time: Duration,
    /// From `stop` to SIGTERM.
    pub kill_timeout: Duration,
    /// Restarts before it is given up.
    pub restart_times: u32,
    /// Longest line, bytes.
    pub line_limit: usize,
    /// Ended and started anew after so long without a word.
    pub heartbeat: Option<Duration>,
    /// `init`'s `config`.
    pub config: Map<String, Value>,
}

impl Config {
    /// Every shell tracer that is to run.
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

    /// Every subprocess tracer that is to run.
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
        // duetector lays the user's keys over the tracer's defaults, of which there is one.
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
            },
            poll_interval: self.poll_interval.unwrap_or(host.poll_interval).0,
            poll_time: host.poll_time.0,
            kill_timeout: self.kill_timeout.unwrap_or(host.kill_timeout).0,
            restart_times: self.restart_times.unwrap_or(host.restart_times),
            line_limit: bytes(self.line_limit.unwrap_or(host.line_limit)),
            heartbeat: self.heartbeat.map(|period| period.0),
            config,
        }
    }
}

/// A name as it is stored: lower case.
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
