//! `config`: prints, shows, converts and validates a configuration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::cli_common::{Common, without_effect};
use crate::config::{Running, Sources, load, translation_to_toml};
use crate::control::{Request, fetch_answer};
use crate::exit::Failure;
use crate::exit::Outcome;
use crate::output::{self, Output, to_json};

/// The commented default configuration. A test checks that it equals the defaults in the code.
const DEFAULT: &str = include_str!("../../../configs/default.toml");

/// Options of `config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a configuration file with every setting, its default and a comment. A file of your own needs only the
    /// settings that differ
    #[command(args = without_effect(&["config", "set", "workdir"]))]
    Generate,
    /// Print the resulting configuration and where each value comes from: default, line of the file, environment variable,
    /// --set
    Show {
        /// Format of the output: `table` is TOML with comments, `json` is a list of settings
        #[arg(long, value_enum, default_value_t)]
        format: Output,
        /// Show the configuration that the running agent uses; --config and --set have no effect then. By default, show
        /// the one that `start` would use now with the same options
        #[arg(long)]
        running: bool,
    },
    /// Convert a configuration of Python duetector. Settings without an equivalent are listed as warnings on stderr
    #[command(args = without_effect(&["config", "set", "workdir"]))]
    Import {
        /// Configuration file of Python duetector
        file: PathBuf,
        /// Write the result to this file, which must not exist yet. Default: print it on stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check the configuration (the file of --config, the environment variables and --set) and list every error in it. Exit
    /// code 2 if there is any
    #[command(args = without_effect(&["workdir"]))]
    Validate,
}

/// Runs the command.
pub(crate) fn run(common: &Common, args: &ConfigArgs) -> Outcome {
    match &args.command {
        ConfigCommand::Generate => output::print(DEFAULT.trim_end()),
        ConfigCommand::Show { format, running } => {
            let shown = match running {
                true => fetch_answer(&common.workdir()?, &Request::Config)?,
                false => Running::of(&common.load_and_warn()?),
            };
            match format {
                Output::Table => output::print(shown.toml.trim_end()),
                Output::Json => output::print(&to_json(&shown.settings)?),
            }
        }
        ConfigCommand::Import { file, output } => import(file, output.as_deref()),
        ConfigCommand::Validate => {
            for warning in common.load_and_warn()?.config.warnings() {
                output::complain(&format!("warning: {warning}"));
            }
            output::complain("the configuration is valid");
            Ok(())
        }
    }
}

fn import(file: &Path, to: Option<&Path>) -> Outcome {
    let translation = crate::config::import(file).map_err(Failure::Usage)?;
    // Loaded as well, so that errors are reported with the line numbers of the original file.
    load(&Sources { file: Some(file.to_owned()), ..Sources::default() }).map_err(Failure::Usage)?;
    for warning in &translation.warnings {
        output::complain(&format!("warning: {warning}"));
    }
    let text = translation_to_toml(&translation);
    let Some(to) = to else { return output::print(text.trim_end()) };
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let written = written.and_then(|mut out| out.write_all(text.as_bytes()));
    Ok(written.with_context(|| format!("writing {}, which must not exist yet", to.display()))?)
}
