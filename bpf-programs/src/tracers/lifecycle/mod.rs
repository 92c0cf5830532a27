//! Keeps the process table: applies lifecycle records to it, and has the programs that only feed it: changes of working
//! directory and cgroup, and the processes that existed before the agent.
//!
//! **Hook.** The ends of `chdir`, `fchdir` and `ptrace`; BTF tracepoint `cgroup_attach_task`; an iterator over tasks,
//! read once after everything else is attached.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** A path walk for each chdir; nothing on hot paths.

use std::sync::Arc;

use model::{BootNs, Cgroup, ExecId, ProcessInfo, ProcessTable, Text};

use crate::programs::{Hook, Program};
use crate::syscalls::{CHDIR, FCHDIR, PTRACE, Stage};
use crate::text;
use crate::tracers::{clone, exec};
use crate::wire::{
    Family, Header, Kind, ProcessRecord, RawText, TEXT_INCOMPLETE, TEXT_UNREADABLE, WireError, view,
};

/// Programs that only feed the process table.
pub(crate) const PROGRAMS: &[Program] = &[
    Program {
        name: "chdir_exit",
        hook: Hook::SyscallExits(Stage::Events, &[CHDIR, FCHDIR]),
        without: Some("working folders that change after exec"),
    },
    Program {
        name: "debugger_exit",
        hook: Hook::SyscallExits(Stage::Ledger, &[PTRACE]),
        without: Some("that calls of a process with a debugger are unverified"),
    },
    Program {
        name: "cgroup_moved",
        hook: Hook::BtfTracepoint("cgroup_attach_task"),
        without: Some("moves between cgroups"),
    },
];

/// The iterator over existing processes.
pub(crate) const PROCESSES: Program =
    Program { name: "processes", hook: Hook::TaskIterator, without: Some("processes older than the agent") };

/// Applies a record of the lifecycle ring, or of the iterator, to the table.
///
/// The iterator's output has to be applied before the ring is first drained: a child inherits its parent's entry when its
/// record is applied, so the parent must be known by then.
///
/// # Errors
/// Fails if the bytes are no record of the lifecycle ring.
pub fn apply(table: &ProcessTable, bytes: &[u8]) -> Result<(), WireError> {
    let header = Header::parse(bytes)?;
    if matches!(header.kind()?, Kind::Exec | Kind::Process) {
        table.is_numbered(exec_id(&header), header.pid_ns, header.ns_pid);
    }
    match header.kind()? {
        Kind::Exec => apply_exec(table, bytes),
        Kind::Clone => apply_clone(table, bytes),
        Kind::Exit => {
            table.end(exec_id(&header), header.at());
            Ok(())
        }
        Kind::Chdir | Kind::Cgroup | Kind::Process => apply_process(table, bytes),
        found => Err(WireError::Unexpected { found, expected: Kind::Process }),
    }
}

fn exec_id(header: &Header) -> ExecId {
    ExecId { pid: header.pid, start_ns: header.start_ns }
}

fn apply_exec(table: &ProcessTable, bytes: &[u8]) -> Result<(), WireError> {
    let (raw, texts) = exec::parse(bytes)?;
    if raw.ret < 0 {
        return Ok(());
    }
    table.belongs_to(exec_id(&raw.header), raw.header.euid);
    let cgroup = learnt(table, &raw.header, texts.cgroup);
    let info = ProcessInfo { exe: known(texts.exe(&raw)), cwd: known(texts.cwd), cgroup };
    table.change(exec_id(&raw.header), raw.header.at(), Arc::new(info));
    Ok(())
}

fn apply_clone(table: &ProcessTable, bytes: &[u8]) -> Result<(), WireError> {
    let (raw, moved) = clone::parse(bytes)?;
    if clone::is_thread(&raw) {
        return Ok(());
    }
    let child = ExecId { pid: raw.child_pid, start_ns: raw.child_start_ns };
    table.born(child, exec_id(&raw.header));
    table.is_numbered(child, raw.child_pid_ns, raw.child_ns_pid);
    let mut info = table.at(exec_id(&raw.header), raw.header.at());
    if let Some(cgroup) = cgroup(moved) {
        let parent = info.as_deref().cloned().unwrap_or(UNKNOWN);
        info = Some(Arc::new(ProcessInfo { cgroup: Some(cgroup), ..parent }));
    }
    if let Some(info) = info {
        table.belongs_to(child, raw.header.euid);
        table.change(child, BootNs(raw.child_start_ns), info);
    }
    Ok(())
}

const UNKNOWN: ProcessInfo = ProcessInfo { exe: None, cwd: None, cgroup: None };

fn apply_process(table: &ProcessTable, bytes: &[u8]) -> Result<(), WireError> {
    let (raw, mut texts) = view::<ProcessRecord>(bytes, Family::Process)?;
    let (exe, cwd, group) = (texts.take(raw.exe)?, texts.take(raw.cwd)?, texts.take(raw.cgroup)?);
    texts.end()?;
    let (id, at) = (exec_id(&raw.header), raw.header.at());
    table.belongs_to(id, raw.header.euid);
    let before = table.at(id, at).as_deref().cloned().unwrap_or(UNKNOWN);
    let info = ProcessInfo {
        // It may have changed its root since it executed the program.
        exe: known(exe.of_namespace()).or(before.exe),
        cwd: known(cwd).or(before.cwd),
        cgroup: learnt(table, &raw.header, group).or(before.cgroup),
    };
    table.change(id, at, Arc::new(info));
    Ok(())
}

/// Returns a path, if it could be read.
fn known(raw: RawText<'_>) -> Option<Text> {
    (!raw.is(TEXT_UNREADABLE)).then(|| text::path(raw).text())
}

/// Returns the process's cgroup, and notes it for all other processes in the cgroup.
fn learnt(table: &ProcessTable, header: &Header, raw: RawText<'_>) -> Option<Cgroup> {
    let cgroup = cgroup(raw)?;
    table.learn_cgroup(header.cgroup(), &cgroup);
    Some(cgroup)
}

/// Returns a cgroup, if its path is complete: part of a path could be mistaken for another cgroup.
fn cgroup(raw: RawText<'_>) -> Option<Cgroup> {
    if raw.is(TEXT_UNREADABLE | TEXT_INCOMPLETE) {
        return None;
    }
    let (names, owners) = raw.owned()?;
    Some(Cgroup::new(text::path(names).text().to_str(), &owners))
}
