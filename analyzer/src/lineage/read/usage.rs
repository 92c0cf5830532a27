//! Rows of `usage`: what processes read, wrote and mapped.

use store::BatchRows;

use super::columns::{Column, columns};
use super::files::FileColumns;
use super::reading::{Reading, Tracer};
use crate::lineage::facts::{FileKind, Mapping, Object, Use, Way};

/// The time of the last use in a row has the resolution of a clock tick, which is at most this long.
const TICK_NS: i64 = 10_000_000;

columns!(Usage {
    exec_id,
    comm,
    first_time,
    last_time,
    time,
    boot_ns,
    bytes_read,
    bytes_written,
    bytes_mapped,
    calls_read,
    calls_written,
    calls_mapped,
    protection,
    via,
    sock_ino,
    peer_ino
});

pub(super) const USAGE: Tracer =
    Tracer { name: "usage", columns: &[Usage::NAMES, FileColumns::NAMES], read: usage };

fn usage(reading: &mut Reading, rows: &BatchRows) {
    let (columns, files) = (Usage::of(rows), FileColumns::of(rows));
    for row in 0..rows.len() {
        let Some(process) = reading.process(&columns.exec_id, row) else { continue };
        reading.comm(process, &columns.comm, row);
        let Some(time) = columns.time.signed(row) else { continue };
        let first = columns.first_time.signed(row).unwrap_or(time);
        let boot = reading.boot(time, columns.boot_ns.signed(row));
        let object = match columns.sock_ino.number(row) {
            Some(ino) => Object::Socket(reading.socket(ino, boot, columns.peer_ino.number(row), first)),
            // A socket without a number can't be joined with anything.
            None if files.is_socket(row) => continue,
            None => match files.file(reading, row, first, boot) {
                Some(file) => Object::File(file),
                None => continue,
            },
        };
        let last = columns.last_time.signed(row).unwrap_or(time).max(first);
        let ways = reading.ways(&columns.via, row);
        let is_channel = match object {
            Object::File(file) => reading.facts.files.items[file as usize].kind != FileKind::Plain,
            Object::Socket(_) | Object::Queue(_) => true,
        };
        let mut add = |way: Way, bytes: &Column, calls: &Column| {
            let Some(calls) = calls.number(row).filter(|calls| *calls > 0) else { return };
            let bytes = bytes.number(row).unwrap_or_default();
            // A call that moved nothing carries no data.
            if bytes > 0 {
                let last = if calls == 1 { first } else { last };
                // A reader of a channel can be back from its call before the writer is.
                let is_exact = calls == 1 && (way == Way::Written || !is_channel);
                // The row was written after the last use.
                let limit = if is_channel { i64::MAX } else { time.max(last) };
                let end = if is_exact { last } else { last.saturating_add(TICK_NS).min(limit) };
                reading.facts.uses.push(Use { process, object, way, first, last, end, bytes, ways });
            }
        };
        add(Way::Read, &columns.bytes_read, &columns.calls_read);
        add(Way::Written, &columns.bytes_written, &columns.calls_written);
        if columns.calls_mapped.number(row).is_some_and(|calls| calls > 0) {
            let has = |name| columns.protection.has(row, name);
            let is_shared = has("MAP_SHARED") || has("MAP_SHARED_VALIDATE");
            reading.facts.mappings.push(Mapping {
                process,
                object,
                first,
                last: i64::MAX,
                bytes: columns.bytes_mapped.number(row).unwrap_or_default(),
                ways,
                // On most machines, what may be written can be read too.
                can_read: has("PROT_READ") || has("PROT_EXEC") || has("PROT_WRITE"),
                can_write: is_shared && has("PROT_WRITE"),
                is_shared,
                address: 0,
            });
        }
    }
}
