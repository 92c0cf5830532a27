//! Measures the cost of a row from record to sink, step by step, in processor time of the thread that does the work.
//! That is what the agent pays, and it hardly depends on other load on the machine.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use collector::sink::Sink;
use collector::sink::jsonl::Jsonl;
use collector::sink::memory::Memory;
use collector::sink::sqlite::{Run, Sqlite};
use collector::sink::store::Store;
use collector::{FilterConfig, Filters, Pipeline, Synchronous, default_filters};
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use model::{
    BootNs, Clocks, Details, ExecId, File, Identity, Moment, Open, ProcessInfo, ProcessTable, Record, Routed,
    TracerName, Tracking, WallTime,
};

/// Records in a kernel tracer's batch.
const BATCH: u64 = 1024;
/// Batches that the store writes in one transaction.
const BATCHES: u64 = 4;

fn clocks() -> Clocks {
    Clocks::new(1_700_000_000_000_000_000, jiff::tz::TimeZone::UTC)
}

fn record(number: u64) -> Record {
    // The path has 100 bytes, both as passed to the call and as resolved.
    let path = format!("/data/sets/2024/{:0>64}/part-{number:08}.csv", "x");
    let open = Open {
        path: path.as_str().into(),
        path_incomplete: false,
        path_unresolved: false,
        path_asked: path.as_str().into(),
        handle: None,
        flags: 0o2000000,
        mode: 0,
        umask: 0o22,
        ret: 3,
        of_system: false,
        file: Some(File {
            dev: 65024,
            ino: 1_234_567 + number,
            generation: 987_654_321,
            mode: 0o100644,
            real: None,
            subvolume_unknown: false,
        }),
    };
    let identity = Identity {
        pid: 4321,
        tid: 4321,
        ppid: 4000,
        start_ns: 123_456_789_012,
        uid: 1000,
        gid: 1000,
        comm: "python3".into(),
        cgroup: model::CgroupId { hierarchy: 0, id: 4711 },
        ns_pid: 1,
        pid_ns: 4_026_531_836,
        mnt_ns: 4_026_531_841,
        net_ns: Some(4_026_531_840),
        loginuid: Some(1000),
        sessionid: Some(3),
        ruid: 1000,
        fsuid: 0,
        uring: false,
        compat: false,
        unverified: false,
        result_unknown: false,
    };
    let at = Moment::Boot(BootNs(200_000_000_000 + number * 1000));
    Record { at, identity: Some(identity), details: Details::Open(Box::new(open)) }
}

fn processes() -> ProcessTable {
    let table = ProcessTable::default();
    let info = ProcessInfo {
        exe: Some("/usr/bin/python3.11".into()),
        cwd: Some("/home/alice/project".into()),
        cgroup: Some("/user.slice/user-1000.slice/session-2.scope".into()),
    };
    table.change(ExecId { pid: 4321, start_ns: 123_456_789_012 }, BootNs(0), Arc::new(info));
    table
}

fn pipeline() -> Pipeline {
    pipeline_with(&[])
}

/// Returns a pipeline with the default filter and with expressions that drop nothing.
fn pipeline_with(expressions: &[&str]) -> Pipeline {
    let mut filters = default_filters();
    for (number, text) in expressions.iter().enumerate() {
        let filter = FilterConfig { drop: Some((*text).to_owned()), ..FilterConfig::default() };
        filters.0.insert(number.to_string(), filter);
    }
    Pipeline::new(Filters::compile(&filters, "filter").expect("filters compile"), processes())
}

/// Returns the next batch. Times increase from batch to batch as in real use, because the cost of the store's index
/// on time depends on it.
fn records(next: &mut u64) -> Vec<Record> {
    let first = *next;
    *next += BATCH;
    (first..*next).map(record).collect()
}

fn cpu_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    nix::time::clock_gettime(clock).map(Duration::from).expect("the thread's clock")
}

/// Measures `work` on the values that `make` returns, without the time to make and drop them.
fn measure<I, O>(bencher: &mut Bencher<'_>, mut make: impl FnMut() -> I, mut work: impl FnMut(&mut I) -> O) {
    bencher.iter_custom(|iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let mut input = make();
            let before = cpu_time();
            black_box(work(&mut input));
            total += cpu_time() - before;
        }
        total
    });
}

fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(BATCH));
    let tracer = TracerName::new("open");
    let cases: [(&str, &[&str]); 4] = [
        ("normalise, filter, enrich", &[]),
        ("the same with an expression on columns", &["fname.startsWith('/tmp/') && uid != 0"]),
        ("the same with an expression on fields", &["errno == 'ENOENT' && 'O_CREAT' in flags"]),
        (
            "the same with an expression on what is enriched",
            &["container_id != null && fname.matches('^/x.*y$')"],
        ),
    ];
    for (name, expressions) in cases {
        let mut pipeline = pipeline_with(expressions);
        let mut next = 0;
        group.bench_function(name, |bencher| {
            let make = || records(&mut next);
            measure(bencher, make, |records| pipeline.run(&tracer, std::mem::take(records), &clocks()));
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion, name: &str, sink: &mut dyn Sink) {
    let mut group = criterion.benchmark_group("sink");
    group.throughput(Throughput::Elements(BATCH * BATCHES));
    let (mut next, mut pipeline, tracer) = (0, pipeline(), TracerName::new("open"));
    let mut rows = || -> Arc<[Tracking]> { pipeline.run(&tracer, records(&mut next), &clocks()).rows.into() };
    group.bench_function(name, |bencher| {
        let make =
            || (0..BATCHES).map(|_| Routed { claim: None, rows: rows(), bytes: 0 }).collect::<Vec<_>>();
        measure(bencher, make, |batches| sink.write(batches, &[]).expect("a write"));
    });
    group.finish();
}

fn sinks(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run { run_id: "bench".into(), collector_id: "bench".into(), started: WallTime(0) };
    let path = |name| folder.path().join(name);
    let mut store = Store::new(path("store"), Synchronous::Normal, run.clone());
    write(criterion, "store", &mut store);
    report_size(&path("store"), "busy", "SELECT sum(rows) FROM batch");
    let mut quiet = Store::new(path("quiet store"), Synchronous::Off, run.clone());
    write_quietly(&mut quiet);
    report_size(&path("quiet store"), "quiet", "SELECT sum(rows) FROM batch");
    write(criterion, "sqlite", &mut Sqlite::new(path("db"), Synchronous::Normal, run));
    report_size(&path("db"), "busy", "SELECT count(*) FROM \"duetector_tracking:open@bench\"");
    write(criterion, "jsonl", &mut Jsonl::file(path("lines"), 64 << 20, 1));
    write(criterion, "memory", &mut Memory::new(1024));
}

/// Writes 20,000 rows of ten tracers, two at a time, as on a machine with ten rows a second.
fn write_quietly(sink: &mut dyn Sink) {
    let (mut next, mut pipeline) = (0, pipeline());
    let tracers = ["open", "exec", "exit", "clone", "usage", "unlink", "rename", "connect", "udp", "mkdir"];
    let mut rows: Vec<Vec<Tracking>> = tracers
        .iter()
        .map(|tracer| {
            let tracer = TracerName::new(tracer);
            (0..2).flat_map(|_| pipeline.run(&tracer, records(&mut next), &clocks()).rows).collect()
        })
        .collect();
    for number in 0..10_000 {
        let pair = rows[number % 10].drain(..2).collect();
        sink.write(&[Routed { claim: None, rows: pair, bytes: 0 }], &[]).expect("a write");
    }
}

/// Prints the size of a stored row on disk.
#[expect(clippy::print_stderr, reason = "a bench reports to the terminal")]
fn report_size(path: &std::path::Path, load: &str, count: &str) {
    let connection = rusqlite::Connection::open(path).expect("the store");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).expect("a checkpoint");
    let rows: i64 = connection.query_row(count, (), |row| row.get(0)).expect("a count");
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    eprintln!(
        "bytes a stored row (100-byte path, as asked and as resolved; {load}): {:.0}",
        bytes as f64 / rows as f64
    );
}

criterion_group!(benches, steps, sinks);
criterion_main!(benches);
