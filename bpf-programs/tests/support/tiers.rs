//! The same happenings under the kind of hooks that is tested and under another, one after the other: the records are
//! the same, field by field, but for what is another each time (ids, ports, addresses, times).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use bpf_programs::programs::tracers;
use bpf_programs::tier::Tier;
use bpf_programs::wire::Kind;
use model::{Extended, Record};
use serde_json::{Value, json};

use crate::Test;
use crate::compat;
use crate::ledger::both_halves;
use crate::support::{self, DATA_RING, ENTRIES, Kernel};
use crate::urings::Python;

pub const TESTS: &[Test] = &[("every_tier_tells_the_same", every_tier_tells_the_same)];

const PROGRAM: &str = include_str!("tiers.py");

/// What is done through io_uring, of `uring.py`.
const REQUESTS: [&str; 6] = ["openat", "renameat2", "unlinkat", "mkdirat", "connect", "accept4"];

/// Fields whose values are others each time. The same value becomes the same word, so that it still shows what belongs
/// together.
const VARYING: [&str; 8] =
    ["child_pid", "child_tid", "child_exec_id", "target_pid", "target_tid", "peer_pid", "from", "to"];

/// From here on the kernel chooses ports (`net.ipv4.ip_local_port_range`, as it is from the start).
const EPHEMERAL: u64 = 32_768;

/// Records by process, in the order in which the processes are told of, and by kind.
type Told = BTreeMap<(usize, String), Vec<Value>>;

fn every_tier_tells_the_same() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().join("same");
    let first = support::tier();
    let mut shared = Kernel::start()?;
    let expected = happen(&mut shared, &folder).context(first.name())?;
    drop(shared);
    let second = if first == Tier::Tracepoint { Tier::Kprobe } else { Tier::Tracepoint };
    let mut kernel = Kernel::start_on(second, DATA_RING, ENTRIES, |_| true).context(second.name())?;
    let told = happen(&mut kernel, &folder).context(second.name())?;
    compare(first, &expected, second, &told)?;
    let worker = |row: &&Value| row["who"][2].as_str().is_some_and(|comm| comm.starts_with("iou-"));
    let worker = told.values().flatten().find(worker);
    ensure!(worker.is_none(), "a worker of io_uring is told as itself: {worker:?}");
    for tracer in tracers() {
        let kind = format!("{:?}", tracer.kind);
        ensure!(told.keys().any(|(_, found)| *found == kind), "nothing happened that {} tells", tracer.name);
    }
    Ok(())
}

/// Everything once, in a folder that is made for it; what was told of it.
fn happen(kernel: &mut Kernel, folder: &Path) -> anyhow::Result<Told> {
    std::fs::create_dir(folder)?;
    // Flows of datagrams are not ended while this runs, be it slow: how long ago one looked for such is another each time.
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
    both_halves(kernel)?;
    let mut ring = Python::start(folder)?;
    for request in REQUESTS {
        pids.extend(ring.run(kernel, &format!("{request} plain"))?);
    }
    drop(ring);
    kernel.drain();
    let told = told(kernel, &pids)?;
    std::fs::remove_dir_all(folder)?;
    Ok(told)
}

/// Words for values that vary, by field.
#[derive(Default)]
struct Words(BTreeMap<String, Vec<Value>>);

impl Words {
    fn of(&mut self, field: &str, value: &Value) -> Value {
        let known = self.0.entry(field.to_owned()).or_default();
        let place = known.iter().position(|other| other == value).unwrap_or_else(|| {
            known.push(value.clone());
            known.len() - 1
        });
        json!(format!("{field} {place}"))
    }
}

fn told(kernel: &Kernel, pids: &[u32]) -> anyhow::Result<Told> {
    let (mut told, mut words) = (Told::new(), Words::default());
    for (place, pid) in pids.iter().enumerate() {
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
                told.insert((place, format!("{:?}", tracer.kind)), rows);
            }
        }
    }
    Ok(told)
}

/// What goes into a row, but for what varies.
fn row(record: Record, words: &mut Words) -> Value {
    let who = record.identity.map(|who| {
        json!([
            who.uid,
            who.gid,
            who.comm.as_str(),
            who.uring,
            who.compat,
            who.pid_ns,
            who.mnt_ns,
            who.cgroup.id
        ])
    });
    let fname = record.details.fname().map(|name| name.as_str().to_owned());
    let ret = record.details.ret().map(Value::from);
    let mut fields = json!(Extended::new(record.details));
    let told = fields.as_object_mut().into_iter().flatten();
    for (name, value) in told.filter(|(name, value)| VARYING.contains(&name.as_str()) && !value.is_null()) {
        *value = words.of(name, value);
    }
    // The kernel chose it, by chance, maybe the same twice.
    for name in ["sport", "dport"] {
        if fields[name].as_u64() >= Some(EPHEMERAL) {
            fields[name] = json!("ephemeral");
        }
    }
    // Numbers of inodes are used again.
    if fields["ino"].is_number() {
        fields["ino"] = words.of("ino", &json!([fields["dev"], fields["ino"], fields["generation"]]));
        fields["generation"] = json!(fields["generation"].is_number());
    }
    if fields["duration_ns"].is_number() {
        fields["duration_ns"] = json!("some");
    }
    // A fork gives a process id.
    let ret = if fields["child_pid"].is_null() { ret } else { Some(json!("child")) };
    steady(json!({ "who": who, "fname": fname, "ret": ret, "fields": fields }))
}

/// Without the numbers in names of pipes and sockets, and of temporary folders.
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

/// How often each was told.
type Rows = BTreeMap<String, usize>;

fn rows(told: Option<&Vec<Value>>) -> Rows {
    let mut rows = Rows::new();
    for row in told.into_iter().flatten() {
        *rows.entry(row.to_string()).or_default() += 1;
    }
    rows
}

fn compare(first: Tier, expected: &Told, tier: Tier, told: &Told) -> anyhow::Result<()> {
    let all: BTreeSet<_> = expected.keys().chain(told.keys()).collect();
    let mut differences = Vec::new();
    for key in all {
        let (a, b) = (rows(expected.get(key)), rows(told.get(key)));
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
