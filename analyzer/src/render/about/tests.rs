//! Tests of the phrases: each built-in tracer has its own, and says what happened.

use serde_json::json;

use super::super::names::Names;
use super::*;

/// Alice is user 1000, staff is group 50; no other number has a name.
fn names() -> Names {
    Names::by(|uid| (uid == 1000).then(|| "alice".to_owned()), |gid| (gid == 50).then(|| "staff".to_owned()))
}

/// The phrase of a row of `tracer` with this path and these fields.
fn of(tracer: &str, path: Option<&str>, fields: Value) -> String {
    let names = names();
    let Value::Object(fields) = fields else { panic!("no object") };
    phrase(&Facts { tracer, path, count: Some(12), fields: &fields, names: &names })
}

fn check(tracer: &str, path: &str, fields: Value, expected: &str) {
    assert_eq!(of(tracer, Some(path).filter(|path| !path.is_empty()), fields), expected, "{tracer}");
}

#[test]
fn an_open_shows_its_flags_but_the_usual_ones() {
    check("open", "/a", json!({"flags": ["O_RDONLY", "O_CLOEXEC"]}), "/a");
    check("open", "/a", json!({"flags": ["O_WRONLY", "O_CREAT", "O_CLOEXEC"]}), "/a (O_WRONLY|O_CREAT)");
    check("open", "/a", json!({"flags": ["O_RDONLY"], "errno": "EACCES"}), "/a (EACCES)");
}

#[test]
fn a_usage_shows_bytes_calls_and_time() {
    let times = |mut fields: Value| {
        fields["first"] = "2026-01-01 00:00:00.000100".into();
        fields["last"] = "2026-01-01 00:00:00.000449".into();
        fields
    };
    let read = times(json!({"bytes_read": 22431, "calls_read": 2, "via": ["read", "pread64"]}));
    check("usage", "/a", read, "/a: read 21.9 KiB in 2 calls (read, pread64) over 349 µs");
    let written = times(json!({"bytes_written": 1, "calls_written": 1, "via": ["write"]}));
    check("usage", "/a", written, "/a: wrote 1 byte in 1 call (write)");
    let zoned = json!({"first": "2026-10-25 02:59:59.000000", "last": "2026-10-25 02:00:01.000000",
                       "first_time": "2026-10-25T02:59:59.000000000+02:00",
                       "last_time": "2026-10-25T02:00:01.000000000+01:00",
                       "bytes_read": 2, "calls_read": 2, "via": ["read"]});
    check("usage", "/a", zoned, "/a: read 2 bytes in 2 calls (read) over 2.0 s");
    let mapped = json!({"bytes_mapped": 4096, "calls_mapped": 3, "via": ["mmap"],
                        "protection": ["PROT_READ", "MAP_PRIVATE"]});
    check("usage", "/a", mapped, "/a: mapped 4096 bytes in 3 calls (mmap: PROT_READ|MAP_PRIVATE)");
}

#[test]
fn descriptors_advice_and_kernels_are_named() {
    let taken = json!({"call": "pidfd_getfd", "target_pid": 7, "target_fd": 3});
    check("ptrace", "/a", taken, "take descriptor 3 of process 7: /a");
    let advice = json!({"call": "process_madvise", "target_pid": 7, "advice": 20});
    check("ptrace", "", advice, "advice 20 about memory of process 7");
    let kernel = json!({"call": "kexec_file_load", "params": "quiet", "flags": ["KEXEC_FILE_ON_CRASH"]});
    check("module", "/boot/k", kernel, "load kernel /boot/k: quiet (KEXEC_FILE_ON_CRASH)");
    check("module", "", json!({"call": "kexec_load", "errno": "EPERM"}), "load a kernel from memory (EPERM)");
}

