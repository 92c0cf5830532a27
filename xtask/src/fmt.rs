//! `cargo xtask fmt`: formats all Rust code by rustfmt.toml.

use anyhow::Result;

use crate::{run, setup};

/// Formats all Rust code, after installing rustfmt if it is missing.
pub(crate) fn fmt() -> Result<()> {
    setup::provide_rust_tools()?;
    run::run(run::cargo().args(["fmt", "--all"]))
}
