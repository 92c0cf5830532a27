//! The table of the fields of `extended`. Users' scripts depend on the names.

use super::Tracers::{self, Kernel, KernelOr, Only, Shell};
use super::about::ABOUT;
use super::arrow::ArrowType::{
    self, Binary, Bool, Int32, Int64, List, LocalTime, TimestampUtc, UInt16, UInt32, UInt64, Utf8,
};

/// A field of `extended` that built-in tracers write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Name of the field.
    pub name: &'static str,
    /// Type in a columnar store.
    pub arrow: ArrowType,
    /// Tracers that write the field.
    pub tracers: Tracers,
    /// The version that wrote the field first.
    pub since: &'static str,
}

impl Field {
    /// Returns the field of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        FIELDS.binary_search_by_key(&name, |field| field.name).ok().map(|at| &FIELDS[at])
    }

    /// Returns a sentence about the value.
    pub fn about(&self) -> &'static str {
        ABOUT.binary_search_by_key(&self.name, |(name, _)| name).map_or("", |at| ABOUT[at].1)
    }
}

/// Tracers whose calls may be about a file that is known by its identity.
const FILES: &[&str] = &[
    "attr",
    "exec",
    "ipc",
    "link",
    "memfd",
    "mkdir",
    "module",
    "mount",
    "namespace",
    "open",
    "ptrace",
    "rename",
    "truncate",
    "unlink",
    "usage",
];
/// Tracers that fill the column `fname`.
pub(super) const PATHS: &[&str] = &[
    "accept",
    "attr",
    "bind",
    "close",
    "connect",
    "exec",
    "ipc",
    "link",
    "memfd",
    "mkdir",
    "module",
    "mount",
    "namespace",
    "open",
    "ptrace",
    "rename",
    "truncate",
    "udp",
    "unlink",
    "usage",
];
/// Tracers that fill the column `ret`.
pub(super) const RESULTS: &[&str] = &[
    "accept",
    "attr",
    "bind",
    "bpf",
    "clone",
    "close",
    "connect",
    "dns",
    "exec",
    "ipc",
    "kill",
    "link",
    "memfd",
    "mkdir",
    "module",
    "mount",
    "namespace",
    "open",
    "ptrace",
    "rename",
    "setuid",
    "truncate",
    "udp",
    "unlink",
];
/// Tracers that trace several system calls.
const CALLS: &[&str] = &[
    "accept",
    "attr",
    "bind",
    "bpf",
    "connect",
    "dns",
    "exec",
    "ipc",
    "kill",
    "link",
    "memfd",
    "mkdir",
    "module",
    "mount",
    "namespace",
    "ptrace",
    "rename",
    "setuid",
    "truncate",
    "udp",
    "unlink",
];
/// Tracers of sockets.
const SOCKETS: &[&str] = &["accept", "bind", "close", "connect", "dns", "udp"];
/// Tracers whose rows may be about a socket.
const SOCKETS_AND_USAGE: &[&str] = &["accept", "bind", "close", "connect", "dns", "udp", "usage"];
/// Tracers whose calls take a path.
const REQUESTED: &[&str] =
    &["attr", "exec", "link", "mkdir", "mount", "open", "rename", "truncate", "unlink"];

/// Tracers whose rows have the path as the caller gave it.
const ASKED: &[&str] =
    &["attr", "exec", "link", "mkdir", "mount", "namespace", "open", "rename", "truncate", "unlink"];

/// Type of a list of texts.
const UTF8S: ArrowType = List(&Utf8);

/// Returns a field of version 0.1.0.
const fn field(name: &'static str, arrow: ArrowType, tracers: Tracers) -> Field {
    Field { name, arrow, tracers, since: "0.1.0" }
}