#[test]
fn objects_that_processes_share_are_named() {
    check("namespace", "/jail", json!({"call": "chroot", "path_asked": "."}), "new root /jail");
    check(
        "namespace",
        "",
        json!({"call": "chroot", "path_asked": "x", "errno": "ENOENT"}),
        "new root x (ENOENT)",
    );
    let unshare = json!({"call": "unshare", "flags": ["CLONE_NEWNS"]});
    check("namespace", "", unshare, "unshare (CLONE_NEWNS)");
    let setns = json!({"call": "setns", "type": "CLONE_NEWNET", "namespace": 5, "flags": ["CLONE_NEWNET"]});
    check("namespace", "", setns, "enter CLONE_NEWNET 5");
    let setns = json!({"call": "setns", "target_pid": 7, "flags": ["CLONE_NEWNET"]});
    check("namespace", "", setns, "enter namespaces of process 7 (CLONE_NEWNET)");
    let shmat = json!({"call": "shmat", "ipc_id": 3, "size": 4096, "flags": ["SHM_RDONLY"]});
    check("ipc", "/SYSV00000000 (deleted)", shmat, "shmat: shared memory 3 of 4096 bytes (SHM_RDONLY)");
    check("ipc", "", json!({"call": "shmdt", "address": 4096}), "shmdt: memory at 0x1000");
    check("ipc", "", json!({"call": "msgsnd", "ipc_id": 3, "length": 5}), "msgsnd: 5 bytes, message queue 3");
    check(
        "ipc",
        "",
        json!({"call": "msgget", "ipc_key": 9, "errno": "ENOENT"}),
        "msgget: message queue with key 9 (ENOENT)",
    );
    check("ipc", "/jobs", json!({"call": "mq_timedsend", "length": 1}), "mq_timedsend: 1 byte, /jobs");
    check("ipc", "", json!({"call": "mq_unlink", "name": "jobs"}), "mq_unlink: jobs");
}

#[test]
fn names_of_files_are_both_shown() {
    check("rename", "/a", json!({"call": "rename", "new_path": "/b"}), "/a -> /b");
    let exchange = json!({"call": "renameat2", "new_path": "/b", "flags": ["RENAME_EXCHANGE"]});
    check("rename", "/a", exchange, "/a <-> /b");
    check("rename", "/a", json!({"new_path": "/b", "errno": "ENOENT"}), "/a -> /b (ENOENT)");
    check("link", "/a", json!({"call": "link", "new_path": "/b"}), "hard link /b to /a");
    check("link", "/a", json!({"call": "symlink", "target": "b"}), "symlink /a -> b");
    check("unlink", "/a", json!({"call": "unlink"}), "/a");
    check("unlink", "/a", json!({"call": "rmdir"}), "directory /a");
    check("unlink", "/a", json!({"call": "unlinkat", "flags": ["AT_REMOVEDIR"]}), "directory /a");
}

#[test]
fn new_directories_and_devices_show_their_mode() {
    check(
        "mkdir",
        "/a",
        json!({"call": "mkdir", "mode": 511, "umask": 18}),
        "directory /a, mode 0777, umask 0022",
    );
    check("mkdir", "/a", json!({"call": "mknod", "mode": 0o010_600}), "fifo /a, mode 0600");
    let null = json!({"call": "mknodat", "mode": 0o020_666, "device": 259, "umask": 0});
    check("mkdir", "/a", null, "char device 1:3 /a, mode 0666, umask 0000");
}

#[test]
fn lengths_and_attributes_show_their_new_values() {
    check("truncate", "/a", json!({"call": "truncate", "length": 1}), "/a: length 1 byte");
    check("truncate", "/a", json!({"call": "ftruncate", "length": -1}), "/a: length -1 bytes");
    let punch = json!({"call": "fallocate", "length": 10, "offset": 5, "flags": ["FALLOC_FL_PUNCH_HOLE"]});
    check("truncate", "/a", punch, "/a: fallocate 10 bytes at offset 5 (FALLOC_FL_PUNCH_HOLE)");
    check("attr", "/a", json!({"call": "chmod", "mode": 0o640}), "/a: chmod 0640");
    check("attr", "/a", json!({"call": "chown", "new_uid": 1000, "new_gid": 50}), "/a: chown alice:staff");
    check("attr", "/a", json!({"call": "chown", "new_gid": 51, "errno": "EPERM"}), "/a: chown :51 (EPERM)");
    check("attr", "/a", json!({"call": "utimensat", "flags": []}), "/a: times");
    check(
        "attr",
        "/a",
        json!({"call": "setxattr", "name": "user.a", "length": 5}),
        "/a: setxattr user.a, 5 bytes",
    );
    check("attr", "/a", json!({"call": "fremovexattr", "name": "user.a"}), "/a: removexattr user.a");
}

