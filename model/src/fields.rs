//! Rows of each kind of [`Details`]: the values of the columns, and the names and values of the fields in `extended`.
//! Users' scripts depend on these names.

mod exec;
mod parts;
mod socket;

use std::borrow::Cow;

use serde_json::Value;

use self::parts::{names_of, visit_asked, visit_file, visit_mark};
use crate::details::{Direction, FlagSet, Usage};
use crate::extended::{Field, errno_name, visit_text};
use crate::{Details, Owner, Text, text};

/// `O_*` bits with more than one bit first, as x86-64 and arm64 share them (asm-generic/fcntl.h).
const OPEN_FLAGS: [(u64, &str); 16] = [
    (0o4010000, "O_SYNC"),
    (0o20200000, "O_TMPFILE"),
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o400, "O_NOCTTY"),
    (0o1000, "O_TRUNC"),
    (0o2000, "O_APPEND"),
    (0o4000, "O_NONBLOCK"),
    (0o10000, "O_DSYNC"),
    (0o20000, "O_ASYNC"),
    (0o1000000, "O_NOATIME"),
    (0o2000000, "O_CLOEXEC"),
    (0o10000000, "O_PATH"),
    // These four differ between x86-64 and arm64.
    (if cfg!(target_arch = "aarch64") { 0o200000 } else { 0o40000 }, "O_DIRECT"),
    (if cfg!(target_arch = "aarch64") { 0o40000 } else { 0o200000 }, "O_DIRECTORY"),
    (if cfg!(target_arch = "aarch64") { 0o100000 } else { 0o400000 }, "O_NOFOLLOW"),
];

/// `O_LARGEFILE`, which the kernel adds by itself on 64-bit machines, so it is not shown.
const O_LARGEFILE: u64 = if cfg!(target_arch = "aarch64") { 0o400000 } else { 0o100000 };

/// `CLONE_*` bits (uapi/linux/sched.h).
const CLONE_FLAGS: [(u64, &str); 26] = [
    (0x100, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x1000, "CLONE_PIDFD"),
    (0x2000, "CLONE_PTRACE"),
    (0x4000, "CLONE_VFORK"),
    (0x8000, "CLONE_PARENT"),
    (0x10000, "CLONE_THREAD"),
    (0x20000, "CLONE_NEWNS"),
    (0x40000, "CLONE_SYSVSEM"),
    (0x80000, "CLONE_SETTLS"),
    (0x100000, "CLONE_PARENT_SETTID"),
    (0x200000, "CLONE_CHILD_CLEARTID"),
    (0x400000, "CLONE_DETACHED"),
    (0x800000, "CLONE_UNTRACED"),
    (0x1000000, "CLONE_CHILD_SETTID"),
    (0x2000000, "CLONE_NEWCGROUP"),
    (0x4000000, "CLONE_NEWUTS"),
    (0x8000000, "CLONE_NEWIPC"),
    (0x10000000, "CLONE_NEWUSER"),
    (0x20000000, "CLONE_NEWPID"),
    (0x40000000, "CLONE_NEWNET"),
    (0x80000000, "CLONE_IO"),
    (0x100000000, "CLONE_CLEAR_SIGHAND"),
    (0x200000000, "CLONE_INTO_CGROUP"),
];

impl Details {
    /// Returns the value of the row's `fname` column.
    pub fn fname(&self) -> Option<&Text> {
        match self {
            Self::Open(open) => Some(&open.path),
            Self::Exec(exec) => Some(&exec.path),
            Self::Fs(fs) => Some(&fs.path),
            Self::Usage(usage) => Some(&usage.path),
            Self::Act(act) => act.path.as_ref(),
            Self::Socket(socket) => socket::path(socket),
            _ => None,
        }
    }

    /// Returns whether a path in the row is incomplete: the field `path_incomplete`.
    pub fn has_incomplete_path(&self) -> bool {
        match self {
            Self::Open(open) => open.path_incomplete,
            Self::Exec(exec) => exec.path_incomplete,
            Self::Fs(fs) => fs.path_incomplete,
            Self::Usage(usage) => usage.path_incomplete,
            Self::Act(act) => act.path_incomplete,
            Self::Socket(socket) => socket::has_incomplete_path(socket),
            Self::Fields(map) => map.get("path_incomplete") == Some(&Value::Bool(true)),
            Self::Clone(_) | Self::Exit(_) | Self::Dns(_) | Self::Loss(_) => false,
        }
    }

    /// Returns whether a path in the row is only the text that a call was given: the field `path_unresolved`.
    pub fn has_unresolved_path(&self) -> bool {
        match self {
            Self::Open(open) => open.path_unresolved,
            Self::Exec(exec) => exec.path_unresolved,
            Self::Fs(fs) => fs.path_unresolved,
            Self::Fields(map) => map.get("path_unresolved") == Some(&Value::Bool(true)),
            Self::Usage(_)
            | Self::Act(_)
            | Self::Socket(_)
            | Self::Clone(_)
            | Self::Exit(_)
            | Self::Dns(_)
            | Self::Loss(_) => false,
        }
    }