/// Fields of `extended` that built-in tracers write, ordered by name. Other fields are known only when a row has them.
pub const FIELDS: &[Field] = &[
    field("abi", Utf8, Kernel),
    field("accepted", Bool, Only(&["close"])),
    field("address", UInt64, Only(&["ipc"])),
    field("addresses", UTF8S, Only(&["dns"])),
    field("advice", Int32, Only(&["ptrace"])),
    field("argv", UTF8S, Only(&["exec"])),
    field("argv_bytes", List(&Binary), Only(&["exec"])),
    field("argv_cut", Bool, Only(&["exec"])),
    field("asked_egid", UInt32, Only(&["setuid"])),
    field("asked_euid", UInt32, Only(&["setuid"])),
    field("asked_fsgid", UInt32, Only(&["setuid"])),
    field("asked_fsuid", UInt32, Only(&["setuid"])),
    field("asked_gid", UInt32, Only(&["setuid"])),
    field("asked_groups", UInt64, Only(&["setuid"])),
    field("asked_rgid", UInt32, Only(&["setuid"])),
    field("asked_ruid", UInt32, Only(&["setuid"])),
    field("asked_sgid", UInt32, Only(&["setuid"])),
    field("asked_suid", UInt32, Only(&["setuid"])),
    field("asked_uid", UInt32, Only(&["setuid"])),
    field("at_flags", UTF8S, Only(&["attr"])),
    field("attributes_cleared", UTF8S, Only(&["mount"])),
    field("attributes_set", UTF8S, Only(&["mount"])),
    field("backlog", UInt32, Only(&["bind"])),
    field("bytes", UInt64, Only(&["retention"])),
    field("bytes_mapped", UInt64, Only(&["usage"])),
    field("bytes_read", UInt64, Only(&["usage"])),
    field("bytes_received", UInt64, Only(&["close", "udp"])),
    field("bytes_sent", UInt64, Only(&["close", "udp"])),
    field("bytes_written", UInt64, Only(&["usage"])),
    field("call", Utf8, Only(CALLS)),
    field("calls_mapped", UInt64, Only(&["usage"])),
    field("calls_read", UInt64, Only(&["usage"])),
    field("calls_written", UInt64, Only(&["usage"])),
    field("capabilities", UTF8S, Only(&["setuid"])),
    field("cause", Utf8, Only(&["loss", "retention"])),
    field("cgroup", Utf8, Kernel),
    field("cgroup_id", UInt64, KernelOr("loss")),
    field("cgroup_ns", UInt32, Only(&["namespace"])),
    field("child_exec_id", Utf8, Only(&["clone"])),
    field("child_pid", UInt32, Only(&["clone"])),
    field("child_tid", UInt32, Only(&["clone"])),
    field("code", UInt32, Only(&["exit"])),
    field("comm_bytes", Binary, Kernel),
    field("command", Utf8, Only(&["bpf", "ipc"])),
    field("container_claimed", Utf8, Kernel),
    field("container_image", Utf8, Kernel),
    field("container_name", Utf8, Kernel),
    field("container_runtime", Utf8, Kernel),
    field("core_dumped", Bool, Only(&["exit"])),
    field("cwd_bytes", Binary, Kernel),
    field("daddr", Utf8, Only(SOCKETS)),
    field("datagrams_received", UInt64, Only(&["udp"])),
    field("datagrams_sent", UInt64, Only(&["udp"])),
    field("degraded", UTF8S, Only(&["manifest"])),
    field("dev", UInt64, Only(FILES)),
    field("device", UInt64, Only(&["mkdir"])),
    field("direction", Utf8, Only(&["dns", "udp"])),
    field("dns_id", UInt16, Only(&["dns"])),
    field("dport", UInt16, Only(SOCKETS)),
    field("duration_ns", UInt64, Only(&["close", "exit", "udp"])),
    field("egid", UInt32, Only(&["setuid"])),
    field("errno", Utf8, Only(RESULTS)),
    field("euid", UInt32, Only(&["setuid"])),
    field("exe_bytes", Binary, Kernel),
    field("family", Utf8, Only(SOCKETS)),
    field("file_type", Utf8, Only(FILES)),
    field("first", LocalTime, Only(&["usage"])),
    field("first_time", TimestampUtc, Only(&["usage"])),
    field(
        "flags",
        UTF8S,
        Only(&[
            "attr",
            "clone",
            "exec",
            "ipc",
            "kill",
            "link",
            "memfd",
            "module",
            "mount",
            "namespace",
            "open",
            "rename",
            "truncate",
            "unlink",
            "usage",
        ]),
    ),
    field("fname_bytes", Binary, Only(PATHS)),
    field("from", LocalTime, Only(&["loss", "retention"])),
    field("from_time", TimestampUtc, Only(&["loss", "retention"])),
    field("fs_type", Utf8, Only(&["mount"])),
    field("fsgid", UInt32, Only(&["setuid"])),
    field("fsuid", UInt32, Kernel),
    field("generation", UInt32, Only(FILES)),
    field("handle", Binary, Only(&["open"])),
    field("handle_type", Int32, Only(&["open"])),
    field("hooks", UTF8S, Only(&["manifest"])),
    field("incomplete", Bool, Only(&["dns"])),
    field("ino", UInt64, Only(FILES)),
    field("interface", UInt32, Only(SOCKETS)),
    field("interpreter", Utf8, Only(&["exec"])),
    field("interpreter_bytes", Binary, Only(&["exec"])),
    field("interpreter_dev", UInt64, Only(&["exec"])),
    field("interpreter_ino", UInt64, Only(&["exec"])),
    field("ipc_id", Int32, Only(&["ipc"])),
    field("ipc_key", Int32, Only(&["ipc"])),
    field("ipc_ns", UInt32, Only(&["ipc", "namespace"])),
    field("kernel", Utf8, Only(&["manifest"])),
    field("last", LocalTime, Only(&["usage"])),
    field("last_time", TimestampUtc, Only(&["usage"])),
    field("layer", Utf8, Only(FILES)),
    field("length", Int64, Only(&["attr", "ipc", "module", "truncate"])),
    field("loginuid", UInt32, Kernel),
    field("lost_tracer", Utf8, Only(&["loss"])),
    field("malformed", Bool, Only(&["dns"])),
    field("mapped_from", UInt64, Only(&["usage"])),
    field("mapped_to", UInt64, Only(&["usage"])),
    field("memfd", Bool, Only(&["exec"])),
    field("mnt_ns", UInt32, Kernel),
    field("mode", UInt32, Only(&["attr", "ipc", "mkdir", "open"])),
    field("name", Utf8, Only(&["attr", "bpf", "dns", "ipc", "memfd", "module"])),
    field("namespace", UInt32, Only(&["namespace"])),
    field("net_ns", UInt32, Kernel),
    field("new_gid", UInt32, Only(&["attr"])),
    field("new_path", Utf8, Only(&["link", "mount", "rename"])),
    field("new_path_asked", Utf8, Only(&["link", "mount", "rename"])),
    field("new_uid", UInt32, Only(&["attr"])),
    field("nonblocking", Bool, Only(&["connect"])),
    field("ns_pid", UInt32, Kernel),
    field("offset", Int64, Only(&["truncate"])),
    field("other_bytes", Binary, Only(&["link", "mount", "rename"])),
    field("other_users", Bool, Only(&["loss"])),
    field("output", Utf8, Shell),
    field("params", Utf8, Only(&["module"])),
    field("path_asked", Utf8, Only(ASKED)),
    field("path_asked_bytes", Binary, Only(REQUESTED)),
    field("path_incomplete", Bool, Only(PATHS)),
    field("path_unresolved", Bool, Only(REQUESTED)),
    field("peer_ino", UInt64, Only(SOCKETS_AND_USAGE)),
    field("peer_pid", UInt32, Only(SOCKETS)),
    field("pid_ns", UInt32, Kernel),
    field("pid_ns_for_children", UInt32, Only(&["namespace"])),
    field("place", Utf8, Only(&["loss"])),
    field("pod_uid", Utf8, Kernel),
    field("priority", UInt32, Only(&["ipc"])),
    field("protection", UTF8S, Only(&["usage"])),
    field("protocol", Utf8, Only(SOCKETS)),
    field("put_old", Utf8, Only(&["mount"])),
    field("put_old_asked", Utf8, Only(&["mount"])),
    field("query_type", Utf8, Only(&["dns"])),
    field("rcode", Utf8, Only(&["dns"])),
    field("real_dev", UInt64, Only(FILES)),
    field("real_generation", UInt32, Only(FILES)),
    field("real_ino", UInt64, Only(FILES)),
    field("replaced_dev", UInt64, Only(&["rename"])),
    field("replaced_generation", UInt32, Only(&["rename"])),
    field("replaced_ino", UInt64, Only(&["rename"])),
    field("request", Utf8, Only(&["ptrace"])),
    field("result_unknown", Bool, Kernel),
    field("rgid", UInt32, Only(&["setuid"])),
    field("ruid", UInt32, Kernel),
    field("saddr", Utf8, Only(SOCKETS)),
    field("segment", Utf8, Only(&["retention"])),
    field("segments", UInt64, Only(&["module"])),
    field("sessionid", UInt32, Kernel),
    field("sgid", UInt32, Only(&["setuid"])),
    field("signal", Int32, Only(&["exit", "kill"])),
    field("sink", Utf8, Only(&["loss"])),
    field("size", UInt64, Only(&["ipc"])),
    field("sock_ino", UInt64, Only(SOCKETS_AND_USAGE)),
    field("sock_net_ns", UInt32, Only(SOCKETS_AND_USAGE)),
    field("source", Utf8, Only(&["mount"])),
    field("sport", UInt16, Only(SOCKETS)),
    field("state", Utf8, Only(&["manifest"])),
    field("subvolume_unknown", Bool, Only(FILES)),
    field("suid", UInt32, Only(&["setuid"])),
    field("sun_path", Utf8, Only(SOCKETS)),
    field("sun_path_bytes", Binary, Only(SOCKETS)),
    field("target", Utf8, Only(&["link"])),
    field("target_exec_id", Utf8, Only(&["kill", "namespace", "ptrace"])),
    field("target_fd", Int32, Only(&["ptrace"])),
    field("target_ns_pid", UInt32, Only(&["kill", "ptrace"])),
    field("target_pid", Int32, Only(&["kill", "namespace", "ptrace"])),
    field("target_tid", Int32, Only(&["kill", "ptrace"])),
    field("texts_cut", UTF8S, Kernel),
    field("thread", Bool, Only(&["clone"])),
    field("tier", Utf8, Only(&["manifest"])),
    field("time_ns_for_children", UInt32, Only(&["namespace"])),
    field("to", LocalTime, Only(&["loss", "retention"])),
    field("to_time", TimestampUtc, Only(&["loss", "retention"])),
    field("tracer", Utf8, Only(&["manifest"])),
    field("type", Utf8, Only(&["accept", "bind", "bpf", "close", "connect", "namespace", "udp"])),
    field("umask", UInt32, Only(&["mkdir", "open"])),
    field("unseen", UTF8S, Only(&["manifest"])),
    field("unverified", Bool, Kernel),
    field("user_ns", UInt32, Only(&["namespace"])),
    field("uts_ns", UInt32, Only(&["namespace"])),
    field("via", UTF8S, Kernel),
    field(
        "word_bytes",
        Binary,
        Only(&["attr", "bpf", "ipc", "link", "memfd", "module", "mount", "namespace"]),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_a_description() {
        assert!(FIELDS.iter().map(|field| field.name).eq(ABOUT.iter().map(|(name, _)| *name)));
        assert!(FIELDS.iter().all(|field| field.about().ends_with('.')));
    }

    #[test]
    fn fields_are_ordered_by_name() {
        assert!(FIELDS.is_sorted_by(|one, next| one.name < next.name));
        assert_eq!(Field::named("via").map(|field| field.arrow), Some(UTF8S));
    }
}
