//! The list of traced system calls, with their numbers on this architecture and for 32-bit programs.

use super::{Compat, MEMORY, PAGES, SEND, SHORT, SMALL, SOCKET, Syscall, WIDE};

/// Numbers of system calls: libc's, and those that it lacks.
#[expect(non_upper_case_globals, reason = "named as libc names them")]
pub(crate) mod numbers {
    pub(crate) use libc::*;

    pub(crate) const SYS_io_pgetevents: c_long = if cfg!(target_arch = "x86_64") { 333 } else { 292 };
    pub(crate) const SYS_setxattrat: c_long = 463;
    pub(crate) const SYS_removexattrat: c_long = 466;
}

macro_rules! syscalls {
    (
        everywhere { $($name:ident $number:ident [$($compat:literal $($how:ident)?),*];)* }
        old { $($old:ident $old_number:ident [$($old_compat:literal $($old_how:ident)?),*];)* }
    ) => {
        $(
            #[doc = concat!("System call `", stringify!($number), "`.")]
            pub const $name: Syscall = Syscall {
                name: name(stringify!($number)),
                number: Some(numbers::$number as u32),
                compat: here(&[$(Compat::new($compat, 0 $(| $how)?)),*]),
            };
        )*
        $(
            #[doc = concat!("System call `", stringify!($old_number), "`, which newer architectures lack.")]
            #[cfg(target_arch = "x86_64")]
            pub const $old: Syscall = Syscall {
                name: name(stringify!($old_number)),
                number: Some(numbers::$old_number as u32),
                compat: here(&[$(Compat::new($old_compat, 0 $(| $old_how)?)),*]),
            };
            #[doc = concat!("System call `", stringify!($old_number), "`, which this architecture lacks.")]
            #[cfg(not(target_arch = "x86_64"))]
            pub const $old: Syscall = Syscall { name: name(stringify!($old_number)), number: None, compat: &[] };
        )*
        /// All calls in this list.
        pub(super) const ALL: &[Syscall] = &[$($name,)* $($old),*];
    };
}

