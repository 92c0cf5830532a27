//! fio, by each engine that moves bytes of files, and what it reports.

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::workload::succeed;

use crate::{Sums, field};

pub(crate) const UID: u32 = 9957;
const SIZE: u64 = 4 << 20;

/// Pieces of any size, beginning anywhere.
const UNEVEN: &[&str] = &["--bsrange=1-9000", "--bs_unaligned"];
/// Options that every file system accepts.
const WHOLE: &[&str] = &["--bs=4k"];

/// Engines with their options. Not vsync, whose report is short by what it had gathered last, and not mmap: `programs` has
/// these.
const ENGINES: &[(&str, &[&str], &[&str])] = &[
    ("sync", UNEVEN, &[]),
    ("psync", UNEVEN, &[]),
    ("pvsync", UNEVEN, &[]),
    ("pvsync2", UNEVEN, &[]),
    ("libaio", UNEVEN, &["--iodepth=8"]),
    ("libaio", WHOLE, &["--iodepth=8"]),
    ("posixaio", UNEVEN, &["--iodepth=4"]),
    ("io_uring", UNEVEN, &["--iodepth=8"]),
    ("io_uring", WHOLE, &["--iodepth=8", "--fixedbufs=1", "--registerfiles=1"]),
    ("io_uring", UNEVEN, &["--iodepth=8", "--nonvectored=1"]),
    ("io_uring", UNEVEN, &["--iodepth=8", "--registerfiles=1", "--sqthread_poll=1"]),
    ("splice", UNEVEN, &[]),
];

/// Runs all; what fio says, by file.
pub(crate) fn run(folder: &Path) -> Sums {
    chown(folder, Some(UID), Some(UID)).unwrap();
    let mut sums = Sums::new();
    for (number, (engine, blocks, options)) in ENGINES.iter().enumerate() {
        for ways in ["read", "write", "randrw"] {
            let file = folder.join(format!("{number}-{engine}-{ways}"));
            fs::write(&file, vec![1; SIZE as usize]).unwrap();
            chown(&file, Some(UID), Some(UID)).unwrap();
            let ino = file.metadata().unwrap().ino();
            let past_the_cache =
                if *blocks == WHOLE && takes_direct(&file) { "--direct=1" } else { "--direct=0" };
            let job = report(&file, engine, &[*blocks, *options, &[past_the_cache]].concat(), ways);
            for (direction, name) in [("read", "read"), ("write", "written")] {
                let (bytes, calls) =
                    (field(&job[direction], "io_bytes"), field(&job[direction], "total_ios"));
                if calls > 0 {
                    sums.insert((0, ino, name.to_owned()), (bytes, calls));
                }
            }
        }
    }
    sums
}

/// Whether its file system can do without the page cache; tmpfs could not before Linux 6.6.
fn takes_direct(file: &Path) -> bool {
    fs::File::options().read(true).custom_flags(nix::libc::O_DIRECT).open(file).is_ok()
}

/// Returns fio's own report of its job.
fn report(file: &Path, engine: &str, options: &[&str], ways: &str) -> Value {
    let mut command = Command::new("fio");
    command.args(["--name=job", "--output-format=json"]);
    // The file is there already, and nobody looks at its blocks before.
    command.args(["--invalidate=0", "--allow_file_create=0", "--randrepeat=1", "--overwrite=1"]);
    command.arg(format!("--size={SIZE}")).arg(format!("--filename={}", file.display()));
    command.arg(format!("--ioengine={engine}")).arg(format!("--rw={ways}")).args(options);
    let output = succeed(command.uid(UID).gid(UID).current_dir(file.parent().unwrap()));
    let text = String::from_utf8_lossy(&output.stdout);
    // It may say something before its report.
    let report: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    let job = report["jobs"][0].clone();
    assert_eq!(job["error"], 0, "{engine} {ways}: {text}");
    job
}