#[test]
fn mounts_read_as_mount_lists_them() {
    let mount = json!({"call": "mount", "source": "none", "fs_type": "tmpfs", "flags": ["MS_NOSUID"]});
    check("mount", "/mnt", mount, "none on /mnt type tmpfs (MS_NOSUID)");
    check("mount", "/mnt", json!({"call": "mount", "source": "/a", "fs_type": ""}), "/a on /mnt");
    check("mount", "/mnt", json!({"call": "umount2", "flags": ["MNT_DETACH"]}), "unmount /mnt (MNT_DETACH)");
    check("mount", "/n", json!({"call": "pivot_root", "put_old": "/n/o"}), "new root /n, old root at /n/o");
    check("mount", "/a", json!({"call": "move_mount", "new_path": "/b"}), "move mount /a to /b");
    check("mount", "/a", json!({"call": "open_tree"}), "open mount tree /a");
    let attributes =
        json!({"call": "mount_setattr", "attributes_set": ["MOUNT_ATTR_RDONLY"], "attributes_cleared": []});
    check("mount", "/a", attributes, "attributes of mount /a, set MOUNT_ATTR_RDONLY");
}

#[test]
fn programs_show_their_arguments() {
    check("exec", "/bin/sh", json!({"argv": ["sh", "-c", "exit 3"]}), "/bin/sh: sh -c 'exit 3'");
    check("exec", "/x", json!({"argv": [], "errno": "ENOENT"}), "/x (ENOENT)");
    check("exec", "/x", json!({"argv": ["x"], "memfd": true}), "/x (a file in memory): x");
    let long = "y".repeat(200);
    let shown = of("exec", Some("/x"), json!({ "argv": [long] }));
    assert_eq!(shown, format!("/x: {}…", "y".repeat(80)));
}

#[test]
fn processes_show_who_begins_and_how_it_ends() {
    check("clone", "", json!({"child_pid": 8, "child_tid": 8, "thread": false}), "new process 8");
    check("clone", "", json!({"child_pid": 8, "child_tid": 9, "thread": true}), "new thread 9 of process 8");
    let container =
        json!({"child_pid": 8, "child_tid": 8, "flags": ["CLONE_VM", "CLONE_NEWNS", "CLONE_NEWPID"]});
    check("clone", "", container, "new process 8 (CLONE_NEWNS|CLONE_NEWPID)");
    check("exit", "", json!({"code": 3, "signal": 0, "duration_ns": 8_765_431}), "code 3 after 8.8 ms");
    let killed = json!({"code": 0, "signal": 11, "core_dumped": true, "duration_ns": 1_500_000_000});
    check("exit", "", killed, "killed by SIGSEGV (core dumped) after 1.5 s");
}

#[test]
fn what_is_done_to_processes_shows_the_target() {
    let attach = json!({"call": "ptrace", "request": "PTRACE_ATTACH", "target_pid": 7, "errno": "ESRCH"});
    check("ptrace", "", attach, "PTRACE_ATTACH to process 7 (ESRCH)");
    check("ptrace", "", json!({"call": "ptrace", "request": 99, "target_pid": 7}), "request 99 to process 7");
    check("ptrace", "", json!({"call": "process_vm_readv", "target_pid": 7}), "read memory of process 7");
    check("ptrace", "", json!({"call": "process_vm_writev", "target_pid": 7}), "write memory of process 7");
    for (target, expected) in [
        (json!({"target_pid": 7}), "process 7"),
        (json!({"target_pid": 0}), "its own process group"),
        (json!({"target_pid": -1}), "every process it may signal"),
        (json!({"target_pid": -7}), "process group 7"),
        (json!({"target_tid": 7}), "thread 7"),
        (json!({"target_pid": 7, "target_tid": 8}), "thread 8 of process 7"),
        (json!({}), "a process that is gone"),
    ] {
        let mut fields = target;
        fields["signal"] = 15.into();
        check("kill", "", fields, &format!("SIGTERM to {expected}"));
    }
    check(
        "kill",
        "",
        json!({"target_pid": 7, "signal": 34, "errno": "EPERM"}),
        "signal 34 to process 7 (EPERM)",
    );
    check("kill", "", json!({"target_pid": 7, "signal": 0}), "signal 0 to process 7");
}

