//! Calls whose rows could say what was not done (`doubts.py`): such rows have the kernel's own values, or are `unverified`.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::{Header, Kind};
use model::{Act, ActField, Details, ExecId, Record};
use serde_json::{Map, Value, json};

use crate::Test;
use crate::support::{self, Kernel, decode};

pub const TESTS: &[Test] = &[
    ("doubt_results_that_a_supervisor_makes_up", supervised),
    ("doubt_a_result_that_a_filter_makes_up", refused),
    ("doubt_calls_that_a_filter_leaves_to_a_handler", trapped),
    ("doubt_interrupted_calls_have_the_programs_error", interrupted),
    ("doubt_descriptors_and_texts_of_acts", acts),
    ("doubt_numbers_and_addresses_are_as_the_kernel_took_them", taken),
    ("doubt_targets_are_the_kernels_own", targets),
    ("doubt_descriptors_that_others_exchanged_before_they_ended", exchanged),
    ("ioctl_that_empties_a_part_of_a_file_is_a_row", space),
    ("doubt_calls_that_a_debugger_makes_up", debugged),
    ("doubt_flags_of_clone_are_the_kernels_own", cloned),
];

const PROGRAM: &str = include_str!("doubts.py");

/// Runs these functions; returns the numbers that each line of output has behind its name.
fn run(ways: &[&str]) -> anyhow::Result<BTreeMap<String, Vec<Vec<u32>>>> {
    let folder = tempfile::tempdir()?;
    let mut arguments = vec![folder.path().to_str().context("no text")?];
    arguments.extend(ways);
    let (_, output) = support::run_python(PROGRAM, &arguments)?;
    let mut lines = BTreeMap::<_, Vec<_>>::new();
    for line in output.lines() {
        let mut words = line.split(' ');
        let name = words.next().context("no name")?.to_owned();
        lines.entry(name).or_default().push(words.map(str::parse).collect::<Result<_, _>>()?);
    }
    Ok(lines)
}

fn number(lines: &BTreeMap<String, Vec<Vec<u32>>>, name: &str) -> anyhow::Result<u32> {
    Ok(lines.get(name).with_context(|| format!("no {name}"))?[0][0])
}

/// A row: its result, its fields, and whether it is unverified.
type Row = (Option<i64>, Map<String, Value>, bool);

fn rows(kernel: &mut Kernel, pid: u32, kind: Kind) -> anyhow::Result<Vec<Row>> {
    kernel.drain();
    let row = |bytes: &Vec<u8>| {
        let Record { identity, details, .. } = decode(kind, bytes)?;
        let unverified = identity.context("no identity")?.unverified;
        Ok((details.ret(), support::fields(kind, details)?, unverified))
    };
    kernel.of(pid, kind).iter().map(row).collect()
}

/// Returns the only row of this call.
fn row(kernel: &mut Kernel, pid: u32, kind: Kind, call: &str) -> anyhow::Result<Row> {
    let mut found = rows(kernel, pid, kind)?;
    found.retain(|(_, fields, _)| fields.get("call") == Some(&json!(call)));
    ensure!(found.len() == 1, "{call}: {found:?}");
    found.pop().context("no row")
}

fn supervised() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let pid = number(&run(&["supervised"])?, "supervised")?;
    for (kind, call) in [(Kind::Kill, "kill"), (Kind::Attr, "fchmod")] {
        let of_call = |kernel: &mut Kernel| row(kernel, pid, kind, call);
        if support::tier() == Tier::Function {
            ensure!(rows(&mut kernel, pid, kind)?.is_empty(), "{call} was not done");
        } else {
            let (ret, fields, unverified) = of_call(&mut kernel)?;
            ensure!(ret == Some(7) && unverified, "{fields:?}");
        }
    }
    kernel.sweep()?;
    let mut uses = rows(&mut kernel, pid, Kind::Usage)?;
    uses.retain(|(_, fields, _)| fields.get("bytes_read") == Some(&json!(7)));
    ensure!(uses.len() == usize::from(support::tier() != Tier::Function), "{uses:?}");
    ensure!(uses.iter().all(|(_, _, unverified)| *unverified), "{uses:?}");
    Ok(())
}

