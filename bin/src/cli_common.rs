//! The common options, `--config`, `--set` and `--workdir`, and the configuration and paths that follow from them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, Args, Command};

use crate::config::{Config, Loaded, Sources, load};
use crate::exit::Failure;
use crate::output;

/// Heading of these options in the help of each command.
const HEADING: &str = "Common options";

/// The options that every command accepts. Those that have no effect on a command are [`without_effect`] there.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// Configuration file (TOML). It needs only the settings that differ from the defaults, which `config generate`
    /// prints. Environment variables such as DUETECTOR_EBPF__PIN=true override the file
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub(crate) config: Option<PathBuf>,
    /// Set one value of the configuration, for example --set ebpf.pin=true. Overrides the file and the environment
    /// variables. May be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = HEADING)]
    pub(crate) set: Vec<String>,
    /// Work folder. It has the store (an SQLite file), a lock file, and the socket through which commands reach the running
    /// agent. Default: /var/lib/duetector-actors for root, otherwise $XDG_STATE_HOME/duetector-actors or
    /// ~/.local/state/duetector-actors
    #[arg(long, global = true, value_name = "DIR", help_heading = HEADING)]
    pub(crate) workdir: Option<PathBuf>,
    /// Use configuration files and programs that other users may change. For tests only
    #[arg(long, global = true, hide = true)]
    pub(crate) insecure_permissions: bool,
}

/// Returns those common options, for a command on which they have no effect: it accepts them and does not list them in
/// its help.
pub(crate) fn without_effect(options: &[&str]) -> Vec<Arg> {
    let common = Common::augment_args(Command::new(""));
    let chosen = common.get_arguments().filter(|arg| options.contains(&arg.get_id().as_str()));
    chosen.map(|arg| arg.clone().hide(true)).collect()
}

impl Common {
    /// Loads the configuration.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        self.load_with_origins().map(|loaded| loaded.config)
    }

    /// Loads the configuration to act on it: files that other users may change are refused.
    pub(crate) fn load_trusted(&self) -> Result<Loaded, Failure> {
        load(&self.sources_to_run()).map_err(Failure::Usage)
    }

    /// Loads the configuration with the origin of each value, and prints a warning for each setting of a Python duetector
    /// file that is not translated.
    pub(crate) fn load_and_warn(&self) -> Result<Loaded, Failure> {
        self.load_with_origins().inspect(warn)
    }

    /// Does the same as [`Self::load_and_warn`], for a command that acts on the configuration.
    pub(crate) fn load_trusted_and_warn(&self) -> Result<Loaded, Failure> {
        self.load_trusted().inspect(warn)
    }

    /// Loads the configuration with the origin of each value.
    pub(crate) fn load_with_origins(&self) -> Result<Loaded, Failure> {
        load(&self.sources()).map_err(Failure::Usage)
    }

    /// Returns the file, environment variables and `--set` options that make up the configuration.
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            file: self.config.clone(),
            env: utf8_environment(),
            set: self.set.clone(),
            trusted_only: false,
        }
    }

    /// Returns the same sources, of which those that other users may change are refused.
    pub(crate) fn sources_to_run(&self) -> Sources {
        Sources { trusted_only: !self.insecure_permissions, ..self.sources() }
    }

    /// Returns the absolute path of the work folder.
    pub(crate) fn workdir(&self) -> Result<PathBuf, Failure> {
        let path = match &self.workdir {
            Some(path) => path.clone(),
            None => default_workdir().map_err(Failure::Usage)?,
        };
        Ok(std::path::absolute(&path)
            .with_context(|| format!("finding the absolute path of the work folder {}", path.display()))?)
    }

    /// Returns the files of the store that are read together: in the work folder, unless `collector.store.path` or
    /// `collector.sqlite.path` says otherwise.
    pub(crate) fn store_files(&self) -> Result<Vec<PathBuf>, Failure> {
        Ok(self.load()?.collector.files_to_read(&self.workdir()?))
    }
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        output::complain(&format!("warning: {warning}"));
    }
}

/// Returns the environment variables that are valid UTF-8. Others can't be settings.
fn utf8_environment() -> Vec<(String, String)> {
    let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(utf8).collect()
}

fn default_workdir() -> anyhow::Result<PathBuf> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/duetector-actors"));
    }
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let base =
        state.or_else(home).context("no default work folder, because neither XDG_STATE_HOME nor HOME is set: choose a folder with --workdir")?;
    Ok(base.join("duetector-actors"))
}

/// Parses a time such as `10s` or `5m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<model::Period>().map(|period| period.0).map_err(|cause| cause.to_string())
}
