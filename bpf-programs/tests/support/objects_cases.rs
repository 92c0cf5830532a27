//! The tables of calls for the tests of namespaces, shared memory and message queues.

use super::cases::{Case, Denied};

/// In the code `$u` is a descriptor of the process's UTS namespace, `$p` a pidfd, `$f` a descriptor of another file.
#[rustfmt::skip]
pub(super) const NAMESPACES: &[Case] = &[
    Case {
        call: "chroot", number: libc::SYS_chroot,
        good: "'/../.'", after: "1",
        good_fields: r#"{"fname": "/", "path_asked": "/../."}"#,
        bad: "'/no/such'", errno: libc::ENOENT,
        bad_fields: r#"{"path_asked": "/no/such"}"#,
        denied: Denied::With { arguments: "'/'", fields: r#"{"path_asked": "/"}"# },
    },
    Case {
        call: "unshare", number: libc::SYS_unshare,
        good: "0x0c000000", after: "1",
        good_fields: r#"{"flags": ["CLONE_NEWUTS", "CLONE_NEWIPC"]}"#,
        bad: "1", errno: libc::EINVAL,
        bad_fields: r#"{"flags": ["0x1"]}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "setns", number: libc::SYS_setns,
        good: "$u, 0x4000000", after: "1",
        good_fields: r#"{"flags": ["CLONE_NEWUTS"], "type": "CLONE_NEWUTS"}"#,
        bad: "$u, 0x8000000", errno: libc::EINVAL,
        bad_fields: r#"{"flags": ["CLONE_NEWIPC"], "type": "CLONE_NEWUTS"}"#,
        denied: Denied::AsGood,
    },
    Case {
        call: "setns", number: libc::SYS_setns,
        good: "$p, 0x4000000", after: "1",
        good_fields: r#"{"flags": ["CLONE_NEWUTS"], "target_pid": "CHILD"}"#,
        bad: "$f, 0", errno: libc::EINVAL,
        bad_fields: r#"{"flags": []}"#,
        denied: Denied::AsGood,
    },
];

/// Makes a segment `$m` and a queue `$q` in another process, so that its calls are not counted, and opens a POSIX queue
/// `$mq`. `sent`, `filled` and `made` put a message into the one or the other, or make another POSIX queue.
pub(super) const OBJECTS: &str = r#"
($m, $q) = split ' ', qx(perl -e 'print shmget(0, 8192, 0x380) + 0, " ", msgget(0, 0x380) + 0'); $m += 0; $q += 0;
$mq = call(32, call(240, 'held', 2114, 384, pack('q8', 0, 10, 64, 0, 0, 0, 0, 0))); # a copy outlives exec
sub attach { call(30, $m, 0, 0) } sub sent { msgsnd($q, pack('q a5', 1, 'hello'), 0); $q }
sub filled { call(242, $mq, 'hello', 5, 7, 0); $mq } sub made { call(3, call(240, 'held-too', 66, 384, 0)); 'held-too' }
END { system "perl -e 'shmctl($m, 0, 0); msgctl($q, 0, 0); for (q(held), q(work)) { \$n = qq(\$_); syscall(241, \$n) }'"; }
"#;

#[rustfmt::skip]
pub(super) const IPCS: &[Case] = &[
    Case {
        call: "shmget", number: libc::SYS_shmget,
        good: "0, 4096, 896", after: "call(31, $result, 0, 0)",
        good_fields: r#"{"ipc_key": 0, "size": 4096, "mode": 384, "flags": ["IPC_CREAT"], "fname": "/SYSV00000000 (deleted)"}"#,
        bad: "0, 0, 896", errno: libc::EINVAL,
        bad_fields: r#"{"ipc_key": 0, "size": 0, "mode": 384, "flags": ["IPC_CREAT"]}"#,
        denied: Denied::Never,
    },
    Case {
        call: "shmat", number: libc::SYS_shmat,
        good: "$m, 0, 4096", after: "call(67, $result)",
        good_fields: r#"{"ipc_key": 0, "size": 8192, "flags": ["SHM_RDONLY"], "fname": "/SYSV00000000 (deleted)"}"#,
        bad: "$m, 1, 0", errno: libc::EINVAL,
        bad_fields: r#"{"ipc_key": 0, "size": 8192, "flags": [], "fname": "/SYSV00000000 (deleted)"}"#,
        denied: Denied::Never,
    },
    Case {
        call: "shmdt", number: libc::SYS_shmdt,
        good: "attach()", after: "1",
        good_fields: "{}",
        bad: "1", errno: libc::EINVAL,
        bad_fields: "{}",
        denied: Denied::Never,
    },
    Case {
        call: "shmctl", number: libc::SYS_shmctl,
        good: "$m, 2, 'x' x 256", after: "1",
        good_fields: r#"{"command": "IPC_STAT", "ipc_key": 0, "size": 8192, "fname": "/SYSV00000000 (deleted)"}"#,
        bad: "$m, 99, 0", errno: libc::EINVAL,
        bad_fields: r#"{"command": 99, "ipc_key": 0, "size": 8192, "fname": "/SYSV00000000 (deleted)"}"#,
        denied: Denied::With { arguments: "$m, 0, 0", fields: r#"{"command": "IPC_RMID"}"# },
    },
    Case {
        call: "msgget", number: libc::SYS_msgget,
        good: "0, 896", after: "call(71, $result, 0, 0)",
        good_fields: r#"{"ipc_key": 0, "mode": 384, "flags": ["IPC_CREAT"]}"#,
        bad: "0x7f123456, 0", errno: libc::ENOENT,
        bad_fields: r#"{"ipc_key": 2131899478, "mode": 0, "flags": []}"#,
        denied: Denied::Never,
    },
    Case {
        call: "msgsnd", number: libc::SYS_msgsnd,
        good: "$q, 'typetypehello', 5, 2048", after: "1",
        good_fields: r#"{"ipc_key": 0, "length": 5, "flags": ["IPC_NOWAIT"]}"#,
        bad: "$q, 'x' x 16, -1, 0", errno: libc::EINVAL,
        bad_fields: r#"{"ipc_key": 0, "length": -1, "flags": []}"#,
        denied: Denied::Never,
    },
    Case {
        call: "msgrcv", number: libc::SYS_msgrcv,
        good: "sent(), 'x' x 64, 40, 0, 2048", after: "1",
        good_fields: r#"{"ipc_key": 0, "length": 5, "flags": ["IPC_NOWAIT"]}"#,
        bad: "$q, 'x' x 64, 40, 0, 2048", errno: libc::ENOMSG,
        bad_fields: r#"{"ipc_key": 0, "flags": ["IPC_NOWAIT"]}"#,
        denied: Denied::Never,
    },
    Case {
        call: "msgctl", number: libc::SYS_msgctl,
        good: "$q, 2, 'x' x 256", after: "1",
        good_fields: r#"{"command": "IPC_STAT", "ipc_key": 0}"#,
        bad: "$q, 99, 0", errno: libc::EINVAL,
        bad_fields: r#"{"command": 99, "ipc_key": 0}"#,
        denied: Denied::With { arguments: "$q, 0, 0", fields: r#"{"command": "IPC_RMID"}"# },
    },
    Case {
        call: "mq_open", number: libc::SYS_mq_open,
        good: "'work', 66, 384, 0", after: "call(3, $result)",
        good_fields: r#"{"fname": "/work", "name": "work", "flags": ["O_RDWR", "O_CREAT"]}"#,
        bad: "'none', 0, 0, 0", errno: libc::ENOENT,
        bad_fields: r#"{"name": "none", "flags": []}"#,
        denied: Denied::Never,
    },
    Case {
        call: "mq_unlink", number: libc::SYS_mq_unlink,
        good: "made()", after: "1",
        good_fields: r#"{"name": "held-too"}"#,
        bad: "'none'", errno: libc::ENOENT,
        bad_fields: r#"{"name": "none"}"#,
        denied: Denied::Never,
    },
    Case {
        call: "mq_timedsend", number: libc::SYS_mq_timedsend,
        good: "$mq, 'hello', 5, 7, 0", after: "call(243, $mq, 'x' x 64, 64, 0, 0)",
        good_fields: r#"{"fname": "/held", "length": 5, "priority": 7}"#,
        bad: "$f, 'hello', 5, 7, 0", errno: libc::EBADF,
        bad_fields: r#"{"fname": "/dev/null", "length": 5, "priority": 7}"#,
        denied: Denied::Never,
    },
    Case {
        call: "mq_timedreceive", number: libc::SYS_mq_timedreceive,
        good: "filled(), 'x' x 64, 64, 0, 0", after: "1",
        good_fields: r#"{"fname": "/held", "length": 5}"#,
        bad: "$mq, 'x' x 64, 64, 0, 0", errno: libc::EAGAIN,
        bad_fields: r#"{"fname": "/held"}"#,
        denied: Denied::Never,
    },
];
