//! Measures the columnar store: the room of a row, what sealing costs, and what the agent takes and bears with it, against the
//! sink `sqlite`.

use std::process::Command;

use tests::workload::{generate, succeed};
use tests::{Agent, Screen, Setup, Store, binary};

use crate::child::{self, Cost};
use crate::figure::{Figure, cpu_seconds, cpu_seconds_of, figure, median};
use crate::loads::{drain, lossless_rate_of, only};
use crate::slowdowns;

const UID: u32 = 9961;
/// Opens per second at which CPU time is measured; the sink `sqlite` bears them, too.
const STEADY: &str = "50000";
/// Hundredths of one CPU that the agent with its processes gets where the highest rate is measured. With a whole CPU it bears more
/// than a program that does nothing but open a file can make.
const SHARE: u32 = 10;
/// A pass with an event of each of ten tracers. With twenty passes a second instead of one, batches are filled as on a quiet machine,
/// in a twentieth of the time.
const QUIET: &str = "open(F, '+>', 'a'); syswrite F, 'x'; close F; rename 'a', 'b'; link 'b', 'c'; truncate 'b', 1; \
     chmod 0600, 'b'; mkdir 'd'; rmdir 'd'; unlink 'b', 'c'; kill 0, $$; syscall(105, $<); select(undef, undef, undef, 0.05)";

/// Returns all figures of the store that need an agent.
pub(crate) fn take(rounds: usize, seconds: u64) -> Vec<Figure> {
    let (unsealed, sealed, seal) = of_a_build();
    let rows = sealed.1;
    let (cpu, memory) = (against_sqlite(rounds, seconds), storm(seconds));
    let rates = rates(rounds, seconds);
    vec![
        figure("rows of a build: bytes a row, sealed", sealed.0, 1, "bytes", (45.0, 25.0)),
        figure("rows of a build: bytes a row, not sealed", unsealed, 1, "bytes", (120.0, 60.0)),
        figure(
            "hundreds of rows of each of ten tracers, a few at a time: bytes a row, not sealed",
            quiet(seconds),
            1,
            "bytes",
            (200.0, 120.0),
        ),
        figure("sealing, CPU a row", seal.cpu_seconds * 1e6 / rows, 2, "µs", (6.0, 2.0)),
        figure("`store seal`, peak memory", seal.peak_mib, 0, "MiB", (192.0, 96.0)),
        figure("CPU a million opens, all tracers, against `sqlite`", cpu, 2, "×", (0.5, 0.3)),
        figure(
            "highest paced rate without loss on a tenth of a CPU, against `sqlite`",
            rates[0],
            2,
            "×",
            (1.5, 2.5),
        ),
        figure("the same while sealing", rates[1], 2, "×", (1.2, 2.0)),
        figure("peak memory in a storm that is sealed: agent", memory[0], 0, "MiB", (128.0, 64.0)),
        figure("peak memory in a storm that is sealed: sealing", memory[1], 0, "MiB", (192.0, 96.0)),
        figure("CPU of `top` at 10,000 events a second", screen(seconds), 2, "% of a core", (2.0, 1.0)),
    ]
}

/// Rows of a build: bytes a row before sealing; the same after it, and the number of rows; and what sealing took.
fn of_a_build() -> (f64, (f64, f64), Cost) {
    let agent = Setup::new().set("store.seal_after", "\"1h\"").start();
    slowdowns::build();
    let agent = agent.finish_run();
    let (bytes, rows) = unsealed(agent.store());
    let seal = child::measure(&command(agent.store(), &["store", "seal"]));
    let status = agent.store().json(&["store", "status", "--format", "json"]);
    let of = |key: &str| status[key].as_f64().unwrap_or(f64::NAN);
    (bytes / rows, (of("bytes_per_row"), of("sealed_rows")), seal)
}

/// Returns a command of the agent on this store.
pub(crate) fn command(store: &Store, words: &[&str]) -> Command {
    let mut command = Command::new(binary::agent());
    command.args(words).arg("--workdir").arg(store.workdir());
    command
}

