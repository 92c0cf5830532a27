//! The table of events that tracers can't see, by tracer and tier of hooks. It is shown by `check` and in rows of tracer
//! `manifest`, and a test compares it with `docs/COVERAGE.md`.

use crate::facts::KernelVersion;
use crate::programs::{Program, Tracer};
use crate::syscalls::Syscall;
use crate::tier::Tier;
use crate::tracers::{uring, uring_sock, uring_udp};
use crate::trampoline::Functions;

/// A class of events that is not seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unseen {
    /// The tracers that can't see it.
    pub scope: Scope,
    /// The tiers of hooks with which it is not seen.
    pub tiers: &'static [Tier],
    /// If set, only kernels older than this are affected.
    pub before: Option<KernelVersion>,
    /// Description of the events, as a noun phrase that follows "not seen:".
    pub what: &'static str,
}

/// The tracers that a line of the table applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Applies to every tracer.
    All,
    /// Applies to tracers with hooks at the ends of system calls.
    Calls,
    /// Applies to tracers with hooks at io_uring.
    Uring,
    /// Applies to the tracers of these names.
    Of(&'static [&'static str]),
}

const fn always(scope: Scope, what: &'static str) -> Unseen {
    Unseen { scope, tiers: &Tier::ALL, before: None, what }
}

const fn by_trampolines(what: &'static str) -> Unseen {
    Unseen { scope: Scope::Calls, tiers: &[Tier::Function], before: None, what }
}

