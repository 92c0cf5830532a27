//! Tracer `exec`: programs that were executed, and execs that failed.
//!
//! **Hook.** BTF tracepoint `sched_process_exec`: there the new program is in place, and path and arguments are
//! the kernel's own copies. At `sys_enter_execve` they are often not mapped yet. For calls that fail the end of
//! the call, by [`crate::syscalls`]. A script is found just before, at `sched_prepare_exec` (6.10) or, with tier `function`,
//! at `begin_new_exec`.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** Two path walks and a copy of the arguments, for a script one walk more; see `docs/BENCHMARKS.md`.

use model::{Details, Exec, Interpreter, Moment, Record, Text};

use crate::programs::{ByFunction, Function, Hook, Program, Tracer, at_function};
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
            name: "exec_prepared",
            hook: Hook::NewBtfTracepoint("sched_prepare_exec"),
            without: Some("the files of scripts for certain"),
        },
        Program {
            name: "exec_refused",
            hook: Hook::SyscallExits(Stage::Events, &[EXECVE, EXECVEAT]),
            without: Some("programs that could not be executed"),
        },
    ],
    decode,
};

/// The programs that note scripts, and that record execs of what is not there.
pub(crate) const BY_FUNCTION: ByFunction = ByFunction {
    kind: Kind::Exec,
    calls: &[],
    programs: &[
        at_function!("exec_begins", entry of ["begin_new_exec"], ()),
        at_function!(
            "exec_not_found",
            exit of ["do_open_execat"],
            ("execat_name" = "name") -> "execat_result"
        ),
    ],
};

/// The texts of an exec record.
pub(crate) struct ExecTexts<'a> {
    pub(crate) asked: RawText<'a>,
    pub(crate) path: RawText<'a>,
    pub(crate) cwd: RawText<'a>,
    pub(crate) cgroup: RawText<'a>,
    pub(crate) argv: RawText<'a>,
    pub(crate) interpreter: RawText<'a>,
}

impl<'a> ExecTexts<'a> {
    /// Returns the path of the program that runs.
    pub(crate) fn exe(&self, raw: &ExecRecord) -> RawText<'a> {
        if raw.interpreter.known != 0 { self.interpreter } else { self.path }
    }
}

/// Parses a record.
pub(crate) fn parse(bytes: &[u8]) -> Result<(ExecRecord, ExecTexts<'_>), WireError> {
    let (raw, mut texts) = view::<ExecRecord>(bytes, Family::Exec)?;
    let taken = ExecTexts {
        asked: texts.take(raw.asked)?,
        path: texts.take(raw.path)?,
        cwd: texts.take(raw.cwd)?,
        cgroup: texts.take(raw.cgroup)?,
        argv: texts.take(raw.argv)?,
        interpreter: texts.take(raw.interpreter_path)?,
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
    // A script may be closed already: then its identity is known, and its path is not.
    let known = raw.file.known != 0 && !texts.path.is(TEXT_UNREADABLE);
    let base = if raw.ret < 0 { texts.path } else { texts.cwd };
    let path = if known { text::path(texts.path) } else { text::asked(base, asked) };
    let asked_is_whole = known || !asked.is(TEXT_CUT | TEXT_UNREADABLE);
    let interpreter = raw.interpreter.file().map(|file| (text::path(texts.interpreter), file));
    let cut = interpreter.as_ref().is_some_and(|(path, _)| path.incomplete);
    Ok(Record {
        at: Moment::Boot(raw.header.at()),
        identity: Some(raw.header.identity()),
        details: Details::Exec(Box::new(Exec {
            path_asked: Text::from_bytes(asked.bytes),
            path: path.text(),
            argv: text::list(texts.argv.bytes),
            argv_cut: texts.argv.is(TEXT_CUT),
            cwd: cwd.text(),
            path_incomplete: path.incomplete || cwd.incomplete || cut || !asked_is_whole,
            path_unresolved: !known,
            ret: raw.ret.into(),
            execveat: execveat(&raw),
            memfd: is_memfd(&raw, texts.path),
            file: raw.file.file(),
            interpreter: interpreter.map(|(path, file)| Interpreter { path: path.text(), file }),
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
fn is_memfd(raw: &ExecRecord, path: RawText<'_>) -> bool {
    const TMPFS: u32 = 0x0102_1994;
    const HUGETLBFS: u32 = 0x9584_58f6;
    let file = &raw.file;
    file.known != 0
        && [TMPFS, HUGETLBFS].contains(&file.fs_magic)
        && path.is(TEXT_DETACHED)
        && path.bytes.starts_with(b"memfd:")
}
