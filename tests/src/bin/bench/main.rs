//! Measures what the agent costs: one table, every ratio taken in one run, alternating with no watcher and with other
//! tools where they are installed. `cargo xtask bench` builds and runs this.

mod against;
mod children;
mod figure;
mod kernel;
mod loads;
mod machine;
mod measures;
mod pinning;
mod slowdowns;
mod watchers;

use std::path::PathBuf;

use clap::Parser;
use measures::Figures;
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
    /// Only a comparison with this other agent
    #[arg(long)]
    against: Option<PathBuf>,
    /// Also write the table to this file
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
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
    match options.write {
        Some(file) => std::fs::write(file, text),
        None => Ok(()),
    }
}

/// Returns the whole document.
fn report(figures: &Figures) -> String {
    let mut text = String::from("# Benchmarks\n\nMade by `cargo xtask bench --write`. ");
    text.push_str("Compare ratios, not absolute times: each was taken in one run, alternating.\n\n");
    text.push_str(&machine::describe());
    text.push_str("\n| budget | must | goal | measured | |\n|---|---|---|---|---|\n");
    for figure in &figures.figures {
        let (must, goal, value) = (figure.must, figure.goal, figure.value);
        let (what, digits, unit) = (&figure.what, figure.digits, figure.unit);
        text.push_str(&format!(
            "| {what} | {must} | {goal} | {value:.digits$} {unit} | {} |\n",
            figure.verdict()
        ));
    }
    slower(&mut text, &figures.slowdowns);
    text.push_str(&kernel::report(&figures.kernel));
    text.push_str(&children::report(&figures.children));
    text.push_str(&pinning::report(&figures.pinning));
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

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(text: &str) {
    println!("{text}");
}
