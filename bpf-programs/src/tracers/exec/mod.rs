//! Tracer `exec`: programs that were executed, and execs that failed.
//!
//! **Hook.** BTF tracepoint `sched_process_exec`: there the new program is in place, and path and arguments are
//! the kernel's own copies. At `sys_enter_execve` they are often not mapped yet. For calls that fail the end of
//! the call, by [`crate::syscalls`].
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Two path walks and a copy of the arguments; see `docs/BENCHMARKS.md`.

use model::{Details, Exec, Moment, Record, Text};

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{EXECVE, EXECVEAT, Stage};
use crate::text;
use crate::wire::{
    EXEC_BY_DESCRIPTOR, ExecRecord, Family, Kind, RawText, TEXT_CUT, TEXT_DETACHED, TEXT_UNREADABLE,
    WireError, view,
};

pub(crate) const TRACER: Tracer = Tracer {
    name: "exec",
    kind: Kind::Exec,
    programs: &[
        Program { name: "exec_done", hook: Hook::BtfTracepoint("sched_process_exec"), without: None },
        Program {
            name: "exec_refused",
            hook: Hook::SyscallExits(Stage::Events, &[EXECVE, EXECVEAT]),
            without: Some("programs that could not be executed"),
        },
    ],
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

/// Parses a record.
pub(crate) fn parse(bytes: &[u8]) -> Result<(ExecRecord, ExecTexts<'_>), WireError> {
    let (raw, mut texts) = view::<ExecRecord>(bytes, Family::Exec)?;
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

/// Decodes a record.
///
/// # Errors
/// The bytes are not such a record.
pub(crate) fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    let (raw, texts) = parse(bytes)?;
    let (asked, cwd) = (texts.asked, text::path(texts.cwd));
    let known = raw.file.known != 0;
    let exe = if known || raw.ret >= 0 { text::path(texts.exe) } else { text::asked(texts.exe, asked) };
    let asked_is_whole = known || raw.ret >= 0 || !asked.is(TEXT_CUT | TEXT_UNREADABLE);
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Exec(Box::new(Exec {
            path_asked: Text::from_bytes(asked.bytes),
            exe: exe.text(),
            argv: text::list(texts.argv.bytes),
            argv_cut: texts.argv.is(TEXT_CUT),
            cwd: cwd.text(),
            path_incomplete: exe.incomplete || cwd.incomplete || !asked_is_whole,
            path_unresolved: !known && raw.ret < 0,
            ret: raw.ret.into(),
            execveat: execveat(&raw),
            memfd: is_memfd(&raw, texts.exe),
            file: raw.file.file(),
        })),
    })
}

/// Returns the flags of an execveat that are recorded.
fn execveat(raw: &ExecRecord) -> Option<u32> {
    let by_it = raw.call == EXEC_BY_DESCRIPTOR || Some(raw.call) == EXECVEAT.number;
    by_it.then_some(raw.flags)
}

/// True if the file was made by memfd_create: in a file system that is mounted nowhere, with a name that the
/// kernel chose.
fn is_memfd(raw: &ExecRecord, exe: RawText<'_>) -> bool {
    const TMPFS: u32 = 0x0102_1994;
    const HUGETLBFS: u32 = 0x9584_58f6;
    let file = &raw.file;
    file.known != 0
        && [TMPFS, HUGETLBFS].contains(&file.fs_magic)
        && exe.is(TEXT_DETACHED)
        && exe.bytes.starts_with(b"memfd:")
}
