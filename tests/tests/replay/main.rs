//! Derives the last state of a tree of files from the records alone: they are read back from the store and applied, one
//! after the other, to a model of a file system, which must then equal the disk.
//!
//! The record of a call is made when the call ends; its effect may precede that of another call that ended first. So
//! the generator keeps apart whatever depends on that order (`file_ops` says how). Nothing else is made easy for the
//! records.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod apply;
mod tree;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use apply::{Row, apply};
use serde_json::Value;
use tests::workload::generator;
use tests::{Agent, Scratch, Setup, Store, binary, suite};
use tree::{BLURRED, Node, Tree, line};

const UID: u32 = 9960;
/// User id of a process that only keeps the processors busy.
const OTHER: u32 = 9959;
const WORKERS: u64 = 3;
/// All that it takes to do anything to anybody's files.
const CAPABILITIES: &str = "+chown,+dac_override,+dac_read_search,+fowner,+fsetid,+mknod";
/// Tracers in the order in which rows of the same microsecond are applied.
const TRACERS: [&str; 8] = ["mkdir", "open", "usage", "rename", "unlink", "link", "truncate", "attr"];

suite! {
    threads: 1;
    the_records_alone_give_the_last_state: [Kernel, Setpriv]
}

fn the_records_alone_give_the_last_state() {
    let setup = Setup::new().set("ebpf.uids", &format!("[{UID}]")).set("filter.system.disabled", "true");
    let agent = setup.only(&TRACERS).start();
    let top = agent.scratch().folder("tree");
    let lock = agent.scratch().file("lock", "");
    let seconds = suite::seconds();
    agent.scratch().folder("tree/shared");
    let busy: Vec<_> = (0..2).map(|_| busy(agent.scratch())).collect();
    let program = binary::public_copy(agent.scratch(), &binary::program("file_ops"));
    let workers: Vec<_> = (0..WORKERS).map(|number| work(&program, &top, &lock, number, seconds)).collect();
    let mut made = BTreeMap::<String, u64>::new();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let counts: BTreeMap<String, u64> = serde_json::from_slice(&output.stdout).unwrap();
        counts.into_iter().for_each(|(tracer, count)| *made.entry(tracer).or_default() += count);
    }
    for mut busy in busy {
        busy.kill().and_then(|()| busy.wait()).unwrap();
    }
    let agent = agent.finish();
    compare(&agent, top.to_str().unwrap(), &made);
}

/// Starts one of the programs that change files.
fn work(program: &Path, top: &Path, lock: &Path, number: u64, seconds: u64) -> Child {
    let mut command = Command::new("setpriv");
    let id = UID.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    command.args(["--inh-caps", CAPABILITIES, "--ambient-caps", CAPABILITIES, "--"]);
    command.arg(program).arg(top).arg("--lock").arg(lock).args(["--threads", "2", "--rate", "700"]);
    command.args(["--worker", &number.to_string(), "--umask", ["22", "0", "77"][number as usize]]);
    // A seed that is told, so that what fails can be done again.
    command.args(["--seed", "4", "--seconds", &seconds.to_string()]).stdout(Stdio::piped());
    command.spawn().unwrap()
}

/// Starts a process that uses processor time, with calls that no tracer records.
fn busy(scratch: &Scratch) -> Child {
    let file = scratch.file("busy", "");
    let mut command = generator(OTHER, &["open", file.to_str().unwrap()]);
    command.stdout(Stdio::null()).spawn().unwrap()
}

fn compare(agent: &Agent, top: &str, made: &BTreeMap<String, u64>) {
    let rows = rows(agent.store(), top, made);
    let mut tree = Tree::new(top);
    // What the test itself made before.
    let shared = Node { mode: libc::S_IFDIR | 0o777, ..Node::default() };
    tree.nodes.push(shared);
    tree.nodes[0].names.insert("shared".to_owned(), 1);
    for (_, tracer, row) in &rows {
        if row["ret"].as_i64().is_some_and(|ret| ret < 0) {
            continue;
        }
        if let Err(why) = apply(&mut tree, tracer, &Row(row)) {
            panic!("{why}: {tracer} {row}");
        }
    }
    let (model, real) = (tree.list(), real(Path::new(top)));
    let paths: std::collections::BTreeSet<_> = model.keys().chain(real.keys()).collect();
    let blurred = |line: &&String| line.contains(" size ? ");
    let count = model.values().filter(|line| blurred(line)).count();
    assert!(count * 10 < model.len(), "of {count} files of {} the size is not told", model.len());
    let same = |path: &&String| match (model.get(*path), real.get(*path)) {
        (Some(model), Some(real)) if blurred(&model) => *model == without_size(real),
        (model, real) => model == real,
    };
    let differ = paths.into_iter().filter(|path| !same(path));
    let differ: Vec<_> = differ
        .map(|path| format!("{path}\n  told {:?}\n  real {:?}", model.get(path), real.get(path)))
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {} differ:\n{}",
        differ.len(),
        real.len(),
        differ[..20.min(differ.len())].join("\n")
    );
    assert!(real.len() > 100, "there was not much to compare: {}", real.len());
}

/// Returns the line of a file without its size, as the model prints it if the size is not known.
fn without_size(line: &str) -> String {
    let (before, rest) = line.split_once(" size ").unwrap_or((line, ""));
    format!("{before} size {BLURRED}{}", rest.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

/// Returns all rows about the tree in order of time; there must be as many as calls were made.
fn rows(store: &Store, top: &str, made: &BTreeMap<String, u64>) -> Vec<(String, &'static str, Value)> {
    let mut all = Vec::new();
    for tracer in TRACERS {
        let account = store.account(tracer);
        assert_eq!(account.lost_total(), 0, "{account:?}");
        let mut rows = store.query(tracer, &[&format!("uid={UID}")]);
        let begins = |row: &Value| row["fname"].as_str().is_some_and(|path| path.starts_with(top));
        rows.retain(begins);
        if let Some(made) = made.get(tracer) {
            assert_eq!(rows.len() as u64, *made, "calls recorded by {tracer}");
        }
        all.extend(rows.into_iter().map(|row| (row["dt"].as_str().unwrap().to_owned(), tracer, row)));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Returns the files on disk, in the form in which the model prints them.
fn real(top: &Path) -> BTreeMap<String, String> {
    let mut list = BTreeMap::new();
    visit(top, &mut |path, meta| {
        let target = fs::read_link(path).map(|target| target.to_str().unwrap().to_owned());
        let node = Node {
            mode: meta.mode(),
            uid: meta.uid().into(),
            gid: meta.gid().into(),
            size: meta.len() as i64,
            device: meta.rdev(),
            target: target.unwrap_or_default(),
            ..Node::default()
        };
        let path = format!("/{}", path.strip_prefix(top).unwrap().to_str().unwrap());
        list.insert(path, ((meta.dev(), meta.ino()), node));
    });
    let mut first = HashMap::new();
    let model = |(path, (identity, node)): (String, _)| {
        let first: &mut String = first.entry(identity).or_insert_with(|| path.clone());
        let line = line(&node, first);
        (path, line)
    };
    list.into_iter().map(model).collect()
}

fn visit(folder: &Path, each: &mut dyn FnMut(&Path, &fs::Metadata)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        each(&path, &meta);
        if meta.is_dir() {
            visit(&path, each);
        }
    }
}