/// All classes of events that are not seen.
pub(crate) const TABLE: &[Unseen] = &[
    always(Scope::All, "what the agent itself does"),
    always(
        Scope::All,
        "changes of the machine's clock (clock_settime, settimeofday, adjtimex) and use of \
         perf_event_open: no tracer records these calls",
    ),
    always(
        Scope::All,
        "the kernel's keys (add_key, request_key, keyctl): they hold passwords and tickets, which belong \
         to no file, and an audit rule records their use; two processes can exchange data by them, up to 1 \
         MiB for each key",
    ),
    always(
        Scope::Calls,
        "what the kernel does on its own, outside of system calls (NFS server, overlay and loop \
         devices, swap, core dumps)",
    ),
    always(
        Scope::Calls,
        "calls of the x32 ABI, if the kernel supports it (Debian's kernel: only if booted with \
         syscall.x32=y)",
    ),
    always(
        Scope::Calls,
        "calls that a debugger cancels: when they return, the number of the call is no longer known",
    ),
    always(
        Scope::All,
        "which subvolume of btrfs a file is in, if btrfs is a module that was loaded after the programs: the row has \
         `subvolume_unknown`, and files of several subvolumes can have the same identity",
    ),
    always(
        Scope::All,
        "the device that stat shows for a file on an overlay whose layers are on several file systems: `dev` is that \
         of the overlay, and two files of different layers can have the same `dev`, `ino` and `generation`; \
         `real_dev`, `real_ino` and `real_generation` distinguish them",
    ),
    by_trampolines("calls that seccomp refuses: they never reach the hooked function"),
    Unseen {
        scope: Scope::Calls,
        tiers: &[Tier::Tracepoint, Tier::Kprobe],
        before: None,
        what: "whether a call was done that a filter of seccomp answered in the kernel's place: the row has \
               the filter's result, and is `unverified` only if the filter has a supervisor (user \
               notification), who still listens when the call ends, or leaves the call to a handler of SIGSYS",
    },
    Unseen {
        scope: Scope::Uring,
        tiers: &Tier::ALL,
        before: Some(KernelVersion { major: 6, minor: 0 }),
        what: "what is done through io_uring: before Linux 6.0 the tracepoint of io_uring does not say \
               which request a result belongs to",
    },
    always(
        Scope::Uring,
        "results of io_uring's multishot requests, except the last one: the tracepoint of io_uring does \
         not say which request the others belong to",
    ),
    always(
        Scope::Uring,
        "results of io_uring's requests that post no completion, if the kernel uses the request's memory \
         again, or the ring is closed, before the agent has found the result: the row then has \
         `result_unknown`; requests for datagrams, and for files that an earlier request of their chain \
         opened, are lost and counted",
    ),
    always(
        Scope::Uring,
        "the user whose rights a request of io_uring had, if the program has registered another user's \
         credentials (IORING_REGISTER_PERSONALITY): the row may have the ids of the process",
    ),
    Unseen {
        scope: Scope::Uring,
        tiers: &[Tier::Function],
        before: Some(KernelVersion { major: 6, minor: 12 }),
        what: "some requests of io_uring that post no completion and neither open files nor change names: \
               before Linux 6.12 direct I/O of a ring with a polling thread \
               (IORING_SETUP_SQPOLL), and requests whose completion queue is full",
    },
    Unseen {
        scope: Scope::Uring,
        tiers: &[Tier::Tracepoint, Tier::Kprobe],
        before: Some(KernelVersion { major: 6, minor: 12 }),
        what: "some requests of io_uring that post no completion: before Linux 6.12 those of a ring with a polling \
               thread (IORING_SETUP_SQPOLL), and those whose completion queue is full",
    },
    always(
        Scope::Of(&["open"]),
        "files opened by other calls (open_tree: see `mount`; mq_open: see `ipc`; executed files: see \
         `exec`; terminals by ioctl with TIOCGPTPEER)",
    ),
    always(
        Scope::Of(&["truncate"]),
        "files that are truncated when they are opened: their rows of `open` have the flag O_TRUNC",
    ),
    always(
        Scope::Of(&["mkdir", "unlink", "usage"]),
        "what a file system does by a request of its own: subvolumes and snapshots of btrfs that are made or removed, files \
         that exchange their content (XFS_IOC_EXCHANGE_RANGE, EXT4_IOC_MOVE_EXT)",
    ),
    always(Scope::Of(&["attr"]), "changes made by ioctl (chattr) or file_setattr"),
    always(
        Scope::Of(&["mount"]),
        "mounts that exist but are not attached to the file tree yet (fsopen, fsconfig, fsmount), and which options of \
         a mounted file system fsconfig changes later: the row names only the file system",
    ),
    always(
        Scope::Of(&["usage"]),
        "which bytes of a mapping are accessed: each mapping counts as one call, with all the bytes \
         that it maps",
    ),
    always(
        Scope::Of(&["usage"]),
        "mappings created or changed by other calls than mmap: those of a program and its loader \
         (exec), those made longer (mremap), those given another protection (mprotect)",
    ),
    always(
        Scope::Of(&["usage"]),
        "memory without a file that a process shares with those it makes: anonymous mappings (MAP_SHARED), and all memory \
         of a child made with CLONE_VM",
    ),
    always(
        Scope::Of(&["usage"]),
        "what a program learns of folders (getdents), of symbolic links (readlink) and of a file's attributes (stat)",
    ),
    always(
        Scope::Of(&["usage"]),
        "files of kinds that `ebpf.usage_files` does not list (by default character devices, such as terminals), and \
         files of no kind (eventfd, inotify, timers): what these give are numbers and events",
    ),
    always(
        Scope::Of(&["usage"]),
        "that a file, or a folder above it, was renamed between two rows while a process had it open: the row has the \
         path of the first use",
    ),
    always(
        Scope::Of(&["usage"]),
        "results of libaio that a program takes from the ring in its own memory, without a system \
         call",
    ),
    always(
        Scope::Of(&["accept"]),
        "the inode number of the peer, if it is a unix socket that was closed before its connection was \
         accepted and was not among the last 4,096 that connected",
    ),
    always(Scope::Of(&["udp", "dns"]), "datagrams sent or received by splice or sendfile"),
    Unseen {
        scope: Scope::Of(&["udp"]),
        tiers: &[Tier::Tracepoint, Tier::Kprobe],
        before: None,
        what: "how many datagrams the kernel has put together (UDP_GRO) for a program that does not ask for \
               their size: they count as one",
    },
    always(
        Scope::Of(&["dns"]),
        "names resolved by other means than datagrams to and from port 53 (over TCP, TLS, HTTPS or \
         multicast, or by asking a resolver on its unix socket)",
    ),
    always(
        Scope::Of(&["udp"]),
        "frames that go through memory which a program shares with the kernel (PACKET_MMAP, AF_XDP), and \
         datagrams of other families than IPv4, IPv6, unix and packet (netlink, vsock)",
    ),
    always(Scope::Of(&["connect", "accept", "bind"]), "sockets of netlink, TIPC, Bluetooth and CAN"),
    always(
        Scope::Of(&["connect"]),
        "the outcome of a connection of vsock or SCTP whose caller does not wait for it",
    ),
    always(
        Scope::Of(&["connect"]),
        "associations of SCTP that begin with a message to a new address, or by sctp_connectx",
    ),
    always(Scope::Of(&["bind"]), "addresses that a socket of SCTP gets by sctp_bindx"),
    always(
        Scope::Of(&["udp"]),
        "whether a message of SCTP is a notification by the kernel, or only a part of a long one: each \
         counts as one",
    ),
    always(Scope::Of(&["accept"]), "addresses of vsock connections"),
    always(Scope::Of(&["connect"]), "outcomes of connections that began before the tracer was attached"),
    always(
        Scope::Of(&["close"]),
        "the end of connections that were made before the tracer was attached, of all connections of unix, \
         vsock and SCTP sockets, and of accepted MPTCP connections",
    ),
    always(
        Scope::Of(&["exec"]),
        "which of the two exec calls (the one with a descriptor or the one without) ran a program \
         that was named by its path alone",
    ),
    always(
        Scope::Of(&["exec"]),
        "the resolved path of a script, if the process has used io_uring or the exec closes more than \
         4,096 files: the row has the requested path, marked `path_unresolved`, and the script's file \
         identity",
    ),
    Unseen {
        scope: Scope::Of(&["exec"]),
        tiers: &[Tier::Tracepoint, Tier::Kprobe],
        before: Some(KernelVersion { major: 6, minor: 10 }),
        what: "with certainty, which file a script was: before Linux 6.10 the row is `unverified`, because \
               a process that has used io_uring can make the row name the program that the process ran \
               before",
    },
    always(Scope::Of(&["clone"]), "calls that failed to make a process or a thread"),
    always(Scope::Of(&["exit"]), "exits of single threads while the process continues"),
    always(
        Scope::Of(&["kill", "ptrace"]),
        "which process the target is, if it has ended and was waited for before the call returns, and the \
         caller is in a pid namespace and the target in a pid namespace below that one: `target_pid` is then the target's pid in the caller's namespace, as \
         `target_tid` always is",
    ),
    always(
        Scope::Of(&["kill"]),
        "signals that the kernel sends by itself (faults, timers, terminals, pipes), also where a program has arranged \
         for that: by F_SETOWN, PR_SET_PDEATHSIG, the signal that a child ends with, or a write to a file of its control group",
    ),
    always(
        Scope::Of(&["ptrace"]),
        "memory of other processes that is read or written through /proc/PID/mem: the tracers `open` and \
         `usage` record that, and the default filter does not drop it",
    ),
    always(
        Scope::Of(&["ptrace"]),
        "page protection that a process changes in its own memory (mprotect, mremap), which happens \
         for each library at each start of a program",
    ),
    always(
        Scope::Of(&["attr"]),
        "reading of extended attributes (getxattr): every `ls -l` does it, and it changes nothing",
    ),
    always(Scope::Of(&["memfd"]), "memory made by memfd_secret"),
    always(
        Scope::Of(&["namespace"]),
        "namespaces that clone makes (rows of `clone` have the flags), and roots that pivot_root changes \
         (rows of `mount` have the call)",
    ),
    always(
        Scope::Of(&["ipc"]),
        "which bytes of shared memory are accessed, and that exec or exit detaches a segment: a process \
         that attached a segment may read it, and write it unless the row has SHM_RDONLY",
    ),
    always(Scope::Of(&["ipc"]), "semaphores, which carry no data"),
    always(
        Scope::Of(&["setuid"]),
        "ids and capabilities that a process gets by executing a program that confers them (rows of \
         `exec` have the new ids), by entering a user namespace (unshare, setns) or by prctl",
    ),
];