/// Returns size and number of the rows that are not sealed.
fn unsealed(store: &Store) -> (f64, f64) {
    let status = store.json(&["store", "status", "--format", "json"]);
    let of = |key: &str| status[key].as_f64().unwrap_or(f64::NAN);
    (of("unsealed_bytes"), of("unsealed_rows"))
}

fn quiet(seconds: u64) -> f64 {
    let agent = Setup::new().set("ebpf.uids", &format!("[{UID}]")).start();
    let folder = agent.scratch().folder("things");
    let script = format!("for (1..{}) {{ {QUIET} }}", seconds * 400);
    let mut perl = Command::new("perl");
    perl.args(["-e", &script]).current_dir(&folder);
    succeed(std::os::unix::process::CommandExt::uid(&mut perl, UID));
    let agent = agent.finish_run();
    let (bytes, rows) = unsealed(agent.store());
    bytes / rows
}

/// Returns the CPU time of the agent with the columnar store at a steady rate of opens, all tracers on, relative to the one with
/// the sink `sqlite`.
fn against_sqlite(rounds: usize, seconds: u64) -> f64 {
    let cpu = |setup: Setup| {
        let agent = setup.set("ebpf.uids", &format!("[{UID}]")).start();
        let before = cpu_seconds(&agent);
        generate(UID, &["paced", &file(&agent), "--rate", STEADY, "--seconds", &seconds.to_string()]);
        let stored = drain(&agent);
        let used = (cpu_seconds(&agent) - before) / stored as f64;
        agent.finish_run();
        used
    };
    let ratios = (0..rounds.min(3)).map(|_| {
        let sqlite = cpu(Setup::new().duetector_layout());
        cpu(Setup::new()) / sqlite
    });
    median(ratios.collect())
}

/// Returns the highest rates of the columnar store, without and with sealing, relative to that of the sink `sqlite`. The process that
/// seals has the same share of the CPU as the agent.
fn rates(rounds: usize, seconds: u64) -> [f64; 2] {
    let (mut plain, mut sealing) = (Vec::new(), Vec::new());
    let rate = |setup: &dyn Fn() -> Setup| lossless_rate_of(SHARE, UID, seconds * 2, setup);
    for _ in 0..rounds.min(3) {
        let sqlite = rate(&|| only(UID).duetector_layout());
        plain.push(rate(&|| only(UID)) / sqlite);
        sealing.push(rate(&|| only(UID).set("store.seal_size", "\"1MiB\"")) / sqlite);
    }
    [median(plain), median(sealing)]
}

/// Returns the peak memory of the agent and of the process that seals, in MiB.
fn storm(seconds: u64) -> [f64; 2] {
    let agent = only(UID).set("store.seal_size", "\"4MiB\"").start();
    generate(UID, &["open", &file(&agent), "--seconds", &(seconds * 2).to_string()]);
    drain(&agent);
    let sealing = agent.actor("sealer")["state"]["peak_kib"].as_f64().unwrap_or(f64::NAN) / 1024.0;
    let peak = agent.peak_mib() as f64;
    agent.finish_run();
    [peak, sealing]
}

/// Returns the share of a core that the screen `top` takes while 10,000 rows are stored a second, in hundredths.
fn screen(seconds: u64) -> f64 {
    let agent = Setup::new().set("ebpf.uids", &format!("[{UID}]")).start();
    let screen = Screen::start(&agent, &[]);
    screen.until("seen");
    let before = cpu_seconds_of(screen.pid());
    let seconds = seconds * 4;
    generate(UID, &["paced", &file(&agent), "--rate", "10000", "--seconds", &seconds.to_string()]);
    let used = cpu_seconds_of(screen.pid()) - before;
    agent.finish_run();
    100.0 * used / seconds as f64
}

fn file(agent: &Agent) -> String {
    agent.scratch().file("file", "").display().to_string()
}
