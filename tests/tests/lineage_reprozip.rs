//! `lineage` compared with the records that ReproZip made of the same run. ReproZip traces processes with ptrace, and knows which files
//! they opened for what, but no bytes, no pipes and no names that a file had before.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;
use tests::workload::succeed;
use tests::{Setup, Store, duetector, suite};

const UID: u32 = 9974;
/// Bits of the column `mode` of ReproZip's `opened_files`.
const READ: i64 = 1;
const WRITTEN: i64 = 2;

/// A small build. ReproZip writes its records elsewhere.
const SCRIPT: &str = "
set -e
sort -o sorted numbers
exec 3< unread; exec 3<&-
awk '{ sum += $1 } END { print sum > \"sum\" }' sorted
cat sum names | gzip -c > packed.gz
cp packed.gz copy.gz
gzip -dk copy.gz
sh -c 'echo early > written; read line < late'
sh -c 'read line < other; echo \"$line\" > other.out; read line < later; echo \"$line\" > later.out'
mv copy final
";
const INPUTS: [&str; 6] = ["numbers", "names", "unread", "late", "other", "later"];

/// Files that were made, with the sources that only our answer has, and those that only ReproZip's records have. The shell opened
/// `unread` and read no byte; `late` and `later` were read after the last write.
const DIFFERENCES: [(&str, &[&str], &[&str]); 8] = [
    ("sorted", &[], &["unread"]),
    ("sum", &[], &["unread"]),
    // Through a pipe.
    ("packed.gz", &["names", "numbers", "sorted", "sum"], &["unread"]),
    ("copy.gz", &["names", "numbers", "sorted", "sum"], &["unread"]),
    ("written", &[], &["late", "unread"]),
    ("other.out", &[], &["later", "unread"]),
    ("later.out", &[], &["unread"]),
    // It was written under another name.
    ("final", &["copy.gz", "names", "numbers", "packed.gz", "sorted", "sum"], &[]),
];

suite! {
    threads: 1;
    reprozip_knows_of_the_same_flows: [Kernel, Duetector, Setpriv]
}

fn reprozip_knows_of_the_same_flows() {
    let agent = Setup::new().set("ebpf.uids", &format!("[{UID}]")).start();
    let folder = agent.scratch().folder("run");
    for name in INPUTS {
        // Sorted, they are in another order than as they are.
        std::fs::write(folder.join(name), "7\n5\n").unwrap();
    }
    let records = agent.scratch().path().join("records");
    let mut command = Command::new(duetector::program("reprozip"));
    command.args(["trace", "--dont-identify-packages", "--dont-find-inputs-outputs", "-d"]).arg(&records);
    let user = UID.to_string();
    command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "sh", "-c", SCRIPT]);
    command.current_dir(&folder).env("REPROZIP_USAGE_STATS", "off").env("HOME", agent.scratch().path());
    succeed(&mut command);
    let agent = agent.finish();
    let theirs = Theirs::read(&records.join("trace.sqlite3"), &folder);
    for (made, only_ours, only_theirs) in DIFFERENCES {
        let (ours, theirs) = (sources(agent.store(), &folder, made), theirs.sources(made));
        let only = |one: &BTreeSet<String>, other| one.difference(other).cloned().collect::<Vec<_>>();
        assert_eq!(only(&ours, &theirs), only_ours, "only ours, of {made}");
        assert_eq!(only(&theirs, &ours), only_theirs, "only theirs, of {made}");
    }
}

/// Returns the files of the folder that came to a file, as `lineage` says.
fn sources(store: &Store, folder: &Path, made: &str) -> BTreeSet<String> {
    let file = folder.join(made);
    let answer = store.json(&["lineage", file.to_str().unwrap(), "--up", "--format", "json"]);
    let nodes = answer["nodes"].as_array().unwrap().iter();
    let names = nodes.filter(|node| node["kind"] == "file").map(|node| node["name"].as_str().unwrap());
    let names =
        names.filter_map(|name| Some(Path::new(name).strip_prefix(folder).ok()?.to_str()?.to_owned()));
    names.filter(|name| name != made).collect()
}

/// ReproZip's records: which process read and wrote which files of the folder, and who made it.
#[derive(Debug, Default)]
struct Theirs {
    read: BTreeMap<i64, BTreeSet<String>>,
    writers: BTreeMap<String, BTreeSet<i64>>,
    parents: BTreeMap<i64, i64>,
}

impl Theirs {
    fn read(database: &Path, folder: &Path) -> Self {
        let (mut theirs, database) = (Self::default(), Connection::open(database).unwrap());
        let mut opened = database.prepare("SELECT name, mode, process FROM opened_files").unwrap();
        let mut opened = opened.query([]).unwrap();
        while let Some(row) = opened.next().unwrap() {
            let (name, mode, process): (String, i64, i64) =
                (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
            let Ok(name) = Path::new(&name).strip_prefix(folder) else { continue };
            let name = name.to_str().unwrap().to_owned();
            if mode & READ != 0 {
                theirs.read.entry(process).or_default().insert(name.clone());
            }
            if mode & WRITTEN != 0 {
                theirs.writers.entry(name).or_default().insert(process);
            }
        }
        let mut processes =
            database.prepare("SELECT id, parent FROM processes WHERE parent IS NOT NULL").unwrap();
        let parents = processes.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        theirs.parents = parents.map(Result::unwrap).collect();
        theirs
    }

    /// Returns the files that came to a file: whatever its writers, and those who made them, had opened to read; and so on.
    fn sources(&self, made: &str) -> BTreeSet<String> {
        let (mut files, mut processes) = (BTreeSet::from([made.to_owned()]), BTreeSet::new());
        let (mut new_files, mut new_processes) = (vec![made.to_owned()], Vec::new());
        while let Some(file) = new_files.pop() {
            new_processes.extend(self.writers.get(&file).into_iter().flatten());
            while let Some(process) = new_processes.pop() {
                if processes.insert(process) {
                    new_processes.extend(self.parents.get(&process));
                    let read = self.read.get(&process).into_iter().flatten();
                    new_files.extend(read.filter(|file| files.insert((*file).clone())).cloned());
                }
            }
        }
        files.remove(made);
        files
    }
}