#[test]
fn changes_of_ids_show_the_names_that_hold_afterwards() {
    let same =
        json!({"call": "setuid", "asked_uid": 1000, "ruid": 1000, "euid": 1000, "suid": 1000, "fsuid": 1000});
    check("setuid", "", same, "setuid: user alice");
    let group = json!({"call": "setgid", "rgid": 50, "egid": 50, "sgid": 50, "fsgid": 50});
    check("setuid", "", group, "setgid: group staff");
    let mixed = json!({"call": "setreuid", "ruid": 1000, "euid": 1, "suid": 2, "fsuid": 3});
    check("setuid", "", mixed, "setreuid: real user alice, effective 1, saved 2, file system 3");
    let refused = json!({"call": "setuid", "asked_uid": 1000, "ruid": 1, "errno": "EPERM"});
    check("setuid", "", refused, "setuid: asked for alice (EPERM)");
    check("setuid", "", json!({"call": "setgroups", "asked_groups": 1}), "setgroups: 1 group");
    check("setuid", "", json!({"call": "capset", "capabilities": []}), "capset: no capabilities");
    let many: Vec<String> = (0..6).map(|number| format!("CAP_{number}")).collect();
    let shown = "capset: CAP_0, CAP_1, CAP_2, CAP_3 and 2 more";
    check("setuid", "", json!({"call": "capset", "capabilities": many}), shown);
}

#[test]
fn the_kernel_shows_what_is_loaded_into_it() {
    let program =
        json!({"call": "bpf", "command": "BPF_PROG_LOAD", "type": "BPF_PROG_TYPE_KPROBE", "name": "p"});
    check("bpf", "", program, "BPF_PROG_LOAD BPF_PROG_TYPE_KPROBE p");
    check("bpf", "", json!({"call": "bpf", "command": 99, "errno": "EINVAL"}), "command 99 (EINVAL)");
    check("module", "", json!({"call": "delete_module", "name": "m"}), "unload m");
    check("module", "/m.ko", json!({"call": "finit_module", "params": "a=1"}), "load /m.ko: a=1");
    let memory = json!({"call": "init_module", "length": 20480, "params": ""});
    check("module", "", memory, "load a module of 20.0 KiB from memory");
    let memfd = json!({"call": "memfd_create", "name": "secret", "flags": ["MFD_CLOEXEC"]});
    check("memfd", "/memfd:secret (deleted)", memfd, "memfd secret (MFD_CLOEXEC)");
}

#[test]
fn connections_show_the_other_side() {
    let inet = |mut fields: Value| {
        fields["saddr"] = "10.0.0.9".into();
        fields["sport"] = 5000.into();
        fields["daddr"] = "::1".into();
        fields["dport"] = 443.into();
        fields
    };
    check("connect", "", inet(json!({"errno": "ECONNREFUSED"})), "to [::1]:443 (ECONNREFUSED)");
    check("connect", "/s", json!({"sun_path": "s", "peer_pid": 7}), "to /s (process 7)");
    check("connect", "", json!({"sun_path": "@abstract"}), "to @abstract");
    check("accept", "", inet(json!({})), "from [::1]:443 at 10.0.0.9:5000");
    check("accept", "/s", json!({"sun_path": "s", "peer_pid": 7}), "from process 7 at /s");
    check("accept", "", json!({"sun_path": ""}), "at an unnamed unix socket");
    let sums = json!({"accepted": true, "bytes_sent": 100, "bytes_received": 1, "duration_ns": 352_000});
    check("close", "", inet(sums.clone()), "from [::1]:443: sent 100 bytes, received 1 byte, over 352 µs");
    let mut flow = inet(sums);
    (flow["datagrams_sent"], flow["datagrams_received"]) = (2.into(), 1.into());
    let sums =
        "flow with [::1]:443: sent 100 bytes in 2 datagrams, received 1 byte in 1 datagram, over 352 µs";
    check("udp", "", flow, sums);
    check("udp", "", inet(json!({"call": "sendto", "direction": "sent"})), "send to [::1]:443");
    let received = json!({"call": "recvfrom", "direction": "received"});
    check("udp", "", inet(received), "receive at 10.0.0.9:5000 from [::1]:443");
    check("bind", "", json!({"call": "bind", "saddr": "0.0.0.0", "sport": 80}), "bind 0.0.0.0:80");
    check("bind", "/s", json!({"call": "listen", "backlog": 5}), "listen on /s, backlog 5");
}

