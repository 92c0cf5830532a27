//! Measures how much slower programs run under each watcher.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tests::wait::now;
use tests::workload::{generate, succeed};
use tests::{Scratch, binary};

use crate::figure::{Figure, figure, median};
use crate::watchers::Watcher;

/// A program whose slowdown is measured.
enum Run {
    /// The generator, repeating one operation.
    Loop(Vec<String>),
    /// A build of one of our crates with all that it depends on.
    Build,
}

/// Slowdown of one program under each watcher.
pub(crate) struct Slowdown {
    pub(crate) what: &'static str,
    /// Must and goal with only the open tracer, if there are any.
    open: Option<(f64, f64)>,
    /// Budget with all tracers on.
    all: Budget,
    /// Microseconds per operation by watcher, the run without a watcher first.
    pub(crate) micros: Vec<(Watcher, f64)>,
}

enum Budget {
    Times(f64, f64),
    /// Nanoseconds added to each operation.
    Nanoseconds(f64, f64),
}

impl Slowdown {
    /// Returns the time relative to the run without a watcher.
    pub(crate) fn ratio(&self, watcher: Watcher) -> Option<f64> {
        self.of(watcher).map(|micros| micros / self.micros[0].1)
    }

    fn of(&self, watcher: Watcher) -> Option<f64> {
        self.micros.iter().find(|(other, _)| *other == watcher).map(|(_, micros)| *micros)
    }

    /// Returns the figures that have a budget.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        let times = |watcher: Watcher, budget| {
            let what = format!("{}, {}", self.what, watcher.name());
            self.ratio(watcher).map(|ratio| figure(what, ratio, 2, "×", budget))
        };
        let all = match self.all {
            Budget::Times(must, goal) => times(Watcher::Agent, (must, goal)),
            Budget::Nanoseconds(must, goal) => self.of(Watcher::Agent).map(|micros| {
                let added = (micros - self.micros[0].1) * 1000.0;
                figure(format!("added to {}", self.what), added, 0, "ns", (must, goal))
            }),
        };
        self.open.and_then(|budget| times(Watcher::AgentOpen, budget)).into_iter().chain(all).collect()
    }
}

/// Measures all slowdowns.
pub(crate) fn take(rounds: usize) -> Vec<Slowdown> {
    let scratch = Scratch::new();
    let file = scratch.file("file", "x");
    std::os::unix::fs::chown(&file, Some(GENERATOR), Some(GENERATOR)).expect("a file can't be given away");
    let file = file.display().to_string();
    let words = |words: &[&str]| Run::Loop(words.iter().map(|word| (*word).to_owned()).collect());
    let everybody = Watcher::all();
    let ours = [Watcher::Nobody, Watcher::Agent];
    let rows = [
        (
            "open/close loop",
            Some((2.0, 1.5)),
            Budget::Times(2.2, 1.6),
            &everybody[..],
            words(&["open", &file, "--count", "400000"]),
        ),
        (
            "4 KiB read/write loop",
            None,
            Budget::Times(1.5, 1.2),
            &ours,
            words(&["read-write", &file, "--count", "400000"]),
        ),
        (
            "fork+exec loop",
            None,
            Budget::Times(1.15, 1.05),
            &everybody,
            words(&["spawn", "/bin/true", "--count", "1000"]),
        ),
        ("connect loop", None, Budget::Times(1.2, 1.05), &ours, words(&["connect", "--count", "10000"])),
        (
            "an unrelated system call",
            None,
            Budget::Nanoseconds(60.0, 15.0),
            &ours,
            words(&["unrelated", "--count", "5000000"]),
        ),
        ("a build (`cargo build` of crate `model`)", None, Budget::Times(1.10, 1.04), &ours, Run::Build),
    ];
    let take = |(what, open, all, watchers, run): (_, _, _, &[Watcher], Run)| {
        let micros = micros(watchers, &run, rounds);
        Slowdown { what, open, all, micros }
    };
    rows.into_iter().map(take).collect()
}

/// User id of the generator.
const GENERATOR: u32 = 9964;

/// Runs one program under each watcher in alternation; returns medians.
fn micros(watchers: &[Watcher], run: &Run, rounds: usize) -> Vec<(Watcher, f64)> {
    let mut micros = vec![Vec::new(); watchers.len()];
    for _ in 0..rounds {
        for (watcher, micros) in watchers.iter().zip(&mut micros) {
            let watching = watcher.start();
            micros.push(match run {
                Run::Loop(words) => once(words),
                Run::Build => build(),
            });
            watching.stop();
        }
    }
    watchers.iter().copied().zip(micros.into_iter().map(median)).collect()
}

fn once(words: &[String]) -> f64 {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let done = generate(GENERATOR, &words);
    let of = |key: &str| done[key].as_f64().unwrap_or(f64::NAN);
    of("ns") / of("count") / 1000.0
}

/// Builds from an empty target folder; downloads are in cargo's cache since this program was built.
pub(crate) fn build() -> f64 {
    let scratch = Scratch::new();
    let cargo = std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = Command::new(cargo);
    command.current_dir(binary::workspace()).args(["build", "--quiet", "--offline", "--locked"]);
    command.args(["--package", "model", "--target-dir"]).arg(scratch.path());
    let start = now();
    succeed(command.stdin(Stdio::null()));
    start.elapsed().as_secs_f64() * 1e6
}