    /// Returns whether the row is about a file of the system that was only read, see [`crate::system_files`].
    pub fn reads_system_file(&self) -> bool {
        match self {
            Self::Open(open) => open.of_system,
            Self::Usage(usage) => usage.of_system,
            _ => false,
        }
    }

    /// Returns the value of the row's `ret` column.
    pub fn ret(&self) -> Option<i64> {
        match self {
            Self::Open(open) => Some(open.ret),
            Self::Exec(exec) => Some(exec.ret),
            Self::Clone(clone) => Some(clone.child_tid.into()),
            Self::Socket(socket) => socket.ret,
            Self::Dns(dns) => Some(dns.ret),
            Self::Fs(fs) => Some(fs.ret),
            Self::Act(act) => Some(act.ret),
            _ => None,
        }
    }

    /// Calls `field` with each field that has no column of its own.
    pub(crate) fn visit<'a>(&'a self, field: &mut dyn FnMut(&'a str, Field<'a>)) {
        match self {
            Self::Open(open) => visit_open(open, field),
            Self::Exec(exec) => exec::visit(exec, field),
            Self::Clone(clone) => visit_clone(clone, field),
            Self::Exit(exit) => {
                field("code", Field::Uint(exit.code.into()));
                field("signal", Field::Uint(exit.signal.into()));
                visit_mark("core_dumped", exit.core_dumped, field);
                field("duration_ns", Field::Uint(exit.duration_ns));
            }
            Self::Socket(sock) => socket::visit(sock, field),
            Self::Dns(dns) => socket::visit_dns(dns, field),
            Self::Fs(fs) => visit_fs(fs, field),
            Self::Usage(usage) => visit_usage(usage, field),
            Self::Act(act) => visit_act(act, field),
            Self::Loss(loss) => visit_loss(loss, field),
            Self::Fields(map) => {
                for (name, value) in map {
                    field(name, Field::Json(Cow::Borrowed(value)));
                }
            }
        }
        if let Some(name) = self.ret().filter(|ret| *ret < 0).and_then(|ret| errno_name(-ret)) {
            field("errno", Field::Str(name.into()));
        }
    }
}

/// Flags of an open that may create a file; the mode has a meaning only with one of them (open(2)).
const CREATES: u64 = 0o100 | 0o20_000_000;

fn visit_open<'a>(open: &'a crate::Open, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    match &open.handle {
        Some(handle) => {
            field("handle_type", Field::Int(handle.kind.into()));
            field("handle", Field::Str(text::hex(&handle.bytes).into()));
        }
        None => visit_asked(&open.path_asked, &open.path, field),
    }
    field("flags", Field::Names(open_flag_names(open.flags)));
    if open.flags & CREATES != 0 {
        field("mode", Field::Uint(open.mode.into()));
        field("umask", Field::Uint(open.umask.into()));
    }
    visit_file(open.file.as_ref(), field);
    visit_mark("path_incomplete", open.path_incomplete, field);
    visit_mark("path_unresolved", open.path_unresolved, field);
}

fn visit_clone<'a>(clone: &'a crate::Clone, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    field("child_pid", Field::Uint(clone.child_pid.into()));
    field("child_tid", Field::Uint(clone.child_tid.into()));
    let child = crate::ExecId { pid: clone.child_pid, start_ns: clone.child_start_ns };
    field("child_exec_id", Field::Str(child.to_string().into()));
    if let Some(flags) = clone.flags {
        field("flags", Field::Names(names_of(flags & !0xff, &CLONE_FLAGS)));
    }
    field("thread", Field::Bool(clone.thread));
}

fn visit_fs<'a>(fs: &'a crate::Fs, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    field("call", Field::Str(fs.call.into()));
    if let Some(asked) = &fs.path_asked {
        visit_asked(asked, &fs.path, field);
    }
    if let Some(other) = &fs.other {
        visit_text(other.name, "other_bytes", &other.path, field);
        if let Some((name, asked)) = &other.asked {
            field(name, Field::Str(asked.to_str()));
        }
    }
    if let Some((name, word)) = &fs.word {
        visit_text(name, "word_bytes", word, field);
    }
    for (name, arg) in &fs.args {
        let value = match *arg {
            crate::FsArg::Uint(number) => Field::Uint(number),
            crate::FsArg::Int(number) => Field::Int(number),
            crate::FsArg::Flags(bits, set) => Field::Names(names_of(bits, set.known())),
        };
        field(name, value);
    }
    visit_file(fs.file.as_ref(), field);
    if let Some(replaced) = &fs.replaced {
        field("replaced_dev", Field::Uint(replaced.dev));
        field("replaced_ino", Field::Uint(replaced.ino));
        field("replaced_generation", Field::Uint(replaced.generation.into()));
    }
    visit_mark("path_incomplete", fs.path_incomplete, field);
    visit_mark("path_unresolved", fs.path_unresolved, field);
}