#[test]
fn dns_shows_the_question_and_the_answer() {
    let message = |direction: &str, mut fields: Value| {
        fields["direction"] = direction.into();
        fields["daddr"] = "10.0.0.1".into();
        fields["dport"] = 53.into();
        fields
    };
    let question = json!({"name": "example.org", "query_type": "A"});
    check("dns", "", message("sent", question), "query to 10.0.0.1:53: example.org A");
    let answer =
        json!({"name": "example.org", "query_type": "A", "rcode": "NOERROR", "addresses": ["192.0.2.7"]});
    check(
        "dns",
        "",
        message("received", answer),
        "answer from 10.0.0.1:53: example.org A: NOERROR 192.0.2.7",
    );
    let none = json!({"name": "example.org", "query_type": "A", "rcode": "NXDOMAIN", "addresses": []});
    check("dns", "", message("sent", none), "answer to 10.0.0.1:53: example.org A: NXDOMAIN");
    check("dns", "", message("sent", json!({"malformed": true})), "message to 10.0.0.1:53 that is not DNS");
}

#[test]
fn rows_of_the_agent_itself_say_what_is_missing() {
    let loss = |point: &str, sink: Value| json!({"lost_tracer": "open", "place": point, "sink": sink, "cause": "full"});
    check("loss", "", loss("ring", Value::Null), "12 records of open lost in the ring buffer: full");
    check("loss", "", loss("decode", Value::Null), "12 records of open lost in decoding: full");
    check(
        "loss",
        "",
        loss("queue", "jsonl".into()),
        "12 records of open lost in the queue of sink jsonl: full",
    );
    check("loss", "", loss("sink", "sqlite".into()), "12 records of open lost in sink sqlite: full");
    let owned = |name: &str, value: Value| {
        let mut fields = loss("ring", Value::Null);
        fields[name] = value;
        fields
    };
    let expected = "12 records of open of control group 7 lost in the ring buffer: full";
    check("loss", "", owned("cgroup_id", 7.into()), expected);
    let expected = "12 records of open of other users lost in the ring buffer: full";
    check("loss", "", owned("other_users", true.into()), expected);
    let attached = json!({"tracer": "open", "state": "attached", "tier": "tracepoint", "hooks": ["a", "b"]});
    check("manifest", "", attached, "open: attached by tracepoint: a, b");
    let degraded = json!({"tracer": "open", "state": "degraded", "tier": null, "degraded": ["no BTF"]});
    check("manifest", "", degraded, "open: degraded: no BTF");
}

#[test]
fn other_tracers_show_their_path_or_all_their_fields() {
    check("mine", "/a", json!({"x": 1}), "/a");
    check("mine", "/a", json!({"argv": ["b", "c"]}), "/a: b c");
    check("mine", "", json!({"x": 1, "y": "two", "pid_ns": 4}), "x=1 y=two");
    // A row under a built-in name that another program wrote, with other fields.
    check("connect", "", json!({"to": "10.0.0.1"}), "to=10.0.0.1");
    check("loss", "", json!({}), "");
}

#[test]
fn hostile_text_is_harmless_in_every_phrase() {
    for tracer in tracers_with_phrases().chain(["mine"]) {
        let hostile = "\u{1b}[2J\n\u{202e}";
        let fields = json!({
            "call": hostile, "new_path": hostile, "name": hostile, "argv": [hostile], "sun_path": hostile,
            "direction": hostile, "lost_tracer": hostile, "place": hostile, "tracer": hostile, "state": hostile,
            "flags": [hostile], "target": hostile, "command": hostile, "errno": hostile, (hostile): hostile,
        });
        let shown = of(tracer, Some(hostile), fields);
        assert!(!shown.chars().any(escape::is_hostile), "{tracer}: {shown:?}");
    }
}

#[test]
fn each_tracer_has_one_phrase() {
    let mut names: Vec<&str> = tracers_with_phrases().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