impl Unseen {
    /// Returns whether the line applies to a tracer with hooks of this tier on this kernel.
    fn holds(&self, tracer: &Tracer, tier: Tier, kernel: Option<KernelVersion>) -> bool {
        let old = |before| kernel.is_some_and(|kernel| kernel < before);
        self.tiers.contains(&tier) && self.before.is_none_or(old) && self.scope.is(tracer)
    }
}

impl Scope {
    /// Returns whether the tracer is among them.
    pub(crate) fn is(self, tracer: &Tracer) -> bool {
        match self {
            Self::All => true,
            Self::Calls => tracer.programs.iter().any(|program| !program.calls().is_empty()),
            Self::Uring => {
                let complete = [uring::COMPLETE, uring_sock::COMPLETE, uring_udp::COMPLETE];
                tracer.programs.iter().any(|one| complete.contains(one))
            }
            Self::Of(names) => names.contains(&tracer.name),
        }
    }
}

/// Returns the events a tracer can't see with hooks of this tier on the running kernel. `functions` are the kernel's
/// functions of system calls, for tier function; `is_recorded` says which calls other functions record.
pub(crate) fn unseen(
    tracer: &Tracer,
    tier: Tier,
    functions: Option<&Functions>,
    is_recorded: impl Fn(&Syscall) -> bool,
) -> Vec<String> {
    let kernel = KernelVersion::running();
    let of_table = TABLE.iter().filter(|one| one.holds(tracer, tier, kernel)).map(|one| one.what.to_owned());
    of_table.chain(functions.and_then(|functions| without_function(tracer, functions, is_recorded))).collect()
}

