//! What the agent costs: one table, every ratio taken in one run, alternating with nobody watching and with
//! other tools where they are installed. `cargo xtask bench` builds and runs this.

mod children;
mod machine;
mod measures;
mod watchers;

use std::path::PathBuf;

use clap::Parser;
use measures::Figures;

#[derive(Parser)]
struct Options {
    /// Rounds of each comparison; medians are shown
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Only what subprocess tracers reach
    #[arg(long)]
    children: bool,
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
    let figures = Figures::take(options.rounds);
    let text = report(&figures);
    say(&text);
    match options.write {
        Some(file) => std::fs::write(file, text),
        None => Ok(()),
    }
}

/// The whole document.
fn report(figures: &Figures) -> String {
    let mut text = String::from("# Benchmarks\n\nMade by `cargo xtask bench --write`. ");
    text.push_str("Compare ratios, not absolute times: each was taken in one run, alternating.\n\n");
    text.push_str(&machine::describe());
    text.push_str("\n| slower than with nobody watching × | must | goal |");
    for (name, _) in &figures.slowdowns[0].by_watcher {
        text.push_str(&format!(" {name} |"));
    }
    text.push_str("\n|---|---|---|");
    text.push_str(&"---|".repeat(figures.slowdowns[0].by_watcher.len()));
    for slowdown in &figures.slowdowns {
        text.push_str(&format!("\n| {} | {} | {} |", slowdown.what, slowdown.must, slowdown.goal));
        for (_, ratio) in &slowdown.by_watcher {
            text.push_str(&format!(" {ratio:.2} |"));
        }
    }
    text.push_str(
        "\n\n| duetector-actors, into SQLite | measured | must | goal | met |\n|---|---|---|---|---|\n",
    );
    for figure in &figures.figures {
        text.push_str(&format!(
            "| {} | {:.*} {} | {} | {} | {} |\n",
            figure.what,
            figure.digits,
            figure.value,
            figure.unit,
            figure.must,
            figure.goal,
            figure.verdict()
        ));
    }
    text.push_str(&children::report(&figures.children));
    text.push_str("\nOpen/close alone, nobody watching: ");
    text.push_str(&format!(
        "{:.2} µs; fork+exec of `/bin/true`: {:.0} µs.\n",
        figures.bare[0], figures.bare[1]
    ));
    text
}

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(text: &str) {
    println!("{text}");
}
