//! `cargo xtask vm`: kernel suites inside virtual machines, on the kernels of `tests/vm.toml`; one table of all results.
//!
//! Each kernel is booted a few times. In one boot several steps run one after the other, each with another kind of hooks,
//! and each is a column of the table:
//!
//! ```text
//! tests/vm.toml            guest                                    table
//! kernel × boot ──QEMU──▶  init: step, step, …  ──serial line──▶  column, column, …
//! ```

mod guest;
mod here;
mod image;
mod kernel;
mod matrix;
mod report;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use crate::plan::{Plan, Scales, Step, exactly};
use crate::programs::{self, Programs};
use crate::test::Outcome;
use crate::{run, setup};
use image::Wanted;
use kernel::Unpacked;
use matrix::{Boot, Kernel, Matrix};
use report::Column;

/// Options of `cargo xtask vm`.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Run every test of every kernel suite with every kind of hooks, here too (about an hour on 2 processors)
    #[arg(long)]
    all: bool,
    /// Boot only this kernel of tests/vm.toml; may be given several times
    #[arg(long)]
    kernel: Vec<String>,
    /// Boot only this line of tests/vm.toml, by its name or the name's first word; may be given several times
    #[arg(long)]
    run: Vec<String>,
    /// Run only tests whose name contains this
    filter: Option<String>,
}

const NEEDS: Step = Step { what: "installing what is missing", seconds: 40, scales: Scales::Never };
const BUILD: Step =
    Step { what: "building the agent and all test programs", seconds: 260, scales: Scales::WithProcessors };
const FEW: Step =
    Step { what: "running kernel suites in virtual machines", seconds: 570, scales: Scales::WithProcessors };
const ALL: Step = Step {
    what: "running every kernel suite in virtual machines and here",
    seconds: 3000,
    scales: Scales::WithProcessors,
};

/// Builds, boots and prints the table. A kernel that this machine can't boot is counted as ignored, with the reason; if
/// it was named or in CI, that is a failure.
pub(crate) fn vm(options: &Options) -> Result<()> {
    let mut plan = Plan::announce("cargo xtask vm", vec![NEEDS, BUILD, if options.all { ALL } else { FEW }]);
    plan.next();
    setup::provide(&setup::BUILD)?;
    let mut matrix = Matrix::load()?;
    matrix.keep_kernels(&options.kernel)?;
    let boots = matrix.boots(options.all, &options.run)?;
    plan.next();
    let programs = programs::build()?;
    plan.next();
    let filter = options.filter.as_deref();
    let wanted = Wanted { matrix: &matrix, boots, programs: &programs, filter, folder: folder()? };
    let mut columns = Vec::new();
    if options.all && options.kernel.is_empty() && options.run.is_empty() {
        columns.extend(here::run_all(&matrix, &programs, filter, &wanted.folder));
    }
    columns.extend(wanted.run()?);
    finish(&columns, !options.kernel.is_empty() || run::in_ci())?;
    for (what, time) in plan.finish() {
        run::say(&format!("{:>12}  {what}", exactly(time)));
    }
    Ok(())
}

/// Boots the essential guests for `cargo xtask test`. `ran` are the suites that just ran on this machine's kernel, with
/// their tests and times: they fill its column, and do not run again.
pub(crate) fn default_guests<'a>(
    programs: &Programs,
    ran: impl Iterator<Item = (&'a str, &'a [(String, Outcome)], Duration)>,
) -> Result<()> {
    let matrix = Matrix::load()?;
    let boots = matrix.boots(false, &[])?;
    let is_in_a_guest = |name: &str| {
        boots.iter().flat_map(|boot| &boot.steps).any(|step| step.suites.iter().any(|suite| suite == name))
    };
    let here = Column::of(&here::kernel(), ran.filter(|(suite, ..)| is_in_a_guest(suite)));
    let wanted = Wanted { matrix: &matrix, boots: boots.clone(), programs, filter: None, folder: folder()? };
    let mut columns = vec![here];
    columns.extend(wanted.run()?);
    finish(&columns, run::in_ci())
}

