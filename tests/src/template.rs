//! Templates of eBPF programs: where their files are, what is to be recorded, and the rows that came of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::workload::python;
use crate::{Store, binary};

/// A file of the examples' or of the tests' own. Where there is no compiler (in a guest), `DUETECTOR_TEST_EXAMPLES` names
/// a folder with all of them, compiled.
pub fn example(name: &str) -> PathBuf {
    match std::env::var_os("DUETECTOR_TEST_EXAMPLES") {
        Some(folder) => Path::new(&folder).join(name),
        None => {
            let folders = ["configs/examples", "tests/bpf"].map(|folder| binary::workspace().join(folder));
            let found = folders.iter().map(|folder| folder.join(name)).find(|file| file.exists());
            found.unwrap_or_else(|| folders[0].join(name))
        }
    }
}

/// The rows of `tracer` whose fields, columns or `extended`, are these.
///
/// # Panics
/// When `fields` is no object.
pub fn rows(store: &Store, tracer: &str, fields: &Value) -> Vec<Value> {
    let fields = fields.as_object().expect("fields are an object");
    let is = |row: &Value| fields.iter().all(|(name, value)| field(row, name) == value);
    store.query(tracer, &[]).into_iter().filter(is).collect()
}

fn field<'a>(row: &'a Value, name: &str) -> &'a Value {
    row.get(name).unwrap_or_else(|| &row["extended"][name])
}

/// Runs a Python script as that user; gives the number it prints, its process id or another.
///
/// # Panics
/// When it fails or prints something else.
pub fn pid_of(uid: u32, folder: &Path, script: &str, arguments: &[&str]) -> u64 {
    let output = python(uid, folder, script, arguments);
    let printed = String::from_utf8_lossy(&output.stdout);
    printed.trim().parse().unwrap_or_else(|_| panic!("no number: {printed:?}"))
}

const SIGNALS: &str = "import os, signal, sys
signal.signal(signal.SIGUSR2, lambda *_: None)
for _ in range(int(sys.argv[1])): os.kill(os.getpid(), signal.SIGUSR2)
print(os.getpid())";

/// A process of that user sends itself so many SIGUSR2; gives its id.
pub fn signal_itself(uid: u32, count: usize) -> u64 {
    pid_of(uid, Path::new("/"), SIGNALS, &[&count.to_string()])
}