/// Lists the calls for which this kernel has no function to attach a trampoline to, because it lacks or has renamed it.
fn without_function(
    tracer: &Tracer,
    functions: &Functions,
    is_recorded: impl Fn(&Syscall) -> bool,
) -> Option<String> {
    let lacks =
        |call: &&Syscall| call.number.is_some() && !is_recorded(call) && functions.of(call).is_empty();
    let calls = tracer.programs.iter().flat_map(Program::calls).filter(lacks);
    let names: Vec<&str> = calls.map(|call| call.name).collect();
    let what = format!("calls for which this kernel has no function of the usual name: {}", names.join(", "));
    (!names.is_empty()).then_some(what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tracers;

    fn listed(name: &str, tier: Tier, kernel: (u32, u32)) -> Vec<&'static str> {
        let tracer = tracers().find(|tracer| tracer.name == name).unwrap();
        let kernel = Some(KernelVersion { major: kernel.0, minor: kernel.1 });
        TABLE.iter().filter(|one| one.holds(tracer, tier, kernel)).map(|one| one.what).collect()
    }

    #[test]
    fn what_is_listed_depends_on_tracer_tier_and_kernel() {
        let has = |listed: Vec<&str>, words: &str| listed.iter().any(|line| line.contains(words));
        assert!(has(listed("open", Tier::Function, (6, 1)), "seccomp refuses"));
        assert!(!has(listed("open", Tier::Tracepoint, (6, 1)), "seccomp refuses"));
        assert!(has(listed("open", Tier::Tracepoint, (6, 1)), "seccomp answered"));
        assert!(!has(listed("open", Tier::Function, (6, 1)), "seccomp answered"));
        assert!(has(listed("open", Tier::Kprobe, (5, 15)), "before Linux 6.0"));
        assert!(!has(listed("open", Tier::Kprobe, (6, 0)), "before Linux 6.0"));
        assert!(has(listed("usage", Tier::Tracepoint, (6, 1)), "libaio"));
        assert!(!has(listed("exit", Tier::Function, (6, 1)), "seccomp refuses"));
    }

    #[test]
    fn every_line_is_true_of_some_tracer() {
        for one in TABLE {
            assert!(tracers().any(|tracer| one.scope.is(tracer)), "{}", one.what);
            let Scope::Of(names) = one.scope else { continue };
            assert!(names.iter().all(|name| tracers().any(|tracer| tracer.name == *name)), "{names:?}");
        }
    }

    #[test]
    fn no_call_that_is_traced_is_listed_as_unseen() {
        for one in TABLE {
            let Scope::Of(names) = one.scope else { continue };
            let words: Vec<&str> =
                one.what.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
            let of = tracers().filter(|tracer| names.contains(&tracer.name));
            let mut traced =
                of.flat_map(|tracer| tracer.programs).flat_map(Program::calls).map(|call| call.name);
            let wrong = traced.find(|call| *call != "mmap" && words.contains(call));
            assert_eq!(wrong, None, "{}", one.what);
        }
    }

    #[test]
    fn the_documentation_says_the_same() {
        let lines = TABLE.iter().map(|one| {
            let tracers = match one.scope {
                Scope::All => "all".to_owned(),
                Scope::Calls => "all with hooks at system calls".to_owned(),
                Scope::Uring => "all with hooks at io_uring".to_owned(),
                Scope::Of(names) => names.join(", "),
            };
            let tiers: Vec<&str> = one.tiers.iter().map(|tier| tier.name()).collect();
            let tiers = if one.tiers == Tier::ALL { "any".to_owned() } else { tiers.join(", ") };
            format!("| {tracers} | {tiers} | {} |\n", one.what)
        });
        let expected: String = lines.collect();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COVERAGE.md");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&expected), "{path} should have:\n{expected}");
    }
}
