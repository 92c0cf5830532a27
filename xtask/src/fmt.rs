//! `cargo xtask fmt`: one format for all Rust code, by rustfmt.toml.

use anyhow::Result;

use crate::{run, setup};

/// Formats.
pub(crate) fn fmt() -> Result<()> {
    setup::provide_rust_tools()?;
    run::run(run::cargo().args(["fmt", "--all"]))
}
