//! Tracers `ptrace`, `bpf`, `module`, `memfd`, `setuid`, `kill`: a table of calls, each made 23 times so that it succeeds,
//! 23 times so that it fails and 23 times by who may not, by a 64-bit program and by a 32-bit one, told field by field.

use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::programs::tracers;
use bpf_programs::syscalls;
use bpf_programs::wire::Kind;
use model::{Act, Details, Extended};
use serde_json::{Map, Value, json};

use crate::compat;
use crate::support::Kernel;
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("ptrace_each_call", || each(Kind::Ptrace, PTRACES)),
    ("bpf_each_call", || each(Kind::Bpf, BPFS)),
    ("module_each_call", || each(Kind::Module, MODULES)),
    ("memfd_each_call", || each(Kind::Memfd, MEMFDS)),
    ("setuid_each_call", || each(Kind::Setuid, IDS)),
    ("kill_each_call", || each(Kind::Kill, KILLS)),
];

/// A call in the table, in words of Perl: the call, its number; its arguments when it is to succeed (nothing: no test
/// may), what is done afterwards, its arguments when it is to fail, and the errno; the fields of both in JSON; its
/// arguments when it is made by who may not, and the fields (`SAME`: as those of the first). `$c` is a process that
/// sleeps, `$n` a number that no process has; `CHILD` and `NONE` in the fields.
type Case =
    (&'static str, i64, &'static str, &'static str, &'static str, i32, &'static str, &'static str, Denied);

type Denied = (&'static str, &'static str);

/// Everybody may.
const EVERYBODY: Denied = ("", "");
const SAME: Denied = ("SAME", "SAME");

const NOBODY: u32 = 9999;

const PRELUDE: &str = r#"
$buf = 'x' x 8; $local = $remote = pack('PQ', $buf, 8);
$^F = 1000; sub another { $k = fork; unless ($k) { sleep 1000 while 1 } $k } sub call { my @a = @_; my $told = syscall(shift @a, @a); $told } $n = 4194303;
$c = fork; unless ($c) { sleep 1000 while 1 } print "$c "; $t = $c;
END { local $?; if ($c) { kill 9, $c; waitpid $c, 0; } }
open(F, '<', '/dev/null'); $f = fileno F; $p = call(434, $c, 0); call(72, $p, 2, 0); $zero = "\0" x 64;
"#;

/// Where memory is read from and written to is the 32-bit program itself: no other is at addresses that it could tell.
const COMPAT: &str = "$local = ['xxxxxxxx', 8]; $remote = [0x20000000, 8]; $t = $pid32;";

