//! The suites on this machine's own kernel: those that `cargo xtask test` just ran, or a run of their own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::matrix::{Boot, Matrix, Step, Suite, program};
use super::report::Column;
use crate::programs::Programs;
use crate::run;

/// The name of this machine's kernel.
pub(crate) fn kernel() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("here ({})", kernel.trim().split('-').next().unwrap_or_default())
}

/// Runs the suites that `tests/vm.toml` lists for this machine.
pub(crate) fn run_all(
    matrix: &Matrix,
    programs: &Programs,
    filter: Option<&str>,
    folder: &Path,
) -> Vec<Column> {
    let kernel = kernel();
    let steps = matrix.here().iter().flat_map(|boot| boot.steps.iter().map(move |step| (boot, step)));
    steps.map(|(boot, step)| run_step(matrix, programs, filter, folder, (boot, step), &kernel)).collect()
}

fn run_step(
    matrix: &Matrix,
    programs: &Programs,
    filter: Option<&str>,
    folder: &Path,
    (boot, step): (&Boot, &Step),
    kernel: &str,
) -> Column {
    let (name, watch) = (boot.column(kernel, step), run::Watch::start());
    let ended = matrix.suites_of(step).map(|suite| run_suite((boot, step), suite, programs, filter, folder));
    match ended.collect::<Result<String>>() {
        Err(why) => Column::ignored(&name, format!("{why:#}")),
        Ok(text) => {
            let mut column = Column::parse(&name, &text);
            column.time = Some(watch.elapsed());
            column
        }
    }
}

fn run_suite(
    (boot, step): (&Boot, &Step),
    suite: &Suite,
    programs: &Programs,
    filter: Option<&str>,
    folder: &Path,
) -> Result<String> {
    let results = folder.join("results-here");
    fs::write(&results, "").with_context(|| format!("cannot write {}", results.display()))?;
    run::say(&format!("{} on this kernel", suite.test));
    let program = program(programs, &suite.test)?;
    let tests = program.tests()?;
    let mut command = run::as_root(&program.path)?;
    let path = results.to_string_lossy();
    command.args(Suite::arguments(&path, boot.others(step, &tests), filter));
    command.env("DUETECTOR_TEST_BIN", &programs.agent).env("RUST_TEST_THREADS", "2").envs(step.variables());
    // A folder that exists in guests, too; some tests compare paths with it.
    let status = command.current_dir(run::root()).status().context("cannot run the suite")?;
    let text = fs::read_to_string(&results).with_context(|| format!("cannot read {}", results.display()))?;
    let code = status.code().unwrap_or(-1);
    Ok(format!("begin {0}\n{text}\nend {0} {code}\n", suite.test))
}
