//! `man`: writes the manual pages, for packages.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::Command;

use crate::exit::Outcome;

/// Writes a page for the program and one for each command that its help lists.
pub(crate) fn run(command: Command, folder: &Path) -> Outcome {
    fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), folder)
        .with_context(|| format!("writing manual pages to {}", folder.display()))?;
    Ok(())
}
