//! The tables of calls for the tests of processes, credentials and the kernel.

/// A call of a table, with arguments as Perl code and expected fields as JSON. In the code `$c` is a process that
/// sleeps, and `$n` an id that no process has; in the fields `CHILD` and `NONE` stand for them, `ANY` for any process.
pub(super) struct Case {
    pub(super) call: &'static str,
    pub(super) number: i64,
    /// Arguments with which the call succeeds; empty if it must not succeed in a test.
    pub(super) good: &'static str,
    /// Perl code that undoes the call.
    pub(super) after: &'static str,
    pub(super) good_fields: &'static str,
    /// Arguments with which the call fails.
    pub(super) bad: &'static str,
    pub(super) errno: i32,
    pub(super) bad_fields: &'static str,
    pub(super) denied: Denied,
}

/// The call by a user without permission.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Denied {
    /// The call needs no permission.
    Never,
    /// The same arguments and fields as for the call that succeeds.
    AsGood,
    With {
        arguments: &'static str,
        fields: &'static str,
    },
}

#[rustfmt::skip]
pub(super) const PTRACES: &[Case] = &[
    Case {
        call: "ptrace", number: libc::SYS_ptrace,
        good: "0x4206, another(), 0, 0", after: "kill 9, $k",
        good_fields: r#"{"request": "PTRACE_SEIZE", "target_pid": "ANY"}"#,
        bad: "0x4206, $n, 0, 0", errno: libc::ESRCH,
        bad_fields: r#"{"request": "PTRACE_SEIZE", "target_pid": "NONE"}"#,
        denied: Denied::With { arguments: "0x4206, $c, 0, 0", fields: r#"{"request": "PTRACE_SEIZE", "target_pid": "CHILD"}"# },
    },
    Case {
        call: "process_vm_readv", number: libc::SYS_process_vm_readv,
        good: "$t, $local, 1, $remote, 1, 0", after: "1",
        good_fields: r#"{"target_pid": "ANY"}"#,
        bad: "$n, $local, 1, $remote, 1, 0", errno: libc::ESRCH,
        bad_fields: r#"{"target_pid": "NONE"}"#,
        denied: Denied::With { arguments: "$c, $local, 1, $remote, 1, 0", fields: r#"{"target_pid": "CHILD"}"# },
    },
    Case {
        call: "process_vm_writev", number: libc::SYS_process_vm_writev,
        good: "$t, $local, 1, $remote, 1, 0", after: "1",
        good_fields: r#"{"target_pid": "ANY"}"#,
        bad: "$n, $local, 1, $remote, 1, 0", errno: libc::ESRCH,
        bad_fields: r#"{"target_pid": "NONE"}"#,
        denied: Denied::With { arguments: "$c, $local, 1, $remote, 1, 0", fields: r#"{"target_pid": "CHILD"}"# },
    },
    Case {
        call: "pidfd_getfd", number: libc::SYS_pidfd_getfd,
        good: "$p, $f, 0", after: "call(3, $result)",
        good_fields: r#"{"fname": "/dev/null", "target_pid": "CHILD", "target_fd": 3}"#,
        bad: "$p, 999, 0", errno: libc::EBADF,
        bad_fields: r#"{"target_pid": "CHILD", "target_fd": 999}"#,
        denied: Denied::With { arguments: "$p, 999, 0", fields: r#"{"target_pid": "CHILD", "target_fd": 999}"# },
    },
    Case {
        call: "process_madvise", number: libc::SYS_process_madvise,
        good: "", after: "1",
        good_fields: "",
        bad: "$p, 0, 0, 99, 0", errno: libc::EINVAL,
        bad_fields: r#"{"target_pid": "CHILD", "advice": 99}"#,
        denied: Denied::Never,
    },
];

#[rustfmt::skip]
pub(super) const BPFS: &[Case] = &[
    Case {
        call: "bpf", number: libc::SYS_bpf,
        good: "0, pack('L7 A16 x64', 2, 4, 8, 1, 0, 0, 0, \"counts\\0\"), 48", after: "call(3, $result)",
        good_fields: r#"{"command": "BPF_MAP_CREATE", "type": "BPF_MAP_TYPE_ARRAY", "name": "counts"}"#,
        bad: "5, pack('L12 A16 x64', 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \"bad\\0\"), 64", errno: libc::EFAULT,
        bad_fields: r#"{"command": "BPF_PROG_LOAD", "type": "BPF_PROG_TYPE_XDP", "name": "bad"}"#,
        denied: Denied::AsGood,
    },
];

#[rustfmt::skip]
pub(super) const MODULES: &[Case] = &[
    Case {
        call: "init_module", number: libc::SYS_init_module,
        good: "", after: "1",
        good_fields: "",
        bad: "0, 0, 'x=1'", errno: libc::ENOEXEC,
        bad_fields: r#"{"length": 0, "params": "x=1"}"#,
        denied: Denied::With { arguments: "0, 0, 'x=1'", fields: r#"{"length": 0, "params": "x=1"}"# },
    },
    Case {
        call: "finit_module", number: libc::SYS_finit_module,
        good: "", after: "1",
        good_fields: "",
        bad: "$f, 'x=1', 64", errno: libc::EINVAL,
        bad_fields: r#"{"fname": "/dev/null", "params": "x=1", "flags": ["0x40"]}"#,
        denied: Denied::With { arguments: "$f, 'y', 1", fields: r#"{"fname": "/dev/null", "params": "y", "flags": ["MODULE_INIT_IGNORE_MODVERSIONS"]}"# },
    },
    Case {
        call: "delete_module", number: libc::SYS_delete_module,
        good: "", after: "1",
        good_fields: "",
        bad: "'no_such', 2048", errno: libc::ENOENT,
        bad_fields: r#"{"name": "no_such", "flags": ["O_NONBLOCK"]}"#,
        denied: Denied::With { arguments: "'no_such', 0", fields: r#"{"name": "no_such", "flags": []}"# },
    },
    Case {
        call: "kexec_load", number: libc::SYS_kexec_load,
        good: "", after: "1",
        good_fields: "",
        bad: "0, 99, 0, 1", errno: libc::EINVAL,
        bad_fields: r#"{"segments": 99, "flags": ["KEXEC_ON_CRASH"]}"#,
        denied: Denied::With { arguments: "0, 0, 0, 0", fields: r#"{"segments": 0, "flags": []}"# },
    },
    Case {
        call: "kexec_file_load", number: libc::SYS_kexec_file_load,
        good: "", after: "1",
        good_fields: "",
        bad: "$f, -1, 4, 'x=1', 256", errno: libc::EINVAL,
        bad_fields: r#"{"fname": "/dev/null", "params": "x=1", "flags": ["0x100"]}"#,
        denied: Denied::With { arguments: "$f, -1, 2, 'y', 4", fields: r#"{"fname": "/dev/null", "params": "y", "flags": ["KEXEC_FILE_NO_INITRAMFS"]}"# },
    },
];

#[rustfmt::skip]
pub(super) const MEMFDS: &[Case] = &[
    Case {
        call: "memfd_create", number: libc::SYS_memfd_create,
        good: "'work', 3", after: "call(3, $result)",
        good_fields: r#"{"fname": "/memfd:work (deleted)", "name": "work", "flags": ["MFD_CLOEXEC", "MFD_ALLOW_SEALING"]}"#,
        bad: "'work', 1024", errno: libc::EINVAL,
        bad_fields: r#"{"name": "work", "flags": ["0x400"]}"#,
        denied: Denied::Never,
    },
];

/// The ids of a process without permission stay as they were; the saved one leads back.
#[rustfmt::skip]
pub(super) const IDS: &[Case] = &[
    Case {
        call: "setreuid", number: libc::SYS_setreuid,
        good: "0, -1", after: "1",
        good_fields: r#"{"asked_ruid": 0, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 0}"#,
        bad: "0, -1", errno: 0,
        bad_fields: "",
        denied: Denied::With { arguments: "1234, -1", fields: r#"{"asked_ruid": 1234, "ruid": 9999, "euid": 9999, "suid": 0, "fsuid": 9999}"# },
    },
    Case {
        call: "setregid", number: libc::SYS_setregid,
        good: "7, -1", after: "1",
        good_fields: r#"{"asked_rgid": 7, "rgid": 7, "egid": 0, "sgid": 0, "fsgid": 0}"#,
        bad: "7, -1", errno: 0,
        bad_fields: "",
        denied: Denied::With { arguments: "-1, 1234", fields: r#"{"asked_egid": 1234, "rgid": 7, "egid": 0, "sgid": 0, "fsgid": 0}"# },
    },
    Case {
        call: "setresgid", number: libc::SYS_setresgid,
        good: "7, 8, 9", after: "1",
        good_fields: r#"{"asked_rgid": 7, "asked_egid": 8, "asked_sgid": 9, "rgid": 7, "egid": 8, "sgid": 9, "fsgid": 8}"#,
        bad: "7, 8, 9", errno: 0,
        bad_fields: "",
        denied: Denied::With { arguments: "7, 1234, -1", fields: r#"{"asked_rgid": 7, "asked_egid": 1234, "rgid": 7, "egid": 8, "sgid": 9, "fsgid": 8}"# },
    },
    Case {
        call: "setgroups", number: libc::SYS_setgroups,
        good: "0, 0", after: "1",
        good_fields: r#"{"asked_groups": 0}"#,
        bad: "65537, 0", errno: libc::EINVAL,
        bad_fields: r#"{"asked_groups": 65537}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "setgid", number: libc::SYS_setgid,
        good: "9", after: "1",
        good_fields: r#"{"asked_gid": 9, "rgid": 9, "egid": 9, "sgid": 9, "fsgid": 9}"#,
        bad: "9", errno: 0,
        bad_fields: "",
        denied: Denied::With { arguments: "1234", fields: r#"{"asked_gid": 1234, "rgid": 9, "egid": 9, "sgid": 9, "fsgid": 9}"# },
    },
    Case {
        call: "setfsgid", number: libc::SYS_setfsgid,
        good: "5", after: "1",
        good_fields: r#"{"asked_fsgid": 5, "rgid": 0, "egid": 0, "sgid": 0, "fsgid": 5}"#,
        bad: "5", errno: 0,
        bad_fields: "",
        denied: Denied::Never,
    },
    Case {
        call: "setresuid", number: libc::SYS_setresuid,
        good: "0, -1, 0", after: "1",
        good_fields: r#"{"asked_ruid": 0, "asked_suid": 0, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 0}"#,
        bad: "0, -1, 0", errno: 0,
        bad_fields: "",
        denied: Denied::With { arguments: "-1, -1, 4321", fields: r#"{"asked_suid": 4321, "ruid": 9999, "euid": 9999, "suid": 0, "fsuid": 9999}"# },
    },
    Case {
        call: "setfsuid", number: libc::SYS_setfsuid,
        good: "5", after: "1",
        good_fields: r#"{"asked_fsuid": 5, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 5}"#,
        bad: "5", errno: 0,
        bad_fields: "",
        denied: Denied::Never,
    },
    Case {
        call: "setuid", number: libc::SYS_setuid,
        good: "0", after: "1",
        good_fields: r#"{"asked_uid": 0, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 0}"#,
        bad: "0", errno: 0,
        bad_fields: "",
        denied: Denied::With { arguments: "1234", fields: r#"{"asked_uid": 1234, "ruid": 9999, "euid": 9999, "suid": 0, "fsuid": 9999}"# },
    },
    // Capabilities that were dropped cannot be taken back.
    Case {
        call: "capset", number: libc::SYS_capset,
        good: "pack('L2', 0x20080522, 0), pack('L6', 3, 3)", after: "1",
        good_fields: r#"{"capabilities": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]}"#,
        bad: "pack('L2', 0x20080522, 0), pack('L6', 7, 7)", errno: libc::EPERM,
        bad_fields: r#"{"capabilities": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]}"#,
        denied: Denied::Never,
    },
];

#[rustfmt::skip]
pub(super) const KILLS: &[Case] = &[
    Case {
        call: "kill", number: libc::SYS_kill,
        good: "$c, 28", after: "1",
        good_fields: r#"{"target_pid": "CHILD", "signal": 28}"#,
        bad: "$n, 9", errno: libc::ESRCH,
        bad_fields: r#"{"target_pid": "NONE", "signal": 9}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "tkill", number: libc::SYS_tkill,
        good: "$c, 28", after: "1",
        good_fields: r#"{"target_pid": "CHILD", "target_tid": "CHILD", "signal": 28}"#,
        bad: "$n, 9", errno: libc::ESRCH,
        bad_fields: r#"{"target_tid": "NONE", "signal": 9}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "tgkill", number: libc::SYS_tgkill,
        good: "$c, $c, 28", after: "1",
        good_fields: r#"{"target_pid": "CHILD", "target_tid": "CHILD", "signal": 28}"#,
        bad: "$n, $n, 9", errno: libc::ESRCH,
        bad_fields: r#"{"target_pid": "NONE", "target_tid": "NONE", "signal": 9}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "rt_sigqueueinfo", number: libc::SYS_rt_sigqueueinfo,
        good: "$c, 28, pack('L2l x128', 28, 0, -1)", after: "1",
        good_fields: r#"{"target_pid": "CHILD", "signal": 28}"#,
        bad: "$n, 9, pack('L2l x128', 9, 0, -1)", errno: libc::ESRCH,
        bad_fields: r#"{"target_pid": "NONE", "signal": 9}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "rt_tgsigqueueinfo", number: libc::SYS_rt_tgsigqueueinfo,
        good: "$c, $c, 28, pack('L2l x128', 28, 0, -1)", after: "1",
        good_fields: r#"{"target_pid": "CHILD", "target_tid": "CHILD", "signal": 28}"#,
        bad: "$n, $n, 9, pack('L2l x128', 9, 0, -1)", errno: libc::ESRCH,
        bad_fields: r#"{"target_pid": "NONE", "target_tid": "NONE", "signal": 9}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "pidfd_send_signal", number: libc::SYS_pidfd_send_signal,
        good: "$p, 28, 0, 0", after: "1",
        good_fields: r#"{"target_pid": "CHILD", "signal": 28, "flags": []}"#,
        bad: "$p, 28, 0, 64", errno: libc::EINVAL,
        bad_fields: r#"{"target_pid": "CHILD", "signal": 28, "flags": ["0x40"]}"#,
        denied: Denied::AsGood,
    },
];
