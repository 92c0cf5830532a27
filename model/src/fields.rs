//! How each kind of [`Details`] shows: which fields become columns, which go to `extended`, and by what names.
//! These names are an interface that others script against.

use std::borrow::Cow;

use serde_json::Value;

use crate::extended::{Field, errno_name};
use crate::{Details, Text, text};

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

/// O_LARGEFILE, which the kernel adds by itself on 64-bit machines and which says nothing.
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
    /// What the row's `fname` column shows.
    pub fn fname(&self) -> Option<&Text> {
        match self {
            Self::Open(open) => Some(&open.path),
            Self::Exec(exec) => Some(&exec.exe),
            _ => None,
        }
    }

    /// What the row's `ret` column shows.
    pub fn ret(&self) -> Option<i64> {
        match self {
            Self::Open(open) => Some(open.ret),
            Self::Exec(_) => Some(0),
            Self::Clone(clone) => Some(clone.child_tid.into()),
            Self::Connect(connect) => Some(connect.ret),
            _ => None,
        }
    }

    /// Visits each field that has no column of its own.
    pub(crate) fn visit<'a>(&'a self, field: &mut dyn FnMut(&'a str, Field<'a>)) {
        match self {
            Self::Open(open) => visit_open(open, field),
            Self::Exec(exec) => visit_exec(exec, field),
            Self::Clone(clone) => visit_clone(clone, field),
            Self::Exit(exit) => {
                field("code", Field::Uint(exit.code.into()));
                field("signal", Field::Uint(exit.signal.into()));
                if exit.core_dumped {
                    field("core_dumped", Field::Bool(true));
                }
                field("duration_ns", Field::Uint(exit.duration_ns));
            }
            Self::Connect(connect) => visit_connect(connect, field),
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

fn visit_open<'a>(open: &'a crate::Open, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    visit_text("path_asked", "path_asked_bytes", &open.path_asked, field);
    field("flags", Field::Names(open_flag_names(open.flags)));
    field("mode", Field::Uint(open.mode.into()));
    if let (Some(dev), Some(ino), Some(mode)) = (open.dev, open.ino, open.file_mode) {
        field("dev", Field::Uint(dev));
        field("ino", Field::Uint(ino));
        field("file_type", Field::Str(file_type(mode).into()));
    }
    if open.path_incomplete {
        field("path_incomplete", Field::Bool(true));
    }
}

fn visit_exec<'a>(exec: &'a crate::Exec, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    visit_text("path_asked", "path_asked_bytes", &exec.path_asked, field);
    field("argv", Field::Texts(&exec.argv));
    if exec.argv.iter().any(|arg| arg.raw().is_some()) {
        let bytes = exec.argv.iter().map(|arg| Value::String(text::hex(arg.as_bytes()))).collect();
        field("argv_bytes", Field::Json(Cow::Owned(Value::Array(bytes))));
    }
    if exec.argv_cut {
        field("argv_cut", Field::Bool(true));
    }
    if exec.path_incomplete {
        field("path_incomplete", Field::Bool(true));
    }
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

fn visit_connect<'a>(connect: &'a crate::Connect, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    let family = if connect.daddr.is_ipv4() { "AF_INET" } else { "AF_INET6" };
    field("family", Field::Str(family.into()));
    field("saddr", Field::Str(connect.saddr.to_string().into()));
    field("sport", Field::Uint(connect.sport.into()));
    field("daddr", Field::Str(connect.daddr.to_string().into()));
    field("dport", Field::Uint(connect.dport.into()));
    field("nonblocking", Field::Bool(connect.nonblocking));
}

fn visit_loss<'a>(loss: &'a crate::Loss, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    field("lost_tracer", Field::Str(loss.tracer.as_str().into()));
    field("place", Field::Str(loss.place.as_str().into()));
    if let Some(sink) = &loss.sink {
        field("sink", Field::Str(sink.as_str().into()));
    }
    field("cause", Field::Str(loss.cause.as_str().into()));
    field("from", Field::Str(loss.from.to_text().into()));
    field("to", Field::Str(loss.to.to_text().into()));
}

fn visit_text<'a>(
    name: &'static str,
    bytes_name: &'static str,
    text: &'a Text,
    field: &mut dyn FnMut(&'a str, Field<'a>),
) {
    field(name, Field::Str(text.as_str().into()));
    if let Some(hex) = text.raw_hex() {
        field(bytes_name, Field::Str(hex.into()));
    }
}

/// Names of the `O_*` bits, access mode first; bits without a name as hex.
pub fn open_flag_names(flags: u64) -> Vec<Cow<'static, str>> {
    let access = ["O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"][(flags & 3) as usize];
    let mut names = vec![Cow::Borrowed(access)];
    names.append(&mut names_of(flags & !3 & !O_LARGEFILE, &OPEN_FLAGS));
    names
}

fn names_of(mut bits: u64, known: &[(u64, &'static str)]) -> Vec<Cow<'static, str>> {
    let mut names = Vec::new();
    for (mask, name) in known {
        if bits & mask == *mask {
            names.push(Cow::Borrowed(*name));
            bits &= !mask;
        }
    }
    if bits != 0 {
        names.push(Cow::Owned(format!("{bits:#x}")));
    }
    names
}

/// Kind of file by the `S_IFMT` bits of its inode.
pub fn file_type(mode: u16) -> &'static str {
    match mode & 0o170000 {
        0o100000 => "regular",
        0o040000 => "directory",
        0o120000 => "symlink",
        0o020000 => "char",
        0o060000 => "block",
        0o010000 => "fifo",
        0o140000 => "socket",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_by_name_with_the_composite_ones_whole() {
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
    fn errno_names() {
        assert_eq!(errno_name(2).as_deref(), Some("ENOENT"));
        assert_eq!(errno_name(4095), None);
    }
}
