//! Tracers `ptrace`, `bpf`, `module`, `memfd`, `setuid`, `kill`, `namespace`, `ipc`. Each call of a table is made 23 times so that
//! it succeeds, 23 times so that it fails and 23 times without permission, by a 64-bit program and by a 32-bit
//! one; each field is compared.

#[path = "acts_cases.rs"]
mod cases;
#[path = "objects_cases.rs"]
mod objects;

use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::{self, Kind};
use model::{Act, Details};
use serde_json::{Map, Value, json};

use cases::{BPFS, Case, Denied, IDS, KILLS, MEMFDS, MODULES, PTRACES};
use objects::{IPCS, NAMESPACES, OBJECTS};

use crate::compat;
use crate::support::{self, Kernel, decode};
use crate::{TIMES, Test, filters};

pub const TESTS: &[Test] = &[
    ("ptrace_each_call", || each(Kind::Ptrace, PTRACES)),
    ("bpf_each_call", || each(Kind::Bpf, BPFS)),
    ("module_each_call", || each(Kind::Module, MODULES)),
    ("memfd_each_call", || each(Kind::Memfd, MEMFDS)),
    ("setuid_each_call", || each(Kind::Setuid, IDS)),
    ("kill_each_call", || each(Kind::Kill, KILLS)),
    ("namespace_each_call", || each(Kind::Namespace, NAMESPACES)),
    ("ipc_each_call", || each(Kind::Ipc, IPCS)),
];

const NOBODY: u32 = 9999;

const PRELUDE: &str = r#"
$buf = 'x' x 8; $local = $remote = pack('PQ', $buf, 8);
$^F = 1000; sub another { $k = fork; unless ($k) { sleep 1000 while 1 } $k } sub call { my @a = @_; my $result = syscall(shift @a, @a); $result } $n = 4194303;
open(F, '<', '/dev/null'); $f = fileno F; $c = fork; unless ($c) { sleep 1000 while 1 } print "$c "; $t = $c;
END { local $?; if ($c) { kill 9, $c; waitpid $c, 0; } }
open(N, '<', '/proc/self/ns/uts'); $u = fileno N; $p = call(434, $c, 0); call(72, $p, 2, 0); $zero = "\0" x 64;
"#;

/// In the 32-bit program memory is copied from and to itself: it could not address the memory of any other
/// process.
const COMPAT: &str = "$local = ['xxxxxxxx', 8]; $remote = [0x20000000, 8]; $t = $pid32; *attach = sub { call32(397, $m, 0, 0) };";

/// Writes the loop: `make` writes a call with the arguments, `become_user` a change of the caller's user.
fn script(case: &Case, make: &dyn Fn(&str) -> String, become_user: &dyn Fn(u32) -> String) -> String {
    let Case { good, after, bad, denied, .. } = *case;
    let once = |arguments: &str| if arguments.is_empty() { "1".to_owned() } else { make(arguments) };
    let may_not = match denied {
        Denied::Never => String::new(),
        Denied::AsGood => format!("{}; {}; {};", become_user(NOBODY), once(good), become_user(0)),
        Denied::With { arguments, .. } => {
            format!("{}; {}; {};", become_user(NOBODY), once(arguments), become_user(0))
        }
    };
    format!("for (1..{TIMES}) {{ $result = {}; {after}; {}; {may_not} }}", once(good), once(bad))
}

fn each(kind: Kind, cases: &[Case]) -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    for case in cases {
        let Case { call, number, .. } = *case;
        let native = script(case, &|arguments| format!("call({number}, {arguments})"), &|user| {
            format!("call({}, {user}, {user}, -1)", libc::SYS_setresuid)
        });
        let prelude = if kind == Kind::Ipc { [PRELUDE, OBJECTS].concat() } else { PRELUDE.to_owned() };
        let native = format!("{prelude} {native}");
        let run = || {
            let mut perl = Command::new("perl");
            let perl = perl.arg("-e").arg(&native).stdout(std::process::Stdio::piped()).spawn()?;
            let pid = perl.id();
            let output = perl.wait_with_output()?;
            ensure!(output.status.success(), "{call}: {}", output.status);
            Ok((pid, String::from_utf8(output.stdout)?.trim().parse()?))
        };
        let (pid, child): (u32, u32) = run()?;
        kernel.drain();
        check(case, kind, reported(&kernel, pid, kind, call, false)?, child).context(call)?;
        filters::reach(&mut kernel, kind, || Ok(run()?.0)).context(call)?;
        for one in &testing::compat(call).context(call)? {
            let other = script(case, &|arguments| compat::perl(one, arguments, 0), &|user| {
                format!("call32(208, {user}, {user}, -1)")
            });
            let output = compat::output(std::path::Path::new("/"), &prelude, &format!("{COMPAT} {other}"))?;
            let (child, pid) = output.split_once(' ').context("no pids")?;
            kernel.drain();
            check(case, kind, reported(&kernel, pid.parse()?, kind, call, true)?, child.parse()?)
                .with_context(|| format!("{call} of a 32-bit program, {one:?}"))?;
        }
    }
    Ok(())
}

