//! Runs the same operations with the tested kind of hooks and with another: the records are the same, field by
//! field, except for values that differ each time (ids, ports, addresses, times).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use bpf_programs::tracers;
use model::{Extended, Record};
use serde_json::{Value, json};

use crate::Test;
use crate::compat;
use crate::ledger::flush_both_buffers;
use crate::support::{self, DATA_RING, ENTRIES, Kernel};
use crate::urings::Python;

pub const TESTS: &[Test] = &[("every_tier_records_the_same", every_tier_records_the_same)];

const PROGRAM: &str = include_str!("tiers.py");

/// Cases of `uring.py` that are run through io_uring.
const REQUESTS: [&str; 6] = ["openat", "renameat2", "unlinkat", "mkdirat", "connect", "accept4"];

/// Fields with values that differ each time. Equal values become equal words, so that it still shows what
/// belongs together.
const VARYING: [&str; 10] = [
    "child_pid",
    "child_tid",
    "child_exec_id",
    "target_pid",
    "target_tid",
    "peer_pid",
    "sock_ino",
    "peer_ino",
    "from",
    "to",
];

/// Kinds of records of calls that name a file by its path.
const PATHS: [&str; 6] = ["Attr", "Link", "Mkdir", "Rename", "Truncate", "Unlink"];
/// Fields that mark what a caller may have changed.
const MARKS: [&str; 2] = ["path_unresolved", "unverified"];
/// Fields that identify a file.
const IDENTITY: [&str; 7] =
    ["dev", "ino", "generation", "file_type", "replaced_dev", "replaced_ino", "replaced_generation"];

/// The first port that the kernel chooses by itself (default of `net.ipv4.ip_local_port_range`).
const EPHEMERAL: u64 = 32_768;

/// Records by process, in the order in which the processes are listed, and by kind.
type Reported = BTreeMap<(usize, String), Vec<Value>>;

fn every_tier_records_the_same() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().join("same");
    let first = support::tier();
    let mut shared = Kernel::start()?;
    let expected = run_all(&mut shared, &folder).context(first)?;
    drop(shared);
    let second = if first == Tier::Tracepoint { Tier::Kprobe } else { Tier::Tracepoint };
    let mut kernel = Kernel::start_on(second, DATA_RING, ENTRIES, |_| true).context(second)?;
    let reported = run_all(&mut kernel, &folder).context(second)?;
    compare(first, &expected, second, &reported)?;
    let worker = |row: &&Value| row["who"][2].as_str().is_some_and(|comm| comm.starts_with("iou-"));
    let worker = reported.values().flatten().find(worker);
    ensure!(worker.is_none(), "a worker of io_uring is recorded as itself: {worker:?}");
    for tracer in tracers() {
        let kind = format!("{:?}", tracer.kind);
        ensure!(
            reported.keys().any(|(_, found)| *found == kind),
            "nothing happened that {} records",
            tracer.name
        );
    }
    Ok(())
}

/// Does everything once, in a folder that is made for it; returns the records.
fn run_all(kernel: &mut Kernel, folder: &Path) -> anyhow::Result<Reported> {
    std::fs::create_dir(folder)?;
    // Flows of datagrams are never idle here, because the time of the last sweep differs each time.
    kernel.set(|settings| settings.flow_idle_ms = u32::MAX)?;
    let mut script = Command::new("/usr/bin/python3");
    script.args(["-B", "-I", "-S", "-c", PROGRAM]).arg(folder);
    let python = script.stdout(Stdio::piped()).spawn()?;
    let mut pids = vec![python.id()];
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "the script ended with {}", output.status);
    for word in String::from_utf8(output.stdout)?.split_whitespace() {
        pids.push(word.parse()?);
    }
    kernel.wait_for(pids[0], Kind::Close, 2)?;
    pids.push(compat::run(
        folder,
        "chdir $ARGV[0];",
        "call32(39, 'made by 32', 0700); call32(10, 'missing');",
    )?);
    flush_both_buffers(kernel)?;
    let mut ring = Python::start(folder)?;
    for request in REQUESTS {
        pids.extend(ring.run(kernel, &format!("{request} plain"))?);
    }
    drop(ring);
    kernel.drain();
    let reported = reported(kernel, &pids)?;
    std::fs::remove_dir_all(folder)?;
    Ok(reported)
}

/// Words for values that vary, by field.
#[derive(Default)]
struct Words(BTreeMap<String, Vec<Value>>);

impl Words {
    fn of(&mut self, field: &str, value: &Value) -> Value {
        let known = self.0.entry(field.to_owned()).or_default();
        let index = known.iter().position(|other| other == value).unwrap_or_else(|| {
            known.push(value.clone());
            known.len() - 1
        });
        json!(format!("{field} {index}"))
    }
}

