//! What every command takes: `--config`, `--set`, `--workdir`; and what follows from them.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::config::{Config, Loaded, Sources, load};
use crate::exit::Failure;
use crate::output;

/// The store's file name in the work folder, as duetector names it.
const STORE: &str = "duetector-dbcollector.sqlite3";

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// Configuration file; without one, the defaults hold (`config generate` prints them)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one value: section.key=value; wins over environment and file. May be repeated
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Work folder: store, control socket, lock. Default: /var/lib/duetector-actors for root, else
    /// $XDG_STATE_HOME/duetector-actors
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
}

impl Common {
    /// Loads the configuration.
    pub(crate) fn load(&self) -> Result<Config, Failure> {
        self.load_with_origins().map(|loaded| loaded.config)
    }

    /// Loads the configuration, with where each value came from, and tells what of a file of duetector's is left out.
    pub(crate) fn load_aloud(&self) -> Result<Loaded, Failure> {
        let loaded = self.load_with_origins()?;
        for warning in &loaded.warnings {
            output::complain(&format!("warning: {warning}"));
        }
        Ok(loaded)
    }

    /// Loads the configuration, with where each value came from.
    pub(crate) fn load_with_origins(&self) -> Result<Loaded, Failure> {
        load(&self.sources()).map_err(Failure::Usage)
    }

    /// What the configuration is made from.
    pub(crate) fn sources(&self) -> Sources {
        Sources { file: self.config.clone(), env: utf8_environment(), set: self.set.clone() }
    }

    /// The work folder, absolute.
    pub(crate) fn workdir(&self) -> Result<PathBuf, Failure> {
        let path = match &self.workdir {
            Some(path) => path.clone(),
            None => default_workdir().map_err(Failure::Usage)?,
        };
        Ok(std::path::absolute(&path).with_context(|| format!("making {} absolute", path.display()))?)
    }

    /// Where the store is: in the work folder, unless the configuration says otherwise.
    pub(crate) fn store(&self) -> Result<PathBuf, Failure> {
        Ok(store_path(&self.load()?, &self.workdir()?))
    }
}

/// Where the store of a configuration is.
pub(crate) fn store_path(config: &Config, workdir: &std::path::Path) -> PathBuf {
    match config.collector.sqlite.path.as_str() {
        "" => workdir.join(STORE),
        path => workdir.join(path),
    }
}

/// Variables that are no UTF-8 can't be settings of ours.
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
        state.or_else(home).context("neither XDG_STATE_HOME nor HOME is set: say where with --workdir")?;
    Ok(base.join("duetector-actors"))
}
