//! `cargo xtask vm`: the kernel suites inside virtual machines, on the kernels of `tests/vm.toml`, and on this
//! machine's own; one table of all results.

mod guest;
mod here;
mod image;
mod kernel;
mod matrix;
mod report;
mod suites;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::{run, setup};
use kernel::Unpacked;
use matrix::{Kernel, Matrix, Run};
use report::Column;
use suites::Built;

/// Which kernels and tests.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Only this kernel of tests/vm.toml, and not this machine's own; may be given several times
    #[arg(long)]
    kernel: Vec<String>,
    /// Only this run of tests/vm.toml, by its name (`auto` for the one without); may be given several times
    #[arg(long)]
    run: Vec<String>,
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Builds, boots each kernel in each way, and prints the table. What this machine can't boot is counted as ignored,
/// with the reason; asked for by name or in CI it is a failure.
pub(crate) fn vm(options: &Options) -> Result<()> {
    setup::provide(&setup::BUILD)?;
    let matrix = Matrix::load(&options.kernel, &options.run)?;
    let built = suites::build(&matrix)?;
    let folder = run::target_dir()?.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut columns = Vec::new();
    if options.kernel.is_empty() {
        columns.extend(here::all(&matrix, &built, options.filter.as_deref(), &folder));
    }
    columns.extend(guests(&matrix, &built, options.filter.as_deref(), &folder));
    show(&report::render(&columns));
    let must_run = !options.kernel.is_empty() || run::in_ci();
    let bad: Vec<_> =
        columns.iter().filter(|column| column.is_bad(must_run)).map(|column| &*column.name).collect();
    ensure!(bad.is_empty(), "not all is well on {}", bad.join(", "));
    Ok(())
}

/// Every run on every kernel, some side by side: suites keep little more than one processor busy.
fn guests(matrix: &Matrix, built: &Built, filter: Option<&str>, folder: &Path) -> Vec<Column> {
    let cache = folder.join("kernels");
    let provided: Vec<_> = matrix.kernels.iter().map(|kernel| kernel::provide(kernel, &cache)).collect();
    let provided: Vec<_> =
        provided.into_iter().map(|found| found.map_err(|why| format!("{why:#}"))).collect();
    let image = prepare(matrix, built, filter, &provided, folder).map_err(|why| format!("{why:#}"));
    let kernels = matrix.kernels.iter().zip(&provided);
    let boots: Vec<_> = kernels.flat_map(|kernel| matrix.runs.iter().map(move |run| (kernel, run))).collect();
    let boot = |((kernel, unpacked), run): ((&Kernel, &Result<Unpacked, String>), &Run)| {
        let name = run.column(&kernel.name);
        let (image, unpacked) = match (&image, unpacked) {
            (Ok(image), Ok(unpacked)) => (image, unpacked),
            (Err(why), _) | (_, Err(why)) => return Column::ignored(&name, why.clone()),
        };
        run::say(&format!("kernel {}: Debian's {}", kernel.name, unpacked.version));
        let booted = guest::boot(&name, &unpacked.image, image, run, &matrix.guest, &folder.join("logs"));
        let mut column = booted.unwrap_or_else(|why| Column::faulty(&name, format!("{why:#}")));
        column.skip(matrix.suites_of(run));
        column
    };
    let (next, columns) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..matrix.guest.at_once {
            scope.spawn(|| {
                while let Some((at, wanted)) =
                    boots.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    let column = boot(*wanted);
                    columns.lock().unwrap_or_else(PoisonError::into_inner).push((at, column));
                }
            });
        }
    });
    let mut columns = columns.into_inner().unwrap_or_else(PoisonError::into_inner);
    columns.sort_by_key(|(at, _)| *at);
    columns.into_iter().map(|(_, column)| column).collect()
}

fn prepare(
    matrix: &Matrix,
    built: &Built,
    filter: Option<&str>,
    kernels: &[Result<Unpacked, String>],
    folder: &Path,
) -> Result<PathBuf> {
    if env::consts::ARCH != "x86_64" {
        bail!("guests are x86_64, and this machine is {}", env::consts::ARCH);
    }
    setup::provide(&setup::TEST)?;
    setup::provide(&setup::VM)?;
    let mut modules = Vec::new();
    // Of a kernel that can't be had its own column says why.
    for unpacked in kernels.iter().flatten() {
        modules.extend(unpacked.modules(&matrix.modules)?);
    }
    image::build(matrix, built, filter, &modules, folder)
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn show(table: &str) {
    println!("{table}");
}