fn reported(kernel: &Kernel, pids: &[u32]) -> anyhow::Result<Reported> {
    let (mut reported, mut words) = (Reported::new(), Words::default());
    for (index, pid) in pids.iter().enumerate() {
        for tracer in tracers() {
            let records = kernel.of(*pid, tracer.kind).into_iter();
            let records = records.map(|bytes| anyhow::Ok((tracer.decode)(&bytes)?));
            let rows = records.map(|record| Ok(row(record?, &mut words)));
            let mut rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
            // Sums come in the order of a hash table.
            if tracer.kind == Kind::Usage {
                rows.sort_by_key(Value::to_string);
            }
            if !rows.is_empty() {
                reported.insert((index, format!("{:?}", tracer.kind)), rows);
            }
        }
    }
    Ok(reported)
}

/// Returns a row's fields, with words for those that vary.
fn row(record: Record, words: &mut Words) -> Value {
    let who = record.identity.map(|who| {
        json!([
            who.uid,
            who.gid,
            who.comm.to_str(),
            who.uring,
            who.compat,
            who.pid_ns,
            who.mnt_ns,
            who.net_ns,
            who.loginuid,
            who.sessionid,
            who.ruid,
            who.fsuid,
            who.cgroup.id
        ])
    });
    let fname = record.details.fname().map(|name| name.to_str().into_owned());
    let ret = record.details.ret().map(Value::from);
    let mut fields = json!(Extended::new(record.details));
    let varying = fields.as_object_mut().into_iter().flatten();
    for (name, value) in varying.filter(|(name, value)| VARYING.contains(&name.as_str()) && !value.is_null())
    {
        *value = words.of(name, value);
    }
    // Chosen by the kernel at random, possibly the same twice.
    for name in ["sport", "dport"] {
        if fields[name].as_u64() >= Some(EPHEMERAL) {
            fields[name] = json!("ephemeral");
        }
    }
    // Inode numbers are reused.
    if fields["ino"].is_number() {
        fields["ino"] = words.of("ino", &json!([fields["dev"], fields["ino"], fields["generation"]]));
        fields["generation"] = json!(fields["generation"].is_number());
    }
    if fields["duration_ns"].is_number() {
        fields["duration_ns"] = json!("some");
    }
    // The result of a fork is a process id.
    let ret = if fields["child_pid"].is_null() { ret } else { Some(json!("child")) };
    steady(json!({ "who": who, "fname": fname, "ret": ret, "fields": fields }))
}

/// Removes the numbers from names of pipes and sockets, and of temporary folders.
fn steady(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let mut parts = text.split("/.tmp");
            let first = parts.next().unwrap_or_default().to_owned();
            let text = parts.fold(first, |all, part| all + "/.tmp" + part.get(6..).unwrap_or_default());
            let numbered = text.starts_with("pipe:[") || text.starts_with("socket:[");
            json!(if numbered { text.split('[').next().unwrap_or_default() } else { &text })
        }
        Value::Array(all) => all.into_iter().map(steady).collect(),
        Value::Object(all) => Value::Object(all.into_iter().map(|(name, one)| (name, steady(one))).collect()),
        other => other,
    }
}

/// The number of equal rows, by row.
type Rows = BTreeMap<String, usize>;

fn rows(reported: Option<&Vec<Value>>, seen_as: impl Fn(Value) -> Value) -> Rows {
    let mut rows = Rows::new();
    for row in reported.into_iter().flatten() {
        *rows.entry(seen_as(row.clone()).to_string()).or_default() += 1;
    }
    rows
}

/// Removes from a row what docs/COVERAGE.md lists as different between tier function and the others: the marks of values
/// that a caller may have changed, and the identity of files that a call names by their path.
fn without_listed(kind: &str, mut row: Value) -> Value {
    let has_path = PATHS.contains(&kind);
    let is_listed = |name: &str| MARKS.contains(&name) || has_path && IDENTITY.contains(&name);
    if let Some(fields) = row["fields"].as_object_mut() {
        fields.retain(|name, _| !is_listed(name));
        // The words of inode numbers count how many were named before.
        if let Some(ino) = fields.get_mut("ino") {
            *ino = json!("ino");
        }
    }
    row
}

fn compare(first: Tier, expected: &Reported, tier: Tier, reported: &Reported) -> anyhow::Result<()> {
    let has_listed = [first, tier].contains(&Tier::Function);
    let all: BTreeSet<_> = expected.keys().chain(reported.keys()).collect();
    let mut differences = Vec::new();
    for key in all {
        let seen_as = |row| if has_listed { without_listed(&key.1, row) } else { row };
        let (a, b) = (rows(expected.get(key), seen_as), rows(reported.get(key), seen_as));
        let only = |these: &Rows, others: &Rows| {
            let more = these.iter().filter(|(row, count)| others.get(*row) != Some(*count));
            more.take(3).map(|(row, count)| format!("\n  {count} times {row}")).collect::<String>()
        };
        if a != b {
            differences.push(format!("{key:?}\n{first}:{}\n{tier}:{}", only(&a, &b), only(&b, &a)));
        }
    }
    ensure!(differences.is_empty(), "{first} and {tier} differ:\n{}", differences.join("\n"));
    Ok(())
}