#[rustfmt::skip]
const PTRACES: &[Case] = &[
    ("ptrace", libc::SYS_ptrace, "0x4206, another(), 0, 0", "kill 9, $k", "0x4206, $n, 0, 0", libc::ESRCH,
        r#"{"request": "PTRACE_SEIZE", "target_pid": "ANY"}"#, r#"{"request": "PTRACE_SEIZE", "target_pid": "NONE"}"#,
        ("0x4206, $c, 0, 0", r#"{"request": "PTRACE_SEIZE", "target_pid": "CHILD"}"#)),
    ("process_vm_readv", libc::SYS_process_vm_readv, "$t, $local, 1, $remote, 1, 0", "1", "$n, $local, 1, $remote, 1, 0", libc::ESRCH,
        r#"{"target_pid": "ANY"}"#, r#"{"target_pid": "NONE"}"#, ("$c, $local, 1, $remote, 1, 0", r#"{"target_pid": "CHILD"}"#)),
    ("process_vm_writev", libc::SYS_process_vm_writev, "$t, $local, 1, $remote, 1, 0", "1", "$n, $local, 1, $remote, 1, 0", libc::ESRCH,
        r#"{"target_pid": "ANY"}"#, r#"{"target_pid": "NONE"}"#, ("$c, $local, 1, $remote, 1, 0", r#"{"target_pid": "CHILD"}"#)),
];

#[rustfmt::skip]
const BPFS: &[Case] = &[
    ("bpf", libc::SYS_bpf, "0, pack('L7 A16 x64', 2, 4, 8, 1, 0, 0, 0, \"counts\\0\"), 48", "call(3, $told)", "5, pack('L12 A16 x64', 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \"bad\\0\"), 64", libc::EFAULT,
        r#"{"command": "BPF_MAP_CREATE", "type": "BPF_MAP_TYPE_ARRAY", "name": "counts"}"#,
        r#"{"command": "BPF_PROG_LOAD", "type": "BPF_PROG_TYPE_XDP", "name": "bad"}"#, SAME),
];

#[rustfmt::skip]
const MODULES: &[Case] = &[
    ("init_module", libc::SYS_init_module, "", "1", "0, 0, 'x=1'", libc::ENOEXEC, "", r#"{"length": 0, "params": "x=1"}"#,
        ("0, 0, 'x=1'", r#"{"length": 0, "params": "x=1"}"#)),
    ("finit_module", libc::SYS_finit_module, "", "1", "$f, 'x=1', 64", libc::EINVAL, "",
        r#"{"fname": "/dev/null", "params": "x=1", "flags": ["0x40"]}"#,
        ("$f, 'y', 1", r#"{"fname": "/dev/null", "params": "y", "flags": ["MODULE_INIT_IGNORE_MODVERSIONS"]}"#)),
    ("delete_module", libc::SYS_delete_module, "", "1", "'no_such', 2048", libc::ENOENT, "",
        r#"{"name": "no_such", "flags": ["O_NONBLOCK"]}"#, ("'no_such', 0", r#"{"name": "no_such", "flags": []}"#)),
];

#[rustfmt::skip]
const MEMFDS: &[Case] = &[
    ("memfd_create", libc::SYS_memfd_create, "'work', 3", "call(3, $told)", "'work', 1024", libc::EINVAL,
        r#"{"fname": "/memfd:work (deleted)", "name": "work", "flags": ["MFD_CLOEXEC", "MFD_ALLOW_SEALING"]}"#,
        r#"{"name": "work", "flags": ["0x400"]}"#, EVERYBODY),
];

/// Ids of who may not are as they were before; the saved one leads back.
#[rustfmt::skip]
const IDS: &[Case] = &[
    ("setreuid", libc::SYS_setreuid, "0, -1", "1", "0, -1", 0, r#"{"asked_ruid": 0, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 0}"#, "",
        ("1234, -1", r#"{"asked_ruid": 1234, "ruid": 9999, "euid": 9999, "suid": 0, "fsuid": 9999}"#)),
    ("setregid", libc::SYS_setregid, "7, -1", "1", "7, -1", 0, r#"{"asked_rgid": 7, "rgid": 7, "egid": 0, "sgid": 0, "fsgid": 0}"#, "",
        ("-1, 1234", r#"{"asked_egid": 1234, "rgid": 7, "egid": 0, "sgid": 0, "fsgid": 0}"#)),
    ("setresgid", libc::SYS_setresgid, "7, 8, 9", "1", "7, 8, 9", 0,
        r#"{"asked_rgid": 7, "asked_egid": 8, "asked_sgid": 9, "rgid": 7, "egid": 8, "sgid": 9, "fsgid": 8}"#, "",
        ("7, 1234, -1", r#"{"asked_rgid": 7, "asked_egid": 1234, "rgid": 7, "egid": 8, "sgid": 9, "fsgid": 8}"#)),
    ("setgroups", libc::SYS_setgroups, "0, 0", "1", "65537, 0", libc::EINVAL, r#"{"asked_groups": 0}"#, r#"{"asked_groups": 65537}"#, SAME),
    ("setgid", libc::SYS_setgid, "9", "1", "9", 0, r#"{"asked_gid": 9, "rgid": 9, "egid": 9, "sgid": 9, "fsgid": 9}"#, "",
        ("1234", r#"{"asked_gid": 1234, "rgid": 9, "egid": 9, "sgid": 9, "fsgid": 9}"#)),
    ("setfsgid", libc::SYS_setfsgid, "5", "1", "5", 0, r#"{"asked_fsgid": 5, "rgid": 0, "egid": 0, "sgid": 0, "fsgid": 5}"#, "", EVERYBODY),
    ("setresuid", libc::SYS_setresuid, "0, -1, 0", "1", "0, -1, 0", 0,
        r#"{"asked_ruid": 0, "asked_suid": 0, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 0}"#, "",
        ("-1, -1, 4321", r#"{"asked_suid": 4321, "ruid": 9999, "euid": 9999, "suid": 0, "fsuid": 9999}"#)),
    ("setfsuid", libc::SYS_setfsuid, "5", "1", "5", 0, r#"{"asked_fsuid": 5, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 5}"#, "", EVERYBODY),
    ("setuid", libc::SYS_setuid, "0", "1", "0", 0, r#"{"asked_uid": 0, "ruid": 0, "euid": 0, "suid": 0, "fsuid": 0}"#, "",
        ("1234", r#"{"asked_uid": 1234, "ruid": 9999, "euid": 9999, "suid": 0, "fsuid": 9999}"#)),
    // Of what is given away none comes back.
    ("capset", libc::SYS_capset, "pack('L2', 0x20080522, 0), pack('L6', 3, 3)", "1", "pack('L2', 0x20080522, 0), pack('L6', 7, 7)", libc::EPERM,
        r#"{"capabilities": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]}"#, r#"{"capabilities": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"]}"#, EVERYBODY),
];

#[rustfmt::skip]
const KILLS: &[Case] = &[
    ("kill", libc::SYS_kill, "$c, 28", "1", "$n, 9", libc::ESRCH, r#"{"target_pid": "CHILD", "signal": 28}"#, r#"{"target_pid": "NONE", "signal": 9}"#, SAME),
    ("tkill", libc::SYS_tkill, "$c, 28", "1", "$n, 9", libc::ESRCH, r#"{"target_tid": "CHILD", "signal": 28}"#, r#"{"target_tid": "NONE", "signal": 9}"#, SAME),
    ("tgkill", libc::SYS_tgkill, "$c, $c, 28", "1", "$n, $n, 9", libc::ESRCH,
        r#"{"target_pid": "CHILD", "target_tid": "CHILD", "signal": 28}"#, r#"{"target_pid": "NONE", "target_tid": "NONE", "signal": 9}"#, SAME),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo, "$c, 28, pack('L2l x128', 28, 0, -1)", "1", "$n, 9, pack('L2l x128', 9, 0, -1)", libc::ESRCH,
        r#"{"target_pid": "CHILD", "signal": 28}"#, r#"{"target_pid": "NONE", "signal": 9}"#, SAME),
    ("rt_tgsigqueueinfo", libc::SYS_rt_tgsigqueueinfo, "$c, $c, 28, pack('L2l x128', 28, 0, -1)", "1", "$n, $n, 9, pack('L2l x128', 9, 0, -1)", libc::ESRCH,
        r#"{"target_pid": "CHILD", "target_tid": "CHILD", "signal": 28}"#, r#"{"target_pid": "NONE", "target_tid": "NONE", "signal": 9}"#, SAME),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal, "$p, 28, 0, 0", "1", "$p, 28, 0, 64", libc::EINVAL,
        r#"{"target_pid": "CHILD", "signal": 28, "flags": []}"#, r#"{"target_pid": "CHILD", "signal": 28, "flags": ["0x40"]}"#, SAME),
];

/// What is done so often: `make` makes a call of arguments, `turn_into` makes another user of the caller.
fn script(case: &Case, make: &dyn Fn(&str) -> String, turn_into: &dyn Fn(u32) -> String) -> String {
    let (_, _, good, after, bad, .., denied) = *case;
    let once = |arguments: &str| if arguments.is_empty() { "1".to_owned() } else { make(arguments) };
    let may_not = match denied {
        EVERYBODY => String::new(),
        SAME => format!("{}; {}; {};", turn_into(NOBODY), once(good), turn_into(0)),
        (arguments, _) => format!("{}; {}; {};", turn_into(NOBODY), once(arguments), turn_into(0)),
    };
    format!("for (1..{TIMES}) {{ $told = {}; {after}; {}; {may_not} }}", once(good), once(bad))
}

fn each(kind: Kind, cases: &[Case]) -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    for case in cases {
        let (call, number, ..) = case;
        let native = script(case, &|arguments| format!("call({number}, {arguments})"), &|user| {
            format!("call({}, {user}, {user}, -1)", libc::SYS_setresuid)
        });
        let native = format!("{PRELUDE} {native}");
        let perl = Command::new("perl").arg("-e").arg(native).stdout(std::process::Stdio::piped()).spawn()?;
        let pid = perl.id();
        let output = perl.wait_with_output()?;
        ensure!(output.status.success(), "{call}: {}", output.status);
        let child: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
        kernel.drain();
        check(case, told(&kernel, pid, kind, call, false)?, child).context(*call)?;
        for one in syscalls::named(call).context(*call)?.compat {
            let other = script(case, &|arguments| compat::perl(one, arguments, 0), &|user| {
                format!("call32(208, {user}, {user}, -1)")
            });
            let told_pids = compat::output(std::path::Path::new("/"), PRELUDE, &format!("{COMPAT} {other}"))?;
            let (child, pid) = told_pids.split_once(' ').context("no pids")?;
            kernel.drain();
            check(case, told(&kernel, pid.parse()?, kind, call, true)?, child.parse()?)
                .with_context(|| format!("{call} of a 32-bit program, {one:?}"))?;
        }
    }
    Ok(())
}

/// The records of a call by this process, and as whom it made each.
fn told(kernel: &Kernel, pid: u32, kind: Kind, call: &str, compat: bool) -> anyhow::Result<Vec<(u32, Act)>> {
    let decode = tracers().find(|tracer| tracer.kind == kind).context("no tracer")?.decode;
    let mut found = Vec::new();
    for bytes in kernel.of(pid, kind) {
        let record = decode(&bytes)?;
        let identity = record.identity.context("no identity")?;
        ensure!(identity.compat == compat, "a program of the other kind");
        match record.details {
            Details::Act(act) if act.call == call && !is_other(&act) => found.push((identity.uid, *act)),
            _ => {}
        }
    }
    Ok(found)
}

/// What is undone afterwards, and becoming another user, isn't the call that is looked at.
fn is_other(act: &Act) -> bool {
    let has = |name: &str| act.fields.iter().any(|(found, _)| *found == name);
    let command = act.fields.iter().any(|(name, value)| {
        *name == "command"
            && ![model::ActField::Name("BPF_MAP_CREATE"), model::ActField::Name("BPF_PROG_LOAD")]
                .contains(value)
    });
    let end = act.ret == 0 && act.fields.contains(&("signal", model::ActField::Int(9)));
    command || end || act.call == "setresuid" && has("asked_euid")
}

fn check(case: &Case, told: Vec<(u32, Act)>, child: u32) -> anyhow::Result<()> {
    let (call, _, good, _, _, errno, good_fields, bad_fields, denied) = *case;
    let of = |told: Vec<(u32, Act)>| told.into_iter().map(|(_, act)| act);
    let (may_not, may): (Vec<_>, Vec<_>) = told.into_iter().partition(|(user, _)| *user == NOBODY);
    let (fine, failed): (Vec<Act>, Vec<Act>) = of(may).partition(|act| act.ret >= 0);
    let may_not: Vec<Act> = of(may_not).collect();
    let others = if denied == EVERYBODY { 0 } else { TIMES };
    // Without an errno both are the same call.
    let counts = match (good.is_empty(), errno) {
        (true, _) => (0, TIMES, others),
        (false, 0) => (2 * TIMES, 0, others),
        _ => (TIMES, TIMES, others),
    };
    let found = (fine.len(), failed.len(), may_not.len());
    ensure!(found == counts, "succeeded, failed, denied: {found:?}, {failed:?} {may_not:?}");
    // Some kernels have no modules.
    let no_modules = |act: &Act| call.ends_with("module") && act.ret == -i64::from(libc::ENOSYS);
    let told = |act: &Act| act.ret == -i64::from(errno) || no_modules(act);
    ensure!(failed.iter().all(told), "{failed:?}");
    let told = |act: &Act| act.ret == -i64::from(libc::EPERM) || no_modules(act);
    ensure!(may_not.iter().all(told), "{may_not:?}");
    let denied_fields = if denied == SAME { good_fields } else { denied.1 };
    for (acts, fields) in [(fine, good_fields), (failed, bad_fields), (may_not, denied_fields)] {
        for act in acts {
            compare(call, act, fields, child)?;
        }
    }
    Ok(())
}

fn compare(call: &str, act: Act, fields: &str, child: u32) -> anyhow::Result<()> {
    let mut wanted: Map<String, Value> = serde_json::from_str(fields)?;
    for value in wanted.values_mut() {
        match value.as_str() {
            Some("CHILD") => *value = json!(child),
            Some("ANY") => {
                *value = json!(act.fields.iter().find_map(|(name, value)| match value {
                    model::ActField::Int(pid) if *name == "target_pid" && *pid > 1 => Some(*pid),
                    _ => None,
                }))
            }
            Some("NONE") => *value = json!(4_194_303),
            _ => {}
        }
    }
    let fname = wanted.remove("fname");
    ensure!(act.path.as_ref().map(|path| json!(path.as_str())) == fname, "{act:?}");
    ensure!(act.file.is_some() == fname.is_some(), "{act:?}");
    wanted.insert("call".to_owned(), json!(call));
    if act.ret < 0 {
        wanted
            .insert("errno".to_owned(), json!(format!("{:?}", nix::errno::Errno::from_raw(-act.ret as i32))));
    }
    let mut shown = serde_json::to_value(Extended::new(Details::Act(Box::new(act))))?;
    let map = shown.as_object_mut().context("no object")?;
    for of_file in ["dev", "ino", "generation", "file_type"] {
        map.remove(of_file);
    }
    ensure!(*map == wanted, "{map:?} is not {wanted:?}");
    Ok(())
}
