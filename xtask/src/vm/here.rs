//! The runs on this machine's own kernel.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::matrix::{Matrix, Run, Suite};
use super::report::Column;
use super::suites::Built;
use crate::run;

/// Every one.
pub(crate) fn all(matrix: &Matrix, built: &Built, filter: Option<&str>, folder: &Path) -> Vec<Column> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = format!("here ({})", kernel.trim().split('-').next().unwrap_or_default());
    let one = |run: &Run| {
        let (name, watch) = (run.column(&kernel), run::Watch::start());
        let ended = matrix.suites_of(run).map(|suite| run_here(run, suite, built, filter, folder));
        match ended.collect::<Result<String>>() {
            Err(why) => Column::ignored(&name, format!("{why:#}")),
            Ok(text) => {
                let mut column = Column::parse(&name, &text);
                column.seconds = Some(watch.seconds());
                column
            }
        }
    };
    matrix.here.iter().map(one).collect()
}

fn run_here(run: &Run, suite: &Suite, built: &Built, filter: Option<&str>, folder: &Path) -> Result<String> {
    let results = folder.join("results-here");
    fs::write(&results, "").with_context(|| format!("cannot write {}", results.display()))?;
    run::say(&format!("{} on this kernel", suite.test));
    let program = built.suites.iter().find(|built| built.name == suite.test).context("not built")?;
    let mut command = run::as_root(&program.path)?;
    let others = run.others(&program.tests);
    let place = results.to_string_lossy();
    command.args(Suite::arguments(&place, others, filter));
    command.env("DUETECTOR_TEST_BIN", &built.agent).env("RUST_TEST_THREADS", "2").envs(run.variables());
    // A folder that exists in guests, too; some tests compare paths with it.
    let status = command.current_dir(run::root()).status().context("cannot run the suite")?;
    let text = fs::read_to_string(&results).with_context(|| format!("cannot read {}", results.display()))?;
    let code = status.code().unwrap_or(-1);
    Ok(format!("begin {0}\n{text}\nend {0} {code}\n", suite.test))
}
