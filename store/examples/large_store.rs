//! Writes a large store with made-up rows, as those of a machine that builds software: opens, uses of files, and execs. Each
//! process opens files that others open, too, and one of its own. Rows are sealed as the agent does it.
//!
//! Arguments: the folder, and the number of rows. Prints JSON: what was written, and the time that writing and sealing took.
//! With `sum` instead of a number, it reads the rows of `usage` by this crate alone, without SQLite, and prints the bytes that each
//! command read.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;

use model::{
    BootNs, CgroupId, Clocks, Details, Direction, Exec, ExecId, Extended, File, Open, Routed, Text,
    TracerName, Tracking, Usage, ZonedTime, extended::ProcessContext,
};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rusqlite::Connection;
use serde_json::json;
use store::bookkeeping::{Now, Run};
use store::segment::{Moment, Sealer, list, unsealed};
use store::typed::{Value, Values};
use store::{Reader, Writer};

/// 2026-01-01, UTC.
const START: i64 = 1_767_225_600_000_000_000;
/// Time between two rows: 10,000 rows a second.
const STEP: i64 = 100_000;
/// Rows of a transaction.
const TRANSACTION: u64 = 10_000;
/// Rows of a process.
const OF_PROCESS: u64 = 200;
/// Number of files that all processes use.
const SHARED: u64 = 40_000;
/// Size of unsealed batches at which they are sealed, the default of the agent.
const SEAL_SIZE: i64 = 256 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(rows)) = (arguments.next(), arguments.next()) else {
        return Err("arguments: FOLDER ROWS".into());
    };
    let path = PathBuf::from(folder).join("store.sqlite3");
    if rows == "sum" {
        return sum(&Connection::open(&path)?);
    }
    let rows = rows.parse::<u64>()?;
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(&path)?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF",
        )?;
        Ok(connection)
    };
    let run = Run { run_id: "made-up".into(), collector_id: "made-up".into(), started: at(0).wall() };
    let (mut writer, _) = Writer::begin(open()?, &run, None)?;
    let (mut reading, mut sealing_cpu, mut batch_bytes) = (open()?, 0, 0);
    for first in (0..rows).step_by(TRANSACTION as usize) {
        let made = (first..rows.min(first + TRANSACTION)).map(row).collect::<Vec<_>>();
        let batch = Routed { claim: None, rows: made.into(), bytes: 0 };
        let now = Now { wall: at(first).wall(), boot: boot(first), clocks: &Clocks::default() };
        writer.write(&[batch], &[], &now)?;
        let is_last = first + TRANSACTION >= rows;
        if (first / TRANSACTION).is_multiple_of(20) || is_last {
            let waiting = unsealed(&reading)?.bytes;
            if waiting >= SEAL_SIZE || is_last {
                let before = cpu();
                seal(&mut reading, first)?;
                sealing_cpu += cpu() - before;
                batch_bytes += waiting;
            }
        }
    }
    writer.end(&[], at(rows).wall(), boot(rows))?;
    let bytes: i64 = list(&reading)?.iter().map(|segment| segment.bytes).sum();
    let figures = json!({
        "rows": rows,
        "segments": list(&reading)?.len(),
        "batch_bytes_a_row": batch_bytes as f64 / rows as f64,
        "segment_bytes_a_row": bytes as f64 / rows as f64,
        "writing_cpu_us_a_row": (cpu() - sealing_cpu) as f64 / rows as f64,
        "sealing_cpu_us_a_row": sealing_cpu as f64 / rows as f64,
        "peak_kib": getrusage(UsageWho::RUSAGE_SELF)?.max_rss(),
    });
    say(&figures.to_string());
    Ok(())
}

