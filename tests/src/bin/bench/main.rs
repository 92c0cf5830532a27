//! Measures what the agent costs: one table, every ratio taken in one run, alternating with no watcher and with other
//! tools where they are installed. `cargo xtask bench` builds and runs this.

mod against;
mod child;
mod children;
mod figure;
mod kernel;
mod large;
mod lineage;
mod loads;
mod machine;
mod measures;
mod pinning;
mod say;
mod slowdowns;
mod storage;
mod watchers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use figure::Figure;
use measures::Figures;
use say::say;
use slowdowns::Slowdown;
use watchers::Watcher;

#[derive(Parser)]
struct Options {
    /// Rounds of each comparison; medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each storm is
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only what subprocess tracers reach
    #[arg(long)]
    children: bool,
    /// Only what tracers' events cost in the kernel
    #[arg(long)]
    kernel: bool,
    /// Only what pinning costs and loses
    #[arg(long)]
    pinning: bool,
    /// Only what the columnar store takes and bears
    #[arg(long)]
    store: bool,
    /// Only reading a store of so many million made-up rows
    #[arg(long)]
    large: Option<u64>,
    /// Only lineage, also of so many million made-up edges
    #[arg(long, conflicts_with = "large")]
    lineage: Option<u64>,
    /// Keep the large store in this folder, or read the one that is there
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Only a comparison with this other agent
    #[arg(long)]
    against: Option<PathBuf>,
    /// Also write the table to this file
    #[arg(long)]
    write: Option<PathBuf>,
    /// Run this command and print what it took
    #[arg(long, hide = true, num_args = 1.., allow_hyphen_values = true)]
    measure: Vec<String>,
}

fn main() -> std::io::Result<ExitCode> {
    let options = Options::parse();
    if !options.measure.is_empty() {
        return Ok(child::run(&options.measure));
    }
    run(&options).map(|()| ExitCode::SUCCESS)
}

fn run(options: &Options) -> std::io::Result<()> {
    if options.store {
        say(&table(&storage::take(options.rounds, options.seconds)));
        return Ok(());
    }
    if let Some(millions) = options.large {
        let (figures, written) = large::take(millions * 1_000_000, options.rounds, options.folder.as_deref());
        say(&format!("{}\nWriting: {written}", table(&figures)));
        return Ok(());
    }
    if let Some(millions) = options.lineage {
        let (figures, written) = lineage::take(millions, options.rounds, options.folder.as_deref());
        let written: Vec<String> = written.iter().map(ToString::to_string).collect();
        say(&format!("{}\nWriting: {}", table(&figures), written.join("\n")));
        return Ok(());
    }
    if options.children {
        say(&children::report(&children::take(options.rounds)));
        return Ok(());
    }
    if options.kernel {
        say(&kernel::report(&kernel::take()));
        return Ok(());
    }
    if options.pinning {
        say(&pinning::report(&pinning::take(options.rounds, options.seconds)));
        return Ok(());
    }
    if let Some(other) = &options.against {
        say(&against::report(&against::take(other, options.rounds)));
        return Ok(());
    }
    let figures = Figures::take(options.rounds, options.seconds);
    let text = report(&figures);
    say(&text);
    match &options.write {
        Some(file) => std::fs::write(file, text),
        None => Ok(()),
    }
}

/// Returns the whole document.
fn report(figures: &Figures) -> String {
    let mut text = String::from("# Benchmarks\n\nMade by `cargo xtask bench --write`. ");
    text.push_str("Compare ratios, not absolute times: each was taken in one run, alternating.\n\n");
    text.push_str(&machine::describe());
    text.push_str(&table(&figures.figures));
    slower(&mut text, &figures.slowdowns);
    text.push_str(&kernel::report(&figures.kernel));
    text.push_str(&children::report(&figures.children));
    text.push_str(&pinning::report(&figures.pinning));
    text
}

/// Returns figures with their budgets as a table.
fn table(figures: &[Figure]) -> String {
    let mut text = String::from("\n| budget | must | goal | measured | |\n|---|---|---|---|---|\n");
    for figure in figures {
        let (must, goal, value) = (figure.must, figure.goal, figure.value);
        let (what, digits, unit) = (&figure.what, figure.digits, figure.unit);
        text.push_str(&format!(
            "| {what} | {must} | {goal} | {value:.digits$} {unit} | {} |\n",
            figure.verdict()
        ));
    }
    text
}

/// Appends the slowdowns by watcher, and the time they are relative to.
fn slower(text: &mut String, slowdowns: &[Slowdown]) {
    let watchers = Watcher::all();
    let names: Vec<_> = watchers.iter().skip(1).map(|watcher| watcher.name()).collect();
    let line = "---|".repeat(watchers.len() + 1);
    let head = "\n| times slower than without tracing | without, µs |";
    text.push_str(&format!("{head} {} |\n|{line}\n", names.join(" | ")));
    for slowdown in slowdowns {
        text.push_str(&format!("| {} | {:.2} |", slowdown.what, slowdown.micros[0].1));
        for watcher in &watchers[1..] {
            let ratio =
                slowdown.ratio(*watcher).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            text.push_str(&format!(" {ratio} |"));
        }
        text.push('\n');
    }
}
