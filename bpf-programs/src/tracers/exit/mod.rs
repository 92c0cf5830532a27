//! Tracer `exit`: processes that ended.
//!
//! **Hook.** BTF tracepoint `sched_process_exit`, of a process's last thread only.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Reading the task; see `docs/BENCHMARKS.md`.

use model::{Details, Exit, Moment, Record};

use crate::programs::{Hook, Program, Tracer};
use crate::wire::{ExitRecord, Family, Kind, WireError, view};

pub(crate) const TRACER: Tracer = Tracer {
    name: "exit",
    kind: Kind::Exit,
    programs: &[Program {
        name: "exit_done",
        hook: Hook::BtfTracepoint("sched_process_exit"),
        without: None,
    }],
    decode,
};

/// Decodes a record.
///
/// # Errors
/// The bytes are not such a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, texts) = view::<ExitRecord>(bytes, Family::Exit)?;
    texts.end()?;
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Exit(Exit {
            code: raw.status >> 8 & 0xff,
            signal: raw.status & 0x7f,
            core_dumped: raw.status & 0x80 != 0,
            duration_ns: raw.header.time_ns.saturating_sub(raw.header.start_ns),
        }),
    })
}
