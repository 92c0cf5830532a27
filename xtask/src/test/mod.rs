//! `cargo xtask test`: everything that must hold before a change is merged, from a fresh clone to the last kernel test.

mod outcome;
mod python;
mod suites;

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::plan::{Plan, Scales, Step, exactly};
use crate::programs::{self, Programs};
use crate::{run, setup, vm};
use outcome::Ended;
pub(crate) use outcome::Outcome;
use suites::Runner;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only the tests whose name contains this; nothing else is checked then
    filter: Option<String>,
    /// Leave out virtual machines, the documentation and the suites that take long
    #[arg(long, conflicts_with = "filter")]
    quick: bool,
}

const NEEDS: Step = Step { what: "installing what is missing", seconds: 40, scales: Scales::Never };
const FORMAT: Step = Step { what: "checking the format", seconds: 3, scales: Scales::WithProcessors };
const LINTS: Step = Step { what: "checking with clippy", seconds: 60, scales: Scales::WithProcessors };
const DOCUMENTATION: Step =
    Step { what: "building the documentation", seconds: 20, scales: Scales::WithProcessors };
const BUILD: Step =
    Step { what: "building the agent and all test programs", seconds: 260, scales: Scales::WithProcessors };
const SUITES: Step = Step { what: "running all suites", seconds: 450, scales: Scales::Never };
const SHORT_SUITES: Step =
    Step { what: "running the suites that are not long", seconds: 220, scales: Scales::Never };
const GUESTS: Step =
    Step { what: "running kernel suites in virtual machines", seconds: 570, scales: Scales::WithProcessors };

/// Installs, checks, builds and runs; here first, then on the other kernels. Fails if anything failed.
pub(crate) fn test(options: &Options) -> Result<()> {
    let steps = match options {
        Options { filter: Some(_), .. } => vec![NEEDS, BUILD, SUITES],
        Options { quick: true, .. } => vec![NEEDS, FORMAT, BUILD, LINTS, SHORT_SUITES],
        Options { .. } => vec![NEEDS, FORMAT, BUILD, LINTS, DOCUMENTATION, SUITES, GUESTS],
    };
    let mut plan = Plan::announce("cargo xtask test", steps);
    plan.next();
    setup::provide(&setup::BUILD)?;
    setup::provide(&setup::TEST)?;
    let venv = python::duetector();
    let only_some = options.filter.is_some();
    if !only_some {
        setup::provide_rust_tools()?;
        plan.next();
        run::run(run::cargo().args(["fmt", "--all", "--check"]))?;
    }
    plan.next();
    let programs = programs::build()?;
    if !only_some {
        plan.next();
        lint()?;
    }
    if !only_some && !options.quick {
        plan.next();
        document()?;
    }
    plan.next();
    let runner =
        Runner { programs: &programs, venv, filter: options.filter.as_deref(), quick: options.quick };
    let ended = runner.run_all()?;
    let guests = if only_some || options.quick {
        None
    } else {
        plan.next();
        Some(guests(&programs, &ended))
    };
    report(&ended, plan.finish(), options.quick);
    ensure!(ended.iter().all(Ended::is_good), "not all tests passed");
    guests.unwrap_or(Ok(()))
}

/// Runs clippy on every target, with the features of the build, so that build scripts and macros are there already.
fn lint() -> Result<()> {
    let mut clippy = run::cargo();
    programs::shared(clippy.arg("clippy")).args(["--all-targets", "--", "-D", "warnings"]);
    run::run(&mut clippy)
}

/// Builds the documentation of our crates, so that no link in it leads nowhere.
fn document() -> Result<()> {
    let mut doc = run::cargo();
    programs::shared(doc.arg("doc")).arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings");
    run::run(&mut doc)
}

/// Boots the default guests; the table's column for this machine's kernel is what its suites just found.
fn guests(programs: &Programs, ended: &[Ended]) -> Result<()> {
    let here = ended.iter().map(|ended| (ended.name.as_str(), &ended.tests[..], ended.time));
    vm::default_guests(programs, here)
}

/// Prints a line for each suite, each step's time, and the totals.
#[expect(clippy::print_stdout, reason = "the summary is what was asked for")]
fn report(ended: &[Ended], steps: Vec<(String, Duration)>, quick: bool) {
    println!("\n{}", outcome::table(ended));
    for (what, time) in steps {
        println!("{:>12}  {what}", exactly(time));
    }
    if quick {
        println!(
            "\nleft out by --quick: the documentation, virtual machines, doc tests and the suites {}",
            suites::LONG.join(", ")
        );
    }
}
