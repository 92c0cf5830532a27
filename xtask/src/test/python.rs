//! Python duetector, which one suite reads our store with, in a virtual environment below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::run;

/// Returns a virtual environment with Python duetector in it. Without one (no network, another Python) the test that
/// needs it is ignored, or fails in CI; the test says so.
pub(crate) fn duetector() -> Option<PathBuf> {
    let venv = run::target_dir().ok()?.join("duetector-venv");
    match install(&venv) {
        Ok(()) => Some(venv),
        Err(why) => {
            run::say(&format!("Python duetector can't be installed: {why:#}"));
            None
        }
    }
}

fn install(venv: &Path) -> Result<()> {
    let requirements = run::root().join("tests/python/requirements.txt");
    let wanted = fs::read(&requirements).context("cannot read tests/python/requirements.txt")?;
    // Written last: an environment that has it is complete and was made from these very requirements.
    let mark = venv.join("installed-requirements.txt");
    if fs::read(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    run::run(Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    run::run(Command::new(venv.join("bin/python")).args(pip).arg(&requirements))?;
    fs::write(&mark, wanted).context("cannot write the mark of a complete installation")
}
