//! `config`: makes, shows and checks a configuration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli::Output;
use crate::cli_common::Common;
use crate::commands::control::{fetch_answer, to_json};
use crate::config::{Loaded, Sources, effective, load, to_toml, translation_to_toml};
use crate::control::Request;
use crate::exit::Failure;
use crate::exit::Outcome;
use crate::output;

/// The commented default configuration; a test holds it equal to the defaults.
const DEFAULT: &str = include_str!("../../../configs/default.toml");

/// `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a commented configuration file with every setting at its default
    Generate,
    /// Print the effective configuration, each value with where it comes from
    Show {
        /// How it looks: TOML with comments, or JSON
        #[arg(long, value_enum, default_value_t)]
        format: Output,
        /// What the running agent goes by, not what the files say now
        #[arg(long)]
        running: bool,
    },
    /// Translate a configuration of Python duetector's to ours; what could not be kept is told on stderr
    Import {
        /// The file
        file: PathBuf,
        /// Write the translation to this new file
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check the configuration; exit 2 and everything that is wrong, if something is
    Validate,
}

/// A configuration that holds, in both forms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    toml: String,
    settings: serde_json::Value,
}

impl Running {
    /// Each value with where it comes from.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let settings = effective(loaded);
        let toml = to_toml(&settings);
        Self { toml, settings: serde_json::to_value(settings).unwrap_or_default() }
    }
}

/// Runs it.
pub(crate) fn run(common: &Common, args: &ConfigArgs) -> Outcome {
    match &args.command {
        ConfigCommand::Generate => output::print(DEFAULT.trim_end()),
        ConfigCommand::Show { format, running } => {
            let shown = match running {
                true => fetch_answer(&common.workdir()?, &Request::Config)?,
                false => Running::of(&common.load_aloud()?),
            };
            match format {
                Output::Table => output::print(shown.toml.trim_end()),
                Output::Json => output::print(&to_json(&shown.settings)?),
            }
        }
        ConfigCommand::Import { file, output } => import(file, output.as_deref()),
        ConfigCommand::Validate => {
            for warning in common.load_aloud()?.config.warnings() {
                output::complain(&format!("warning: {warning}"));
            }
            output::complain("the configuration is valid");
            Ok(())
        }
    }
}

fn import(file: &Path, to: Option<&Path>) -> Outcome {
    let translation = crate::config::import(file).map_err(Failure::Usage)?;
    // What does not hold as ours is told in the lines of the file that is there.
    load(&Sources { file: Some(file.to_owned()), ..Sources::default() }).map_err(Failure::Usage)?;
    for warning in &translation.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    let text = translation_to_toml(&translation);
    let Some(to) = to else { return output::print(text.trim_end()) };
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let written = written.and_then(|mut out| out.write_all(text.as_bytes()));
    Ok(written.with_context(|| format!("writing {}, which must be a new file", to.display()))?)
}