fn refused() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let pid = number(&run(&["refused"])?, "refused")?;
    let found = rows(&mut kernel, pid, Kind::Kill)?;
    if support::tier() == Tier::Function {
        ensure!(found.is_empty(), "{found:?}");
    } else {
        ensure!(
            matches!(&found[..], [(Some(0), _, false)]),
            "the line of docs/COVERAGE.md is old: {found:?}"
        );
    }
    Ok(())
}

fn trapped() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let pid = number(&run(&["trapped"])?, "trapped")?;
    let found = rows(&mut kernel, pid, Kind::Kill)?;
    ensure!(found.iter().all(|(_, _, unverified)| *unverified), "{found:?}");
    ensure!(found.len() == usize::from(support::tier() != Tier::Function), "{found:?}");
    Ok(())
}

fn interrupted() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let pid = number(&run(&["interrupted"])?, "interrupted")?;
    let failed = Some(-i64::from(libc::EINTR));
    let (ret, fields, _) = row(&mut kernel, pid, Kind::Ipc, "msgrcv")?;
    ensure!(ret == failed && fields["errno"] == "EINTR", "{fields:?}");
    let opens = rows(&mut kernel, pid, Kind::Open)?;
    let opens: Vec<_> = opens.iter().filter(|(ret, ..)| ret.is_some_and(|ret| ret < 0)).collect();
    ensure!(opens.len() == 1 && opens[0].0 == failed, "{opens:?}");
    ensure!(rows(&mut kernel, pid, Kind::Accept)?.is_empty(), "nothing was accepted");
    Ok(())
}

fn acts() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let lines = run(&["threaded", "alone"])?;
    let (threaded, alone) = (number(&lines, "threaded")?, number(&lines, "alone")?);
    for (kind, call) in
        [(Kind::Kill, "pidfd_send_signal"), (Kind::Namespace, "setns"), (Kind::Memfd, "memfd_create")]
    {
        ensure!(row(&mut kernel, threaded, kind, call)?.2, "{call}: not marked");
    }
    for (kind, call) in [(Kind::Kill, "pidfd_send_signal"), (Kind::Memfd, "memfd_create")] {
        ensure!(!row(&mut kernel, alone, kind, call)?.2, "{call}: marked");
    }
    let (_, fields, _) = row(&mut kernel, alone, Kind::Memfd, "memfd_create")?;
    ensure!(fields["name"] == "certain", "{fields:?}");
    Ok(())
}

fn taken() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let pid = number(&run(&["alone"])?, "alone")?;
    let (_, fields, _) = row(&mut kernel, pid, Kind::Attr, "fchmod")?;
    ensure!(fields["mode"] == 0o777, "{fields:?}");
    let mut set = rows(&mut kernel, pid, Kind::Setuid)?;
    set.retain(|(_, fields, _)| fields["call"] == "setfsuid");
    let results: Vec<_> = set.iter().map(|(ret, fields, _)| (*ret, fields.contains_key("errno"))).collect();
    ensure!(results == [(Some(0), false), (Some(0xffff_fffe), false)], "{results:?}");
    let connects = rows(&mut kernel, pid, Kind::Connect)?;
    ensure!(connects.len() == 1 && connects[0].1["sun_path"] == "", "{connects:?}");
    let (_, fields, unverified) = row(&mut kernel, pid, Kind::Udp, "sendmsg")?;
    ensure!(unverified == (support::tier() != Tier::Function), "{fields:?}");
    Ok(())
}

