//! Tracer `clone`: new processes and threads.
//!
//! **Hook.** BTF tracepoint `task_newtask`: it has the child and the kernel's own copy of the call's flags, the parent is the
//! current task, the child does not run yet, and only calls that succeed get there.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Reading two tasks; see `docs/BENCHMARKS.md`.

use model::{Clone, Details, Moment, Record};

use crate::programs::{Hook, Program, Tracer};
use crate::wire::{CloneRecord, Family, Kind, RawText, WireError, view};

pub(crate) const TRACER: Tracer = Tracer {
    name: "clone",
    kind: Kind::Clone,
    programs: &[Program { name: "clone_done", hook: Hook::BtfTracepoint("task_newtask"), without: None }],
    decode,
};

/// Parses a record; the text is the child's cgroup, or empty if it is the parent's.
pub(crate) fn parse(bytes: &[u8]) -> Result<(CloneRecord, RawText<'_>), WireError> {
    let (raw, mut texts) = view::<CloneRecord>(bytes, Family::Clone)?;
    let cgroup = texts.take(raw.cgroup)?;
    texts.end()?;
    Ok((raw, cgroup))
}

/// True if the child is a thread of its parent's process.
pub(crate) fn is_thread(raw: &CloneRecord) -> bool {
    raw.child_pid == raw.header.pid
}

/// Decodes a record.
///
/// # Errors
/// The bytes are not such a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, _) = parse(bytes)?;
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Clone(Clone {
            child_pid: raw.child_pid,
            child_tid: raw.child_tid,
            child_start_ns: raw.child_start_ns,
            flags: (raw.has_flags != 0).then_some(raw.flags),
            thread: is_thread(&raw),
        }),
    })
}
