//! System calls that the agent has a row for each of, and where their path is.

use nix::libc::{self, c_long};

/// A call that the agent records.
#[derive(Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) tracer: &'static str,
    pub(crate) call: &'static str,
    /// Argument that is the path in a row's `fname`, if the call has one.
    pub(crate) path: Option<usize>,
}

/// Number, tracer, name, and the argument with the path or [`NONE`].
type Line = (c_long, &'static str, &'static str, usize);
const NONE: usize = usize::MAX;

/// Returns what is recorded of the call with this number.
pub(crate) fn recorded(number: c_long) -> Option<Recorded> {
    let (_, tracer, call, path) = *CALLS.iter().chain(OLD).find(|line| line.0 == number)?;
    Some(Recorded { tracer, call, path: (path != NONE).then_some(path) })
}

const CALLS: &[Line] = &[
    (libc::SYS_openat, "open", "", 1),
    (libc::SYS_openat2, "open", "", 1),
    (libc::SYS_execve, "exec", "", 0),
    (libc::SYS_execveat, "exec", "execveat", 1),
    (libc::SYS_clone, "clone", "", NONE),
    (libc::SYS_clone3, "clone", "", NONE),
    (libc::SYS_renameat, "rename", "renameat", 1),
    (libc::SYS_renameat2, "rename", "renameat2", 1),
    (libc::SYS_unlinkat, "unlink", "unlinkat", 1),
    (libc::SYS_linkat, "link", "linkat", 1),
    (libc::SYS_symlinkat, "link", "symlinkat", 2),
    (libc::SYS_mkdirat, "mkdir", "mkdirat", 1),
    (libc::SYS_mknodat, "mkdir", "mknodat", 1),
    (libc::SYS_truncate, "truncate", "truncate", 0),
    (libc::SYS_ftruncate, "truncate", "ftruncate", NONE),
    (libc::SYS_fallocate, "truncate", "fallocate", NONE),
    (libc::SYS_fchmod, "attr", "fchmod", NONE),
    (libc::SYS_fchmodat, "attr", "fchmodat", 1),
    (libc::SYS_fchown, "attr", "fchown", NONE),
    (libc::SYS_fchownat, "attr", "fchownat", 1),
    (libc::SYS_utimensat, "attr", "utimensat", 1),
    (libc::SYS_setxattr, "attr", "setxattr", 0),
    (libc::SYS_lsetxattr, "attr", "lsetxattr", 0),
    (libc::SYS_fsetxattr, "attr", "fsetxattr", NONE),
    (libc::SYS_removexattr, "attr", "removexattr", 0),
    (libc::SYS_lremovexattr, "attr", "lremovexattr", 0),
    (libc::SYS_fremovexattr, "attr", "fremovexattr", NONE),
    (libc::SYS_memfd_create, "memfd", "memfd_create", NONE),
    (libc::SYS_kill, "kill", "kill", NONE),
    (libc::SYS_tkill, "kill", "tkill", NONE),
    (libc::SYS_tgkill, "kill", "tgkill", NONE),
    (libc::SYS_setuid, "setuid", "setuid", NONE),
    (libc::SYS_setgid, "setuid", "setgid", NONE),
    (libc::SYS_setreuid, "setuid", "setreuid", NONE),
    (libc::SYS_setregid, "setuid", "setregid", NONE),
    (libc::SYS_setresuid, "setuid", "setresuid", NONE),
    (libc::SYS_setresgid, "setuid", "setresgid", NONE),
    (libc::SYS_setgroups, "setuid", "setgroups", NONE),
    (libc::SYS_capset, "setuid", "capset", NONE),
    (libc::SYS_connect, "connect", "", NONE),
    (libc::SYS_accept, "accept", "accept", NONE),
    (libc::SYS_accept4, "accept", "accept4", NONE),
    (libc::SYS_bind, "bind", "bind", NONE),
    (libc::SYS_listen, "bind", "listen", NONE),
    (libc::SYS_unshare, "namespace", "unshare", NONE),
    (libc::SYS_chroot, "namespace", "chroot", NONE),
];

/// Calls that only older architectures have.
#[cfg(target_arch = "x86_64")]
const OLD: &[Line] = &[
    (libc::SYS_open, "open", "", 0),
    (libc::SYS_creat, "open", "", 0),
    (libc::SYS_fork, "clone", "", NONE),
    (libc::SYS_vfork, "clone", "", NONE),
    (libc::SYS_rename, "rename", "rename", 0),
    (libc::SYS_unlink, "unlink", "unlink", 0),
    (libc::SYS_rmdir, "unlink", "rmdir", 0),
    (libc::SYS_link, "link", "link", 0),
    (libc::SYS_symlink, "link", "symlink", 1),
    (libc::SYS_mkdir, "mkdir", "mkdir", 0),
    (libc::SYS_mknod, "mkdir", "mknod", 0),
    (libc::SYS_chmod, "attr", "chmod", 0),
    (libc::SYS_chown, "attr", "chown", 0),
    (libc::SYS_lchown, "attr", "lchown", 0),
    (libc::SYS_utime, "attr", "utime", 0),
    (libc::SYS_utimes, "attr", "utimes", 0),
    (libc::SYS_futimesat, "attr", "futimesat", 1),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD: &[Line] = &[];