fn visit_act<'a>(act: &'a crate::Act, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    use crate::ActField;
    field("call", Field::Str(act.call.into()));
    for (name, value) in &act.fields {
        match value {
            ActField::Uint(number) => field(name, Field::Uint(*number)),
            ActField::Int(number) => field(name, Field::Int(*number)),
            ActField::Flags(bits, set) => field(name, Field::Names(names_of(*bits, set.known()))),
            ActField::Name(one) => field(name, Field::Str((*one).into())),
            ActField::Text(text) => visit_text(name, "word_bytes", text, field),
        }
    }
    visit_file(act.file.as_ref(), field);
    visit_mark("path_incomplete", act.path_incomplete, field);
}

fn visit_usage<'a>(usage: &'a Usage, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    let (bytes, calls) = match usage.direction {
        Direction::Read => ("bytes_read", "calls_read"),
        Direction::Written => ("bytes_written", "calls_written"),
        Direction::Mapped(_) => ("bytes_mapped", "calls_mapped"),
    };
    field(bytes, Field::Uint(usage.bytes));
    field(calls, Field::Uint(usage.calls));
    field("via", Field::Names(usage.via.iter().map(|way| Cow::Borrowed(*way)).collect()));
    if let Direction::Mapped(mapped) = &usage.direction {
        field("mapped_from", Field::Uint(mapped.from));
        field("mapped_to", Field::Uint(mapped.to));
        let names = mapped.protection_names();
        field("protection", Field::Names(names.into_iter().map(Cow::Borrowed).collect()));
    }
    field("flags", Field::Names(open_flag_names(usage.flags)));
    visit_file(usage.file.as_ref(), field);
    if let Some(ids) = &usage.socket {
        socket::visit_ids(ids, field);
    }
    visit_mark("path_incomplete", usage.path_incomplete, field);
}

fn visit_loss<'a>(loss: &'a crate::Loss, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    field("lost_tracer", Field::Str(loss.tracer.as_str().into()));
    field("place", Field::Str(loss.point.as_str().into()));
    if let Some(sink) = &loss.sink {
        field("sink", Field::Str(sink.as_str().into()));
    }
    field("cause", Field::Str(loss.cause.as_str().into()));
    match loss.owner {
        Owner::Cgroup(id) => field("cgroup_id", Field::Uint(id)),
        Owner::Others => field("other_users", Field::Bool(true)),
        Owner::Unknown | Owner::User(_) => {}
    }
    field("from", Field::Str(loss.from.wall().to_text().into()));
    field("to", Field::Str(loss.to.wall().to_text().into()));
    field("from_time", Field::Str(loss.from.to_text().into()));
    field("to_time", Field::Str(loss.to.to_text().into()));
}

/// Returns the names of the `O_*` bits, access mode first; bits without a name as hex.
pub fn open_flag_names(flags: u64) -> Vec<Cow<'static, str>> {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(flags & 3) as usize];
    let mut names = vec![Cow::Borrowed(access)];
    names.append(&mut names_of(flags & !3 & !O_LARGEFILE, &OPEN_FLAGS));
    names
}

/// Returns the names that flags can have in a row's field `flags`. Bits without a name are shown in hex.
pub fn flag_names() -> impl Iterator<Item = &'static str> {
    let sets = FlagSet::ALL.iter().flat_map(|set| set.known());
    let named = OPEN_FLAGS.iter().chain(&CLONE_FLAGS).chain(sets);
    ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"].into_iter().chain(named.map(|(_, name)| *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_several_bits_are_named_as_one() {
        let flags = (libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_CLOEXEC) as u64;
        assert_eq!(open_flag_names(flags), ["O_WRONLY", "O_CREAT", "O_APPEND", "O_CLOEXEC"]);
        assert_eq!(open_flag_names(libc::O_SYNC as u64), ["O_RDONLY", "O_SYNC"]);
        assert_eq!(open_flag_names((libc::O_TMPFILE | libc::O_RDWR) as u64), ["O_RDWR", "O_TMPFILE"]);
        assert_eq!(
            open_flag_names(libc::O_DIRECTORY as u64 | 1 << 40),
            ["O_RDONLY", "O_DIRECTORY", "0x10000000000"]
        );
    }

    #[test]
    fn errors_have_the_kernels_names() {
        assert_eq!(errno_name(2).as_deref(), Some("ENOENT"));
        assert_eq!(errno_name(4095), None);
    }
}