fn folder() -> Result<PathBuf> {
    let folder = run::target_dir()?.join("vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// Prints the table; an error if a column is bad.
fn finish(columns: &[Column], must_run: bool) -> Result<()> {
    show(&report::render(columns));
    let bad: Vec<_> =
        columns.iter().filter(|column| column.is_bad(must_run)).map(|column| &*column.name).collect();
    ensure!(bad.is_empty(), "tests failed or did not run on {}", bad.join(", "));
    Ok(())
}

impl Wanted<'_> {
    /// Boots every kernel in each way, some side by side: suites keep little more than one processor busy.
    fn run(&self) -> Result<Vec<Column>> {
        self.matrix.check_tests(self.programs)?;
        let cache = self.folder.join("kernels");
        let provide = |kernel| kernel::provide(kernel, &cache).map_err(|why| format!("{why:#}"));
        let provided: Vec<_> = self.matrix.kernels.iter().map(provide).collect();
        let image = self.prepare(&provided).map_err(|why| format!("{why:#}"));
        let kernels: Vec<_> = self.matrix.kernels.iter().zip(&provided).collect();
        // The longest boots first, as in the file, of each kernel: so guests that run side by side end together.
        let of_boot = |boot| {
            let kernels = kernels.iter().filter(move |(kernel, _)| Boot::is_for(boot, kernel));
            kernels.map(move |kernel| (*kernel, boot))
        };
        let boots: Vec<_> = self.boots.iter().flat_map(of_boot).collect();
        let (next, columns) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.matrix.guest.at_once {
                scope.spawn(|| {
                    while let Some((at, (kernel, boot))) =
                        boots.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                    {
                        run::say(&format!("guest {} of {}", at + 1, boots.len()));
                        let column = self.boot(*kernel, boot, &image);
                        columns.lock().unwrap_or_else(PoisonError::into_inner).push((at, column));
                    }
                });
            }
        });
        let mut columns = columns.into_inner().unwrap_or_else(PoisonError::into_inner);
        columns.sort_by_key(|(at, _)| *at);
        Ok(columns.into_iter().flat_map(|(_, columns)| columns).collect())
    }

    /// The columns of one boot.
    fn boot(
        &self,
        (kernel, unpacked): (&Kernel, &Result<Unpacked, String>),
        boot: &Boot,
        image: &Result<PathBuf, String>,
    ) -> Vec<Column> {
        let label = boot.label(&kernel.name);
        let (image, unpacked) = match (image, unpacked) {
            (Ok(image), Ok(unpacked)) => (image, unpacked),
            (Err(why), _) | (_, Err(why)) => return vec![Column::ignored(&label, why.clone())],
        };
        run::say(&format!("kernel {}: Debian's {}", kernel.name, unpacked.version));
        let logs = self.folder.join("logs");
        let booted = guest::boot(&kernel.name, &unpacked.image, image, boot, &self.matrix.guest, &logs);
        let mut columns = booted.unwrap_or_else(|why| vec![Column::faulty(&label, format!("{why:#}"))]);
        for (column, step) in columns.iter_mut().zip(&boot.steps) {
            column.skip(self.matrix.suites_of(step));
        }
        columns
    }

    fn prepare(&self, kernels: &[Result<Unpacked, String>]) -> Result<PathBuf> {
        if env::consts::ARCH != "x86_64" {
            bail!("guests are x86_64, and this machine is {}", env::consts::ARCH);
        }
        setup::provide(&setup::TEST)?;
        setup::provide(&setup::VM)?;
        let mut modules = Vec::new();
        // The column of a kernel that can't be had says why.
        for unpacked in kernels.iter().flatten() {
            modules.extend(unpacked.modules(&self.matrix.modules)?);
        }
        image::build(self, &modules)
    }
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn show(table: &str) {
    println!("{table}");
}
