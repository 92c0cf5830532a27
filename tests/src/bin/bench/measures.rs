//! Measurements and their budgets on the 2-core machine.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use tests::wait::now;
use tests::workload::{generate, generator};
use tests::{Agent, Scratch, Setup, within};

use crate::children::{self, Flood};
use crate::figure::{Figure, cpu_seconds, figure, median};
use crate::kernel::{self, Cost};
use crate::large;
use crate::loads::{drain, lossless_rate, only};
use crate::pinning::{self, Pinning};
use crate::slowdowns::{self, Slowdown};
use crate::storage;

/// Rows of the large store.
const LARGE: u64 = 20_000_000;

/// All figures of one run of the benchmark.
pub(crate) struct Figures {
    pub(crate) slowdowns: Vec<Slowdown>,
    pub(crate) figures: Vec<Figure>,
    /// Cost of each tracer's events in the kernel.
    pub(crate) kernel: Vec<Cost>,
    /// Rates that subprocess tracers reach.
    pub(crate) children: Vec<Flood>,
    pub(crate) pinning: Vec<Pinning>,
}

impl Figures {
    pub(crate) fn take(rounds: usize, seconds: u64) -> Self {
        let slowdowns = slowdowns::take(rounds);
        let mut figures: Vec<_> = slowdowns.iter().flat_map(Slowdown::figures).collect();
        let kernel = kernel::take();
        figures.extend(kernel::figures(&kernel));
        let (cpu, bytes) = cpu_and_bytes(rounds, seconds);
        figures.extend([
            figure("CPU per million events", cpu, 2, "s", (4.0, 2.5)),
            figure("peak memory in a storm", peak_memory(seconds), 0, "MiB", (128.0, 64.0)),
            figure("start to first stored event", start_to_first(rounds), 2, "s", (1.0, 0.3)),
            figure(
                "highest paced rate without loss",
                lossless_rate(9966, seconds * 2, || only(9966)),
                0,
                "opens/s",
                (150_000.0, 300_000.0),
            ),
            figure("CPU with no events", idle(seconds * 2), 2, "% of a core", (0.5, 0.1)),
            figure("bytes a stored row", bytes, 0, "bytes", (350.0, 200.0)),
        ]);
        figures.extend(storage::take(rounds, seconds));
        figures.extend(large::take(LARGE, rounds, None).0);
        let (children, pinning) = (children::take(rounds), pinning::take(rounds, seconds));
        Self { slowdowns, figures, kernel, children, pinning }
    }
}

/// Returns the agent's CPU seconds per million paced opens, all of them stored, and the bytes a row takes in the file.
fn cpu_and_bytes(rounds: usize, seconds: u64) -> (f64, f64) {
    let runs = (0..rounds.min(3)).map(|_| {
        let agent = only(9969).start();
        let file =
            agent.scratch().file("a-file-whose-whole-path-has-about-the-usual-hundred-bytes-in-it", "");
        let before = cpu_seconds(&agent);
        let path = file.to_str().unwrap_or_default();
        generate(9969, &["paced", path, "--rate", "100000", "--seconds", &seconds.to_string()]);
        let stored = drain(&agent);
        let cpu = (cpu_seconds(&agent) - before) * 1e6 / stored as f64;
        let agent = agent.finish();
        let size = fs::metadata(agent.store().database()).map_or(0, |meta| meta.len());
        (cpu, size as f64 / stored as f64)
    });
    let (cpu, bytes): (Vec<_>, Vec<_>) = runs.unzip();
    (median(cpu), median(bytes))
}

fn peak_memory(seconds: u64) -> f64 {
    let agent = only(9968).start();
    let file = agent.scratch().file("file", "");
    generate(9968, &["open", file.to_str().unwrap_or_default(), "--seconds", &seconds.to_string()]);
    let peak = agent.peak_mib() as f64;
    agent.finish();
    peak
}

/// Returns the seconds from the start of the process to the first row that another program can read.
fn start_to_first(rounds: usize) -> f64 {
    let runs = (0..rounds).map(|_| {
        let scratch = Scratch::new();
        let file = scratch.file("file", "");
        let path = file.to_str().unwrap_or_default();
        let mut opens = generator(9967, &["paced", path, "--rate", "1000", "--seconds", "60"]);
        let mut opens =
            opens.stdout(std::process::Stdio::null()).spawn().expect("the generator can't be started");
        let start = now();
        let mut agent = only(9967).spawn();
        let took =
            within(Duration::from_secs(30), || has_rows(&agent).then(|| start.elapsed().as_secs_f64()));
        opens.kill().and_then(|()| opens.wait()).expect("the generator can't be stopped");
        agent.stop(Signal::SIGTERM);
        took.unwrap_or(f64::INFINITY)
    });
    median(runs.collect())
}

fn has_rows(agent: &Agent) -> bool {
    let open = || {
        let database =
            Connection::open_with_flags(agent.store().database(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let find =
            "SELECT 1 FROM batch JOIN stream ON stream.id = batch.stream WHERE tracer = 'open' LIMIT 1";
        database.query_row(find, [], |_| Ok(()))
    };
    open().is_ok()
}

/// Returns the CPU use in percent of a core while nothing is recorded, with all tracers on.
fn idle(seconds: u64) -> f64 {
    let mut agent = Setup::new().set("ebpf.uids", "[9965]").start();
    let (start, before) = (now(), cpu_seconds(&agent));
    // What is waited for is the time itself: seconds of nothing.
    std::thread::sleep(Duration::from_secs(seconds));
    let share = (cpu_seconds(&agent) - before) / start.elapsed().as_secs_f64();
    // Its books are empty, as they should be.
    agent.stop(Signal::SIGTERM);
    share * 100.0
}