/// Returns the records of a call by this process, with the user who made each.
fn reported(
    kernel: &Kernel,
    pid: u32,
    kind: Kind,
    call: &str,
    compat: bool,
) -> anyhow::Result<Vec<(u32, Act)>> {
    let mut found = Vec::new();
    for bytes in kernel.of(pid, kind) {
        let record = decode(kind, &bytes)?;
        let identity = record.identity.context("no identity")?;
        ensure!(identity.compat == compat, "a program of the other kind");
        match record.details {
            Details::Act(act) if act.call == call && !is_other(&act) => found.push((identity.uid, *act)),
            _ => {}
        }
    }
    Ok(found)
}

/// True for calls that only prepare or undo: cleanup, and becoming another user.
fn is_other(act: &Act) -> bool {
    let has = |name: &str| act.fields.iter().any(|(found, _)| *found == name);
    let command = act.fields.iter().any(|(name, value)| {
        *name == "command"
            && ![model::ActField::Name("BPF_MAP_CREATE"), model::ActField::Name("BPF_PROG_LOAD")]
                .contains(value)
    });
    let end = act.ret == 0 && act.fields.contains(&("signal", model::ActField::Int(9)));
    let held = act.fields.contains(&("name", model::ActField::Text(model::Text::from_bytes(b"held"))));
    command && act.call == "bpf" || held || end || act.call == "setresuid" && has("asked_euid")
}

/// Fields with values that are not known beforehand; other tests compare them.
const VARIES: [&str; 14] = [
    "dev",
    "ino",
    "generation",
    "file_type",
    "address",
    "namespace",
    "ipc_id",
    "ipc_ns",
    "user_ns",
    "uts_ns",
    "cgroup_ns",
    "pid_ns_for_children",
    "time_ns_for_children",
    "target_exec_id",
];

fn check(case: &Case, kind: Kind, reported: Vec<(u32, Act)>, child: u32) -> anyhow::Result<()> {
    let Case { call, good, errno, good_fields, bad_fields, denied, .. } = *case;
    let of = |reported: Vec<(u32, Act)>| reported.into_iter().map(|(_, act)| act);
    let (may_not, may): (Vec<_>, Vec<_>) = reported.into_iter().partition(|(user, _)| *user == NOBODY);
    let (fine, failed): (Vec<Act>, Vec<Act>) = of(may).partition(|act| act.ret >= 0);
    let may_not: Vec<Act> = of(may_not).collect();
    let others = if denied == Denied::Never { 0 } else { TIMES };
    // With errno 0 the second call succeeds too.
    let counts = match (good.is_empty(), errno) {
        (true, _) => (0, TIMES, others),
        (false, 0) => (2 * TIMES, 0, others),
        _ => (TIMES, TIMES, others),
    };
    let found = (fine.len(), failed.len(), may_not.len());
    ensure!(found == counts, "succeeded, failed, denied: {found:?}, {failed:?} {may_not:?}");
    // Some kernels have no modules, or no kexec.
    let no_modules = |act: &Act| {
        (call.ends_with("module") || call.starts_with("kexec")) && act.ret == -i64::from(libc::ENOSYS)
    };
    let is_expected = |act: &Act| act.ret == -i64::from(errno) || no_modules(act);
    ensure!(failed.iter().all(is_expected), "{failed:?}");
    let is_expected = |act: &Act| act.ret == -i64::from(libc::EPERM) || no_modules(act);
    ensure!(may_not.iter().all(is_expected), "{may_not:?}");
    let denied_fields = match denied {
        Denied::With { fields, .. } => fields,
        _ => good_fields,
    };
    for (acts, fields) in [(fine, good_fields), (failed, bad_fields), (may_not, denied_fields)] {
        for act in acts {
            compare(case, kind, act, fields, child)?;
        }
    }
    Ok(())
}

fn compare(case: &Case, kind: Kind, act: Act, fields: &str, child: u32) -> anyhow::Result<()> {
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
    ensure!(act.path.as_ref().map(|path| json!(path.to_str())) == fname, "{act:?}");
    ensure!(act.file.is_some() == fname.is_some(), "{act:?}");
    wanted.insert("call".to_owned(), json!(case.call));
    if act.ret < 0 {
        wanted
            .insert("errno".to_owned(), json!(format!("{:?}", nix::errno::Errno::from_raw(-act.ret as i32))));
    }
    let mut shown = support::fields(kind, Details::Act(Box::new(act)))?;
    shown.retain(|name, _| !VARIES.contains(&name.as_str()));
    ensure!(shown == wanted, "{shown:?} is not {wanted:?}");
    Ok(())
}
