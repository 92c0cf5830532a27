//! Measures reading a large store of made-up rows (`store/examples/large_store.rs`).

use std::path::Path;
use std::process::Command;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use serde_json::Value;
use tests::workload::succeed;
use tests::{Scratch, Store, binary};

use crate::child::{Cost, measure};
use crate::figure::{Figure, figure, median};
use crate::storage::command;

/// Time of the first row, and rows a second, as the example makes them.
const START: i64 = 1_767_225_600;
const RATE: u64 = 10_000;
const OF_PROCESS: u64 = 200;

/// A question, with must and goal in seconds for 20 million rows.
type Question = (&'static str, Vec<String>, (f64, f64));

/// Makes a store of so many rows and asks it. Returns the figures, and what writing took.
pub(crate) fn take(rows: u64, rounds: usize, folder: Option<&Path>) -> (Vec<Figure>, Value) {
    let scratch = Scratch::new();
    let made = folder.map_or_else(|| scratch.folder("work"), Path::to_owned);
    let made = Store::at(made);
    let written = if made.database().exists() { Value::Null } else { write(&made, rows) };
    let mut figures = Vec::new();
    let mut peak: f64 = 0.0;
    for (what, words, budget) in questions(rows) {
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let command = command(&made, &words);
        let ask = |_| {
            forget(made.workdir());
            measure(&command)
        };
        let costs: Vec<Cost> = (0..rounds.clamp(1, 3)).map(ask).collect();
        let seconds = median(costs.iter().map(|cost| cost.seconds).collect());
        peak = costs.iter().map(|cost| cost.peak_mib).fold(peak, f64::max);
        figures.push(figure(format!("{} M rows: {what}", rows / 1_000_000), seconds, 3, "s", budget));
    }
    let mut scan = Command::new(binary::program("examples/large_store"));
    scan.arg(made.workdir()).arg("sum");
    forget(made.workdir());
    let what = format!("{} M rows: sum by group, own scan", rows / 1_000_000);
    figures.push(figure(what, measure(&scan).seconds, 3, "s", (3.0, 0.5)));
    figures.push(figure("a reader's peak memory", peak, 0, "MiB", (512.0, 256.0)));
    (figures, written)
}

/// Makes the kernel drop the files in a folder from its page cache, so that the next question reads them from the disk.
fn forget(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            forget(&path);
        } else if let Ok(file) = std::fs::File::open(&path) {
            // If the kernel does not drop it, the question is answered faster.
            let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }
}

/// Makes the folder of a store.
pub(crate) fn make_folder(store: &Store) {
    std::fs::create_dir_all(store.workdir()).expect("no folder for a large store");
    std::fs::set_permissions(store.workdir(), std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("a folder can't be closed to others");
}

/// Writes a store of so many made-up rows. Returns what it took.
pub(crate) fn write(store: &Store, rows: u64) -> Value {
    make_folder(store);
    let example = binary::program("examples/large_store");
    let output = succeed(Command::new(example).arg(store.workdir()).arg(rows.to_string()));
    serde_json::from_slice(&output.stdout).expect("no figures of a large store")
}

fn questions(rows: u64) -> Vec<Question> {
    let process = rows / OF_PROCESS / 2;
    let exec_id =
        format!("{}-{}", 1000 + process % 4_000_000, 999_999_999_000 + process * OF_PROCESS * 100_000);
    let path = format!("/home/builder/project/target/object-{process}.o");
    let ino = 10_000_000 + process;
    let minute = (START + (rows / RATE / 2) as i64) / 60 * 60;
    let texts = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let query = |rest: &[&str]| texts(&[&["query", "--format", "json", "--limit", "0"], rest].concat());
    let uses = |folder: &str| texts(&["uses", "--format", "json", "--by", "user", folder]);
    let range = format!("time >= {} AND time < {}", minute * 1_000_000_000, (minute + 60) * 1_000_000_000);
    vec![
        ("all rows of one exec_id", query(&["--where", &format!("exec_id=={exec_id:?}")]), (1.0, 0.1)),
        ("all rows of one file", query(&["--where", &format!("fname=={path:?}")]), (1.0, 0.1)),
        ("all rows of one file, by `ino`", query(&["--where", &format!("ino=={ino}")]), (1.0, 0.1)),
        (
            "20 rows of a minute, `query`",
            texts(&[
                "query",
                "--format",
                "json",
                "--limit",
                "20",
                "--since",
                &utc(minute),
                "--until",
                &utc(minute + 60),
            ]),
            (0.3, 0.05),
        ),
        (
            "20 rows of a minute, `sql`",
            texts(&[
                "sql",
                "--format",
                "json",
                &format!("SELECT time, comm, fname FROM open WHERE {range} ORDER BY time LIMIT 20"),
            ]),
            (0.3, 0.05),
        ),
        ("`brief`", texts(&["brief"]), (0.2, 0.05)),
        ("`uses` of a file", texts(&["uses", "--format", "json", &path]), (1.0, 0.1)),
        ("`uses` of a folder with 1 % of the rows", uses("/usr/include/library-[1-4]/"), (3.0, 0.5)),
        ("`uses` of a folder with 95 % of the rows", uses("/usr/include/"), (3.0, 0.5)),
        (
            "`lineage` of a file, two flows deep",
            texts(&["lineage", "--format", "json", "--boundary", "none", "--depth", "2", &path]),
            (2.0, 0.1),
        ),
        ("`process`", texts(&["process", "--format", "json", &exec_id]), (1.0, 0.1)),
        (
            "sum by group, `sql`",
            texts(&["sql", "--timeout", "10m", "SELECT comm, sum(bytes_read) FROM usage GROUP BY comm"]),
            (3.0, 0.5),
        ),
        (
            "count of all rows, `sql`",
            texts(&["sql", "--timeout", "10m", "SELECT count(*) FROM open"]),
            (3.0, 0.5),
        ),
    ]
}

fn utc(seconds: i64) -> String {
    let day = seconds - START;
    format!("2026-01-{:02}T{:02}:{:02}:{:02}Z", 1 + day / 86_400, day / 3600 % 24, day / 60 % 60, day % 60)
}
