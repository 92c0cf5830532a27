//! `config`: makes, shows and checks a configuration.

use clap::{Args, Subcommand};

use crate::cli::Output;
use crate::cli_common::Common;
use crate::commands::control::to_json;
use crate::config::{effective, to_toml};
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
    },
    /// Check the configuration; exit 2 and everything that is wrong, if something is
    Validate,
}

/// Runs it.
pub(crate) fn run(common: &Common, args: &ConfigArgs) -> Outcome {
    match &args.command {
        ConfigCommand::Generate => output::print(DEFAULT.trim_end()),
        ConfigCommand::Show { format } => {
            let settings = effective(&common.load_with_origins()?);
            match format {
                Output::Table => output::print(to_toml(&settings).trim_end()),
                Output::Json => output::print(&to_json(&settings)?),
            }
        }
        ConfigCommand::Validate => {
            common.load()?;
            output::complain("the configuration is valid");
            Ok(())
        }
    }
}
