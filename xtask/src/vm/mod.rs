//! `cargo xtask vm`: the kernel suites inside virtual machines, on the kernels of `tests/vm.toml`, and on this
//! machine's own; one table of all results.

mod guest;
mod image;
mod kernel;
mod matrix;
mod report;
mod suites;

use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::{run, setup};
use matrix::{Matrix, Suite};
use report::Column;
use suites::Built;

/// Which kernels and tests.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only this kernel of tests/vm.toml, and not this machine's own; may be given several times
    #[arg(long)]
    kernel: Vec<String>,
    /// Only tests whose name contains one of these
    filters: Vec<String>,
}

/// Builds, boots each kernel in each way, and prints the table. What this machine can't boot is counted as ignored,
/// with the reason; asked for by name or in CI it is a failure.
pub(crate) fn vm(options: &Options) -> Result<()> {
    setup::provide(&setup::BUILD)?;
    let matrix = Matrix::load(&options.kernel)?;
    let built = suites::build(&matrix)?;
    let folder = run::target_dir()?.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut columns = Vec::new();
    if options.kernel.is_empty() {
        columns.push(here(&matrix, &built, &options.filters, &folder));
    }
    columns.extend(guests(&matrix, &built, &options.filters, &folder));
    show(&report::render(&columns));
    let must_run = !options.kernel.is_empty() || env::var("CI").is_ok_and(|ci| ci == "true" || ci == "1");
    let bad: Vec<_> =
        columns.iter().filter(|column| column.is_bad(must_run)).map(|column| &*column.name).collect();
    ensure!(bad.is_empty(), "not all is well on {}", bad.join(", "));
    Ok(())
}

/// Every run on every kernel, one after the other: two emulators at a time would each be half as fast.
fn guests(matrix: &Matrix, built: &Built, filters: &[String], folder: &Path) -> Vec<Column> {
    let image = prepare(matrix, built, filters, folder).map_err(|why| format!("{why:#}"));
    let mut columns = Vec::new();
    for kernel in &matrix.kernels {
        let provided = image.as_ref().map_err(Clone::clone).and_then(|image| {
            let unpacked =
                kernel::provide(kernel, &folder.join("kernels")).map_err(|why| format!("{why:#}"))?;
            Ok((image, unpacked))
        });
        for run in &matrix.runs {
            let name = format!("{} {}", kernel.name, run.name).trim().to_owned();
            columns.push(match &provided {
                Err(why) => Column::ignored(&name, why.clone()),
                Ok((image, unpacked)) => {
                    run::say(&format!("kernel {}: Debian's {}", kernel.name, unpacked.version));
                    let booted =
                        guest::boot(&name, &unpacked.image, image, run, &matrix.guest, &folder.join("logs"));
                    booted.unwrap_or_else(|why| Column::faulty(&name, format!("{why:#}")))
                }
            });
        }
    }
    columns
}

fn prepare(matrix: &Matrix, built: &Built, filters: &[String], folder: &Path) -> Result<std::path::PathBuf> {
    if env::consts::ARCH != "x86_64" {
        bail!("guests are x86_64, and this machine is {}", env::consts::ARCH);
    }
    setup::provide(&setup::VM)?;
    image::build(matrix, built, filters, folder)
}

/// The same suites on this machine's kernel.
fn here(matrix: &Matrix, built: &Built, filters: &[String], folder: &Path) -> Column {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = format!("here ({})", kernel.trim().split('-').next().unwrap_or_default());
    let watch = run::Watch::start();
    let mut text = String::new();
    for (suite, program) in matrix.suites.iter().zip(&built.suites) {
        match run_here(suite, program, built, filters, folder) {
            Ok(results) => text += &results,
            Err(why) => return Column::ignored(&name, format!("{why:#}")),
        }
    }
    let mut column = Column::parse(&name, &text);
    column.seconds = Some(watch.seconds());
    column
}

fn run_here(
    suite: &Suite,
    program: &Path,
    built: &Built,
    filters: &[String],
    folder: &Path,
) -> Result<String> {
    let results = folder.join("results-here");
    fs::write(&results, "").with_context(|| format!("cannot write {}", results.display()))?;
    run::say(&format!("{} on this kernel", suite.test));
    let mut command = run::as_root(program)?;
    command.args(suite.arguments(&results.to_string_lossy(), filters));
    command.env("DUETECTOR_TEST_BIN", &built.agent).env("RUST_TEST_THREADS", "2");
    // A folder that exists in guests, too; some tests compare paths with it.
    let status = command.current_dir(run::root()).status().context("cannot run the suite")?;
    let text = fs::read_to_string(&results).with_context(|| format!("cannot read {}", results.display()))?;
    let code = status.code().unwrap_or(-1);
    Ok(format!("begin {0}\n{text}\nend {0} {code}\n", suite.test))
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn show(table: &str) {
    println!("{table}");
}
