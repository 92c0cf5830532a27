//! Rows about the life of processes: made, executing a program, ended, read or written by another.

use store::BatchRows;

use super::columns::{Column, columns};
use super::files::FileColumns;
use super::reading::{Reading, Tracer};
use crate::lineage::facts::{Clone_, Exec, FileKind, FileOfBoot, Peek, Process};
use crate::lineage::graph::ANY_BYTES;

columns!(Execs { exec_id, ret, time, boot_ns, fname, interpreter_dev, interpreter_ino });

columns!(Clones { exec_id, comm, time, child_exec_id, thread, flags });

columns!(Exits { exec_id, comm, time });

columns!(Peeks { exec_id, ret, time, call, request, target_exec_id });

pub(super) const LIFE: [Tracer; 4] = [
    Tracer { name: "exec", columns: &[Execs::NAMES, FileColumns::NAMES], read: execs },
    Tracer { name: "clone", columns: &[Clones::NAMES], read: clones },
    Tracer { name: "exit", columns: &[Exits::NAMES], read: exits },
    Tracer { name: "ptrace", columns: &[Peeks::NAMES], read: peeks },
];

fn execs(reading: &mut Reading, rows: &BatchRows) {
    let (columns, files) = (Execs::of(rows), FileColumns::of(rows));
    for row in 0..rows.len() {
        let Some(process) = reading.process(&columns.exec_id, row) else { continue };
        let Some(at) = columns.time.signed(row) else { continue };
        if columns.ret.signed(row).is_some_and(|ret| ret < 0) {
            continue;
        }
        let boot = reading.boot(at, columns.boot_ns.signed(row));
        let file = files.file(reading, row, at, boot);
        let interpreter = columns.interpreter_dev.number(row).zip(columns.interpreter_ino.number(row));
        let interpreter = interpreter.map(|(dev, ino)| {
            // The row has no generation of it: a file with these numbers that is known already is taken for it.
            let id = FileOfBoot { dev, ino, generation: 0, boot: 0, kind: FileKind::Plain };
            reading.facts.files.number(id)
        });
        let name = reading.facts.names.number(columns.fname.text(row).unwrap_or_default());
        reading.facts.execs.push(Exec { process, at, file, interpreter, name });
    }
}

fn clones(reading: &mut Reading, rows: &BatchRows) {
    let columns = Clones::of(rows);
    for row in 0..rows.len() {
        let Some(parent) = reading.process(&columns.exec_id, row) else { continue };
        reading.comm(parent, &columns.comm, row);
        let Some(at) = columns.time.signed(row) else { continue };
        let is_thread = columns.thread.signed(row) == Some(1);
        let child = columns.child_exec_id.text(row).and_then(Process::parse);
        let Some(child) = child.filter(|_| !is_thread) else { continue };
        let child = reading.facts.processes.number(child);
        let shares_memory = columns.flags.has(row, "CLONE_VM");
        reading.facts.clones.push(Clone_ { parent, child, at, shares_memory });
    }
}

fn exits(reading: &mut Reading, rows: &BatchRows) {
    let columns = Exits::of(rows);
    for row in 0..rows.len() {
        let Some(process) = reading.process(&columns.exec_id, row) else { continue };
        reading.comm(process, &columns.comm, row);
        if let Some(at) = columns.time.signed(row) {
            reading.facts.exits.push((process, at));
        }
    }
}

fn peeks(reading: &mut Reading, rows: &BatchRows) {
    let columns = Peeks::of(rows);
    for row in 0..rows.len() {
        let Some(caller) = reading.process(&columns.exec_id, row) else { continue };
        let target = columns.target_exec_id.text(row).and_then(Process::parse);
        let Some((target, at)) = target.zip(columns.time.signed(row)) else { continue };
        let ret = columns.ret.signed(row).unwrap_or_default();
        if ret < 0 {
            continue;
        }
        let target = reading.facts.processes.number(target);
        let call = columns.call.text(row).unwrap_or("ptrace");
        let request = columns.request.text(row).unwrap_or_default();
        let reads = call == "process_vm_readv" || request.contains("PEEK") || request.contains("GETREGS");
        let writes = call == "process_vm_writev"
            || ["POKE", "SETREGS", "ATTACH", "SEIZE"].iter().any(|word| request.contains(word));
        let bytes = if call.starts_with("process_vm") { ret.unsigned_abs() } else { ANY_BYTES };
        let name = if request.is_empty() { call } else { request };
        let ways = reading.facts.ways.number(name) as u16;
        let mut add = |from, to| reading.facts.peeks.push(Peek { from, to, at, bytes, ways });
        if reads && bytes > 0 {
            add(target, caller);
        }
        if writes && bytes > 0 {
            add(caller, target);
        }
    }
}
