//! Tracer `exec`: programs that were executed.
//!
//! **Hook.** BTF tracepoint `sched_process_exec`: the new program is in place, path and arguments are the kernel's
//! own copies. What `sys_enter_execve` sees is often not mapped yet.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** 2.0 to 3.1 µs by `bpf_stats` on Linux 6.18, on a busy machine: two path walks and the arguments' copy.

use model::{Details, Exec, Moment, Record, Text};

use crate::programs::{Hook, Program, Tracer};
use crate::text;
use crate::wire::{ExecRecord, Kind, RawText, TEXT_CUT, WireError, view};

/// The tracer.
pub const TRACER: Tracer = Tracer {
    name: "exec",
    kind: Kind::Exec,
    programs: &[Program {
        name: "exec_done",
        hook: Hook::BtfTracepoint("sched_process_exec"),
        without: None,
    }],
    decode,
};

/// The texts of an exec record.
pub(crate) struct ExecTexts<'a> {
    pub(crate) asked: RawText<'a>,
    pub(crate) exe: RawText<'a>,
    pub(crate) cwd: RawText<'a>,
    pub(crate) cgroup: RawText<'a>,
    pub(crate) argv: RawText<'a>,
}

/// Takes a record apart.
pub(crate) fn parse(bytes: &[u8]) -> Result<(ExecRecord, ExecTexts<'_>), WireError> {
    let (raw, mut texts) = view::<ExecRecord>(bytes, &[Kind::Exec])?;
    let taken = ExecTexts {
        asked: texts.take(raw.asked)?,
        exe: texts.take(raw.exe)?,
        cwd: texts.take(raw.cwd)?,
        cgroup: texts.take(raw.cgroup)?,
        argv: texts.take(raw.argv)?,
    };
    texts.end()?;
    Ok((raw, taken))
}

/// Bytes to a record.
///
/// # Errors
/// They are no such record.
pub fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, texts) = parse(bytes)?;
    let (exe, cwd) = (text::path(texts.exe), text::path(texts.cwd));
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Exec(Box::new(Exec {
            path_asked: Text::from_bytes(texts.asked.bytes),
            exe: exe.text(),
            argv: text::list(texts.argv.bytes),
            argv_cut: texts.argv.is(TEXT_CUT),
            cwd: cwd.text(),
            path_incomplete: exe.incomplete || cwd.incomplete,
        })),
    })
}
