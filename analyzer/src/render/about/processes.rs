//! Phrases of tracers of processes and of the kernel: `exec`, `clone`, `exit`, `ptrace`, `kill`, `setuid`, `bpf`, `module`,
//! `memfd`.

use super::facts::{Facts, arguments, in_parentheses, shortened};
use super::units::{bytes, counted, duration};

/// Names of the signals 1 to 31, the same on x86-64 and arm64 (asm-generic/signal.h).
const SIGNALS: [&str; 31] = [
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

/// `/usr/bin/dash: sh -c 'exit 3'`
pub(super) fn exec(row: &Facts<'_>) -> Option<String> {
    let memory = if row.is("memfd") { " (a file in memory)" } else { "" };
    let line = arguments(row).filter(|line| !line.is_empty()).map(|line| format!(": {line}"));
    Some(format!("{}{memory}{}", row.path?, line.unwrap_or_default()))
}

/// `new process 812`, `new thread 813 of process 812`, and the namespaces that are made for it.
pub(super) fn clone(row: &Facts<'_>) -> Option<String> {
    let (pid, tid) = (row.unsigned("child_pid")?, row.unsigned("child_tid")?);
    let namespaces: Vec<&str> =
        row.list("flags").into_iter().filter(|flag| flag.starts_with("CLONE_NEW")).collect();
    let namespaces = in_parentheses(&namespaces.join("|"));
    if row.is("thread") {
        return Some(format!("new thread {tid} of process {pid}{namespaces}"));
    }
    Some(format!("new process {pid}{namespaces}"))
}

/// `code 3 after 8.8 ms`, `killed by SIGSEGV (core dumped) after 1.5 s`
pub(super) fn exit(row: &Facts<'_>) -> Option<String> {
    let after = duration(row.unsigned("duration_ns")?);
    let core = if row.is("core_dumped") { " (core dumped)" } else { "" };
    match row.signed("signal")? {
        0 => Some(format!("code {} after {after}", row.unsigned("code")?)),
        number => Some(format!("killed by {}{core} after {after}", signal(number))),
    }
}

/// `PTRACE_ATTACH to process 812`, `read memory of process 812`
pub(super) fn ptrace(row: &Facts<'_>) -> Option<String> {
    let target = row.signed("target_pid")?;
    match row.call()? {
        "process_vm_readv" => Some(format!("read memory of process {target}")),
        "process_vm_writev" => Some(format!("write memory of process {target}")),
        "ptrace" => Some(format!("{} to process {target}", request(row)?)),
        "pidfd_getfd" => {
            let what = row.path.map(|path| format!(": {path}")).unwrap_or_default();
            Some(format!("take descriptor {} of process {target}{what}", row.signed("target_fd")?))
        }
        "process_madvise" => {
            Some(format!("advice {} about memory of process {target}", row.signed("advice")?))
        }
        _ => None,
    }
}

/// The request by its name, else by its number.
fn request(row: &Facts<'_>) -> Option<String> {
    row.text("request").map(str::to_owned).or_else(|| Some(format!("request {}", row.signed("request")?)))
}

/// `SIGTERM to process 812`; the other targets of kill(2): a process group, every process.
pub(super) fn kill(row: &Facts<'_>) -> Option<String> {
    let target = match (row.signed("target_pid"), row.signed("target_tid")) {
        (Some(pid), Some(tid)) => format!("thread {tid} of process {pid}"),
        (None, Some(tid)) => format!("thread {tid}"),
        (Some(-1), None) => "every process it may signal".to_owned(),
        (Some(0), None) => "its own process group".to_owned(),
        (Some(pid), None) if pid < 0 => format!("process group {}", pid.unsigned_abs()),
        (Some(pid), None) => format!("process {pid}"),
        // A pidfd that leads to no process any more.
        (None, None) => "a process that is gone".to_owned(),
    };
    Some(format!("{} to {target}{}", signal(row.signed("signal")?), row.flags("flags")))
}

fn signal(number: i64) -> String {
    let name = usize::try_from(number - 1).ok().and_then(|index| SIGNALS.get(index));
    name.map_or_else(|| format!("signal {number}"), |name| (*name).to_owned())
}

/// `setresuid: user alice`, `setuid: real user alice, effective root, saved root, file system root`,
/// `setuid: asked for root (EPERM)`, `capset: no capabilities`.
pub(super) fn setuid(row: &Facts<'_>) -> Option<String> {
    let call = row.call()?;
    if call == "setgroups" {
        return Some(format!("setgroups: {}", counted(row.unsigned("asked_groups")?, "group")));
    }
    if call == "capset" {
        let capabilities = shortened(&row.list("capabilities"));
        return Some(format!(
            "capset: {}",
            if capabilities.is_empty() { "no capabilities" } else { &capabilities }
        ));
    }
    let user = row.signed("ruid").is_some();
    let name = |id: i64| if user { row.names.user(id) } else { row.names.group(id) };
    if row.text("errno").is_some() {
        let asked = row.fields.iter().filter(|(field, _)| field.starts_with("asked_"));
        let asked: Vec<String> = asked.filter_map(|(_, id)| Some(name(id.as_i64()?))).collect();
        return Some(format!("{call}: asked for {}", asked.join(", ")));
    }
    let fields = if user { ["ruid", "euid", "suid", "fsuid"] } else { ["rgid", "egid", "sgid", "fsgid"] };
    let [real, effective, saved, fs] = fields.map(|field| row.signed(field));
    let (real, effective, saved, fs) = (real?, effective?, saved?, fs?);
    let noun = if user { "user" } else { "group" };
    if [effective, saved, fs] == [real; 3] {
        return Some(format!("{call}: {noun} {}", name(real)));
    }
    let [real, effective, saved, fs] = [real, effective, saved, fs].map(name);
    Some(format!("{call}: real {noun} {real}, effective {effective}, saved {saved}, file system {fs}"))
}

/// `BPF_PROG_LOAD BPF_PROG_TYPE_KPROBE my_prog`
pub(super) fn bpf(row: &Facts<'_>) -> Option<String> {
    let mut words = match row.text("command") {
        Some(command) => command.to_owned(),
        None => format!("command {}", row.signed("command")?),
    };
    for word in [row.text("type"), row.text("name"), row.path].into_iter().flatten() {
        words.push(' ');
        words.push_str(word);
    }
    Some(words)
}

/// `load /lib/modules/x.ko`, `load a module of 21.9 KiB from memory`, `unload x`; parameters after a colon.
pub(super) fn module(row: &Facts<'_>) -> Option<String> {
    let parameters = row.text("params").filter(|text| !text.is_empty());
    let parameters = parameters.map(|text| format!(": {text}")).unwrap_or_default();
    match row.call()? {
        "delete_module" => Some(format!("unload {}", row.text("name")?)),
        "init_module" => {
            Some(format!("load a module of {} from memory{parameters}", bytes(row.unsigned("length")?)))
        }
        "finit_module" => Some(format!("load {}{parameters}", row.path.unwrap_or("a module"))),
        "kexec_load" => Some(format!("load a kernel from memory{}", row.flags("flags"))),
        "kexec_file_load" => {
            let kernel = row.path.unwrap_or("a kernel");
            Some(format!("load kernel {kernel}{parameters}{}", row.flags("flags")))
        }
        _ => None,
    }
}

/// `memfd secret (MFD_CLOEXEC)`
pub(super) fn memfd(row: &Facts<'_>) -> Option<String> {
    Some(format!("memfd {}{}", row.text("name")?, row.flags("flags")))
}