// Numbers of i386 (arch/x86/entry/syscalls/syscall_32.tbl); with SOCKET or SEND, numbers of calls of socketcall()
// (linux/net.h).
syscalls! {
    everywhere {
        ACCEPT SYS_accept [5 SOCKET];
        ACCEPT4 SYS_accept4 [364, 18 SOCKET];
        BIND SYS_bind [361, 2 SOCKET];
        BPF SYS_bpf [357];
        CAPSET SYS_capset [185];
        CHDIR SYS_chdir [12];
        CLONE SYS_clone [120];
        CLONE3 SYS_clone3 [435];
        CLOSE SYS_close [6];
        CLOSE_RANGE SYS_close_range [436];
        CONNECT SYS_connect [362, 3 SOCKET];
        COPY_FILE_RANGE SYS_copy_file_range [377];
        DELETE_MODULE SYS_delete_module [129];
        DUP SYS_dup [41];
        DUP3 SYS_dup3 [330];
        EXECVE SYS_execve [11];
        EXECVEAT SYS_execveat [358];
        FALLOCATE SYS_fallocate [324 WIDE];
        FCHDIR SYS_fchdir [133];
        FCHMOD SYS_fchmod [94];
        FCHMODAT SYS_fchmodat [306];
        FCHMODAT2 SYS_fchmodat2 [452];
        FCHOWN SYS_fchown [207, 95 SMALL];
        FCHOWNAT SYS_fchownat [298];
        FINIT_MODULE SYS_finit_module [350];
        FREMOVEXATTR SYS_fremovexattr [237];
        FSETXATTR SYS_fsetxattr [228];
        FTRUNCATE SYS_ftruncate [93, 194 WIDE];
        INIT_MODULE SYS_init_module [128];
        IO_GETEVENTS SYS_io_getevents [247];
        IO_PGETEVENTS SYS_io_pgetevents [385, 416];
        IO_SUBMIT SYS_io_submit [248];
        KILL SYS_kill [37];
        LINKAT SYS_linkat [303];
        LISTEN SYS_listen [363, 4 SOCKET];
        LREMOVEXATTR SYS_lremovexattr [236];
        LSETXATTR SYS_lsetxattr [227];
        MEMFD_CREATE SYS_memfd_create [356];
        MKDIRAT SYS_mkdirat [296];
        MKNODAT SYS_mknodat [297];
        MMAP SYS_mmap [192 PAGES, 90 MEMORY];
        MOUNT SYS_mount [21];
        MOVE_MOUNT SYS_move_mount [429];
        MPROTECT SYS_mprotect [125];
        MOUNT_SETATTR SYS_mount_setattr [442];
        MUNMAP SYS_munmap [91];
        NAME_TO_HANDLE_AT SYS_name_to_handle_at [341];
        OPEN_BY_HANDLE_AT SYS_open_by_handle_at [342];
        OPEN_TREE SYS_open_tree [428];
        OPENAT SYS_openat [295];
        OPENAT2 SYS_openat2 [437];
        PIDFD_SEND_SIGNAL SYS_pidfd_send_signal [424];
        PIVOT_ROOT SYS_pivot_root [217];
        PREAD64 SYS_pread64 [180 WIDE];
        PREADV SYS_preadv [333 WIDE];
        PREADV2 SYS_preadv2 [378 WIDE];
        PROCESS_VM_READV SYS_process_vm_readv [347];
        PROCESS_VM_WRITEV SYS_process_vm_writev [348];
        PTRACE SYS_ptrace [26];
        PWRITE64 SYS_pwrite64 [181 WIDE];
        PWRITEV SYS_pwritev [334 WIDE];
        PWRITEV2 SYS_pwritev2 [379 WIDE];
        READ SYS_read [3];
        READV SYS_readv [145];
        RECVFROM SYS_recvfrom [371, 12 SOCKET, 10 SEND];
        RECVMMSG SYS_recvmmsg [337, 417, 19 SOCKET];
        RECVMSG SYS_recvmsg [372, 17 SOCKET];
        REMOVEXATTR SYS_removexattr [235];
        REMOVEXATTRAT SYS_removexattrat [466];
        RENAMEAT SYS_renameat [302];
        RENAMEAT2 SYS_renameat2 [353];
        RT_SIGQUEUEINFO SYS_rt_sigqueueinfo [178];
        RT_TGSIGQUEUEINFO SYS_rt_tgsigqueueinfo [335];
        SENDFILE SYS_sendfile [187, 239];
        SENDMMSG SYS_sendmmsg [345, 20 SOCKET];
        SENDMSG SYS_sendmsg [370, 16 SOCKET];
        SENDTO SYS_sendto [369, 11 SOCKET, 9 SEND];
        SETFSGID SYS_setfsgid [216, 139 SMALL];
        SETFSUID SYS_setfsuid [215, 138 SMALL];
        SETGID SYS_setgid [214, 46 SMALL];
        SETGROUPS SYS_setgroups [206, 81 SMALL];
        SETREGID SYS_setregid [204, 71 SMALL];
        SETRESGID SYS_setresgid [210, 170 SMALL];
        SETRESUID SYS_setresuid [208, 164 SMALL];
        SETREUID SYS_setreuid [203, 70 SMALL];
        SETUID SYS_setuid [213, 23 SMALL];
        SETXATTR SYS_setxattr [226];
        SETXATTRAT SYS_setxattrat [463];
        SHUTDOWN SYS_shutdown [373, 13 SOCKET];
        SPLICE SYS_splice [313];
        SYMLINKAT SYS_symlinkat [304];
        TEE SYS_tee [315];
        TGKILL SYS_tgkill [270];
        TKILL SYS_tkill [238];
        TRUNCATE SYS_truncate [92, 193 WIDE];
        UMOUNT2 SYS_umount2 [52, 22 SHORT];
        UNLINKAT SYS_unlinkat [301];
        UTIMENSAT SYS_utimensat [320, 412];
        VMSPLICE SYS_vmsplice [316];
        WRITE SYS_write [4];
        WRITEV SYS_writev [146];
    }
    old {
        CHMOD SYS_chmod [15];
        CHOWN SYS_chown [212, 182 SMALL];
        CREAT SYS_creat [8];
        DUP2 SYS_dup2 [63];
        FORK SYS_fork [2];
        FUTIMESAT SYS_futimesat [299];
        LCHOWN SYS_lchown [198, 16 SMALL];
        LINK SYS_link [9];
        MKDIR SYS_mkdir [39];
        MKNOD SYS_mknod [14];
        OPEN SYS_open [5];
        RENAME SYS_rename [38];
        RMDIR SYS_rmdir [40];
        SYMLINK SYS_symlink [83];
        UNLINK SYS_unlink [10];
        UTIME SYS_utime [30];
        UTIMES SYS_utimes [271];
        VFORK SYS_vfork [190];
    }
}

/// Returns the calls of 32-bit programs, whose numbers are known for x86 only.
const fn here(compat: &'static [Compat]) -> &'static [Compat] {
    if cfg!(target_arch = "x86_64") { compat } else { &[] }
}

/// Returns a call's name: the constant's without `SYS_`.
const fn name(constant: &'static str) -> &'static str {
    match constant.split_at_checked(4) {
        Some((_, name)) => name,
        None => constant,
    }
}