/// Prints the bytes that each command read.
fn sum(connection: &Connection) -> Result<(), Box<dyn Error>> {
    let (reader, mut sums) = (Reader::default(), BTreeMap::<String, i64>::new());
    for stream in reader.streams(connection)?.iter().filter(|stream| stream.tracer == "usage") {
        for batch in reader.batches(connection, stream.id, i64::MIN, i64::MAX)? {
            let rows = reader.rows(connection, &batch, |name| name == "comm" || name == "bytes_read")?;
            let (commands, bytes) = (Values::of(&rows, "comm"), Values::of(&rows, "bytes_read"));
            for row in 0..rows.len() {
                let (Value::Text(command), Value::Int(read)) = (commands.value(row), bytes.value(row)) else {
                    continue;
                };
                match sums.get_mut(&*command) {
                    Some(sum) => *sum += read,
                    None => drop(sums.insert(command.into_owned(), read)),
                }
            }
        }
    }
    say(&serde_json::to_string(&sums)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(text: &str) {
    println!("{text}");
}

fn seal(connection: &mut Connection, number: u64) -> Result<(), store::Error> {
    let moment = Moment { utc_ns: at(number).utc_ns, zone: jiff::tz::TimeZone::UTC };
    let mut sealer = Sealer::new(connection, moment)?;
    sealer.recover()?;
    sealer.seal(u64::MAX).map(|_| ())
}

/// Returns the CPU time of this process, in microseconds.
fn cpu() -> i64 {
    getrusage(UsageWho::RUSAGE_SELF)
        .map_or(0, |usage| usage.user_time().num_microseconds() + usage.system_time().num_microseconds())
}

fn at(number: u64) -> ZonedTime {
    ZonedTime { utc_ns: START + number.cast_signed() * STEP, offset: 0 }
}

fn boot(number: u64) -> BootNs {
    BootNs(1_000_000_000_000 + number * STEP.unsigned_abs())
}

/// Returns the row of that number: of 20 rows 11 are opens, 8 are uses and one is an exec.
fn row(number: u64) -> Tracking {
    let process = number / OF_PROCESS;
    let pid = (1000 + process % 4_000_000) as u32;
    let (path, file) = file_of(number, process);
    let (tracer, details) = match number % 20 {
        0 => ("exec", exec(number, process, file)),
        1..12 => ("open", open(&path, file)),
        _ => ("usage", usage(number, &path, file)),
    };
    let program = ["cc1", "as", "ld", "rustc", "sh"][(process % 5) as usize];
    let mut row = Tracking::new(TracerName::new(tracer), at(number).wall(), Extended::new(details));
    let start_ns = boot(process * OF_PROCESS).0 - 1_000;
    row.extended.context = Some(ProcessContext {
        cgroup_id: CgroupId { hierarchy: 1, id: 4242 },
        cgroup: Some("/user.slice/user-1000.slice/session-2.scope".into()),
        container: None,
        container_claimed: None,
        pid_ns: 4_026_531_836,
        mnt_ns: 4_026_531_841,
        net_ns: None,
        login: [Some(1000), Some(2)],
        ruid: None,
        fsuid: None,
        ns_pid: pid,
    });
    row.pid = Some(pid.into());
    row.tid = Some(pid.into());
    row.ppid = Some(i64::from(pid) - 1 - (process % 7).cast_signed());
    row.uid = Some(1000);
    row.gid = Some(1000);
    row.comm = Some(program.into());
    row.cwd = Some("/home/builder/project".into());
    row.exe = Some(Text::from(format!("/usr/bin/{program}")));
    row.exec_id = Some(ExecId { pid, start_ns });
    row.fname = Some(path);
    row.ret =
        (tracer != "usage").then_some(if tracer == "exec" { 0 } else { 3 + (number % 9).cast_signed() });
    row.time = Some(at(number));
    row.boot_ns = Some(boot(number).0.cast_signed());
    row
}

/// Returns a file that the process uses: mostly one that others use, too.
fn file_of(number: u64, process: u64) -> (Text, File) {
    let (path, ino) = if number % OF_PROCESS < 10 {
        (format!("/home/builder/project/target/object-{process}.o"), 10_000_000 + process)
    } else {
        // Processes use neighbouring files, and some of them more often.
        let shared = (process * 37 + (number % 53) * (number % 7)) % SHARED;
        (format!("/usr/include/library-{}/header-{shared}.h", shared / 100), 500_000 + shared)
    };
    let file = File { dev: 65025, ino, generation: 7, mode: 0o100_644, real: None, subvolume_unknown: false };
    (path.into(), file)
}

fn open(path: &Text, file: File) -> Details {
    Details::Open(Box::new(Open {
        path: path.clone(),
        path_incomplete: false,
        path_unresolved: false,
        path_asked: path.clone(),
        handle: None,
        flags: 0o2_000_000,
        mode: 0,
        umask: 0o22,
        ret: 3,
        of_system: false,
        file: Some(file),
    }))
}

fn usage(number: u64, path: &Text, file: File) -> Details {
    Details::Usage(Box::new(Usage {
        path: path.clone(),
        path_incomplete: false,
        of_system: false,
        file: Some(file),
        socket: None,
        flags: 0o2_000_000,
        direction: Direction::Read,
        bytes: 4096 * (1 + number % 17) + number % 1000,
        calls: 1 + number % 17,
        via: vec!["read"],
        first: BootNs(boot(number).0 - 90_000 - number % 1000),
        last: boot(number),
    }))
}

fn exec(number: u64, process: u64, file: File) -> Details {
    let program = Text::from(["cc1", "as", "ld", "rustc", "sh"][(process % 5) as usize]);
    let argv = [program.clone(), "-O2".into(), "-o".into(), Text::from(format!("object-{number}.o"))];
    Details::Exec(Box::new(Exec {
        path_asked: program.clone(),
        path: Text::from(format!("/usr/bin/{program}")),
        argv: argv.to_vec(),
        argv_cut: false,
        cwd: "/home/builder/project".into(),
        path_incomplete: false,
        path_unresolved: false,
        ret: 0,
        execveat: None,
        memfd: false,
        file: Some(file),
        interpreter: None,
    }))
}