fn targets() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let lines = run(&["targets", "traced"])?;
    let (pid, thread) = (number(&lines, "targets")?, number(&lines, "thread")?);
    kernel.drain();
    let mut calls = Vec::new();
    for kind in [Kind::Kill, Kind::Ptrace] {
        for bytes in kernel.of(pid, kind) {
            let start_ns = Header::parse(&bytes)?.start_ns;
            let Details::Act(act) = decode(kind, &bytes)?.details else { continue };
            ensure!(act.ret < 0 || act.target == Some(ExecId { pid, start_ns }), "{act:?}");
            ensure!(act.ret < 0 || shown(&act, "target_pid") == Some(pid.into()), "{act:?}");
            let is_self = act.call == "pidfd_send_signal" && shown(&act, "target_tid").is_none();
            ensure!(act.ret < 0 || is_self || shown(&act, "target_tid") == Some(thread.into()), "{act:?}");
            calls.push(act.call);
        }
    }
    calls.dedup();
    ensure!(["tkill", "kill", "process_vm_readv"].iter().all(|call| calls.contains(call)), "{calls:?}");
    let (_, fields, _) = row(&mut kernel, number(&lines, "traced")?, Kind::Ptrace, "ptrace")?;
    ensure!(fields["request"] == "PTRACE_TRACEME" && !fields.contains_key("target_pid"), "{fields:?}");
    Ok(())
}

fn shown(act: &Act, name: &str) -> Option<i64> {
    act.fields.iter().find(|(found, _)| *found == name).and_then(|(_, value)| match value {
        ActField::Int(number) => Some(*number),
        ActField::Uint(number) => i64::try_from(*number).ok(),
        _ => None,
    })
}

fn cloned() -> anyhow::Result<()> {
    const CLONE_FS: u64 = 0x200;
    let mut kernel = Kernel::start()?;
    let lines = run(&["cloned"])?;
    let children = lines.get("cloned-child").context("no children")?;
    let pid = number(&lines, "cloned")?;
    kernel.drain();
    let mut flags = BTreeMap::new();
    for bytes in kernel.of(pid, Kind::Clone) {
        let Details::Clone(clone) = decode(Kind::Clone, &bytes)?.details else { continue };
        flags.insert(clone.child_pid, clone.flags.context("no flags")?);
    }
    let mut shared = 0;
    for child in children {
        let [child, shares] = child[..] else { anyhow::bail!("{child:?}") };
        let found = flags.get(&child).context("no row")?;
        ensure!((*found & CLONE_FS != 0) == (shares != 0), "{child}: {found:#x}, {shares}");
        shared += shares;
    }
    ensure!(shared > 0, "no child shared its parent's folders");
    Ok(())
}

fn exchanged() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    for way in ["departed", "lent"] {
        let lines = run(&[way])?;
        let (pid, pipe) = (number(&lines, way)?, number(&lines, "read-from")?);
        kernel.sweep()?;
        let mut uses = rows(&mut kernel, pid, Kind::Usage)?;
        uses.retain(|(_, fields, _)| fields.get("bytes_read") == Some(&json!(777)));
        let [(_, fields, unverified)] = &uses[..] else { anyhow::bail!("{way}: {uses:?}") };
        ensure!(*unverified || fields["ino"] == pipe, "{way}: {fields:?} is not {pipe}");
    }
    Ok(())
}

fn debugged() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let pid = number(&run(&["debugged"])?, "debugged-child")?;
    kernel.wait_for(pid, Kind::Exit, 1)?;
    for (kind, call) in [(Kind::Kill, "kill"), (Kind::Setuid, "setuid")] {
        let mut found = rows(&mut kernel, pid, kind)?;
        // It stops itself.
        found.retain(|(_, fields, _)| {
            fields["call"] == call && fields.get("signal") != Some(&json!(libc::SIGSTOP))
        });
        ensure!(found.iter().all(|(_, _, unverified)| *unverified), "{call}: {found:?}");
        ensure!(!found.is_empty() || support::tier() == Tier::Function, "{call}: not reported");
    }
    Ok(())
}

fn space() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let lines = run(&["space"])?;
    let (pid, file) = (number(&lines, "space")?, number(&lines, "emptied")?);
    let (ret, fields, unverified) = row(&mut kernel, pid, Kind::Truncate, "ioctl")?;
    ensure!([Some(0), Some(-i64::from(libc::EOPNOTSUPP))].contains(&ret) && unverified, "{ret:?}");
    ensure!(fields["ino"] == file && fields["offset"] == 100 && fields["length"] == 4000, "{fields:?}");
    ensure!(fields["flags"] == json!(["FALLOC_FL_KEEP_SIZE", "FALLOC_FL_PUNCH_HOLE"]), "{fields:?}");
    Ok(())
}
