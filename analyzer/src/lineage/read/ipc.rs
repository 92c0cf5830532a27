//! Rows of `ipc`: shared memory and message queues.

use store::BatchRows;

use super::columns::{Column, columns};
use super::files::FileColumns;
use super::reading::{Reading, Tracer};
use crate::lineage::facts::{Detach, Mapping, Object, Queue, Use, Way};

columns!(Ipc { exec_id, comm, ret, time, boot_ns, call, flags, ipc_ns, ipc_id, length, size, address });

pub(super) const IPC: Tracer = Tracer { name: "ipc", columns: &[Ipc::NAMES, FileColumns::NAMES], read: ipc };

fn ipc(reading: &mut Reading, rows: &BatchRows) {
    let (columns, files) = (Ipc::of(rows), FileColumns::of(rows));
    for row in 0..rows.len() {
        let Some(process) = reading.process(&columns.exec_id, row) else { continue };
        reading.comm(process, &columns.comm, row);
        let Some((at, call)) = columns.time.signed(row).zip(columns.call.text(row)) else { continue };
        if columns.ret.signed(row).is_some_and(|ret| ret < 0) {
            continue;
        }
        let boot = reading.boot(at, columns.boot_ns.signed(row));
        let address = columns.address.number(row);
        let file = files.file(reading, row, at, boot).map(Object::File);
        let queue = columns.ipc_id.signed(row).map(|id| {
            let ipc_ns = columns.ipc_ns.number(row).unwrap_or_default() as u32;
            Object::Queue(reading.facts.queues.number(Queue { ipc_ns, id: id as i32, boot }))
        });
        let bytes = columns.length.number(row).unwrap_or_default();
        let ways = reading.facts.ways.number(call) as u16;
        let facts = &mut reading.facts;
        let mut moved = |object: Option<Object>, way: Way| {
            let moved = object.filter(|_| bytes > 0);
            let moved =
                moved.map(|object| Use { process, object, way, first: at, last: at, end: at, bytes, ways });
            facts.uses.extend(moved);
        };
        // The other calls make objects or ask about them.
        if call == "msgsnd" {
            moved(queue, Way::Written);
        } else if call == "msgrcv" {
            moved(queue, Way::Read);
        } else if call == "mq_timedsend" {
            moved(file, Way::Written);
        } else if call == "mq_timedreceive" {
            moved(file, Way::Read);
        } else if call == "shmdt" {
            let detach = address.map(|address| Detach { process, address, at });
            reading.facts.detaches.extend(detach);
        } else if let Some(object) = file.or(queue).filter(|_| call == "shmat") {
            reading.facts.mappings.push(Mapping {
                process,
                object,
                first: at,
                last: i64::MAX,
                bytes: columns.size.number(row).unwrap_or_default(),
                ways,
                can_read: true,
                can_write: !columns.flags.has(row, "SHM_RDONLY"),
                is_shared: true,
                address: address.unwrap_or_default(),
            });
        }
    }
}
