//! What each tracer can't see, and by which hooks: one table for `check`, the `manifest` row and `docs/COVERAGE.md`.

use crate::facts::KernelVersion;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::Syscall;
use crate::tier::Tier;
use crate::trampoline::Functions;
use crate::{uring, uring_sock, uring_udp};

/// One thing that is not seen.
#[derive(Clone, Copy, Debug)]
pub struct Unseen {
    /// By whom.
    pub whose: Whose,
    /// With which hooks.
    pub tiers: &'static [Tier],
    /// On kernels older than this only.
    pub before: Option<KernelVersion>,
    /// What, as it goes after "not seen:".
    pub what: &'static str,
}

/// Which tracers something is true of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Every one.
    All,
    /// All that look at the ends of system calls.
    Calls,
    /// All that look at io_uring.
    Uring,
    /// These.
    Of(&'static [&'static str]),
}

const fn always(whose: Whose, what: &'static str) -> Unseen {
    Unseen { whose, tiers: &Tier::ALL, before: None, what }
}

const fn by_trampolines(what: &'static str) -> Unseen {
    Unseen { whose: Whose::Calls, tiers: &[Tier::Trampoline], before: None, what }
}

/// All of it.
pub const TABLE: &[Unseen] = &[
    always(Whose::All, "what the agent itself does"),
    always(
        Whose::Calls,
        "what the kernel does by itself and not in a system call (NFS server, overlay and loop devices, swap, core dumps)",
    ),
    always(Whose::Calls, "calls of the x32 ABI, where the kernel has it (Debian's: only with syscall.x32=y)"),
    always(Whose::Calls, "calls that a debugger cancels: when they end they have no number any more"),
    by_trampolines("calls that seccomp refuses: they never reach the function that is hooked"),
    by_trampolines(
        "on a kernel with full preemption, a call whose end interrupts the end of the same call on the same CPU",
    ),
    Unseen {
        whose: Whose::Uring,
        tiers: &Tier::ALL,
        before: Some(KernelVersion { major: 6, minor: 0 }),
        what: "what is done through io_uring: before Linux 6.0 its tracepoint of results does not tell of which request",
    },
    always(
        Whose::Uring,
        "results of io_uring's multishot requests but the last: its tracepoint does not tell of which request they are",
    ),
    always(
        Whose::Of(&["open"]),
        "files opened by other calls (open_tree, mq_open; for those that are executed see `exec`)",
    ),
    always(
        Whose::Of(&["truncate"]),
        "files that are cut by being opened: rows of `open` have O_TRUNC among their flags",
    ),
    always(Whose::Of(&["attr"]), "what ioctl (chattr) and file_setattr change of a file"),
    always(
        Whose::Of(&["mount"]),
        "mounts as long as they are nowhere in the tree (fsopen, fsconfig, fsmount)",
    ),
    always(
        Whose::Of(&["usage"]),
        "which bytes of a map are touched: what counts is how many were mapped, once for each map",
    ),
    always(
        Whose::Of(&["usage"]),
        "maps that are made by other calls than mmap: of a program and its loader (exec), made longer (mremap), or \
         given another protection (mprotect)",
    ),
    always(Whose::Of(&["usage"]), "bytes that files come to share by ioctl (cp --reflink)"),
    always(
        Whose::Of(&["usage"]),
        "completions of libaio that a program takes from the ring in its own memory, without a call",
    ),
    always(Whose::Of(&["udp", "dns"]), "datagrams that go by splice or sendfile"),
    always(
        Whose::Of(&["dns"]),
        "names asked for by other ways than datagrams to and from port 53 (TCP, TLS, HTTPS, multicast, a resolver's socket)",
    ),
    always(
        Whose::Of(&["connect", "accept"]),
        "sockets that are neither TCP nor unix ones (MPTCP, vsock, SCTP, netlink, packet)",
    ),
    always(
        Whose::Of(&["bind"]),
        "sockets that are neither TCP, UDP nor unix ones (MPTCP, vsock, SCTP, netlink, packet)",
    ),
    always(
        Whose::Of(&["close"]),
        "connections that were there before the tracer, and the ends of unix sockets' connections",
    ),
    always(
        Whose::Of(&["exec"]),
        "by which of the two calls a program was run that was named by its path alone",
    ),
    always(Whose::Of(&["clone"]), "calls that failed to make a process or a thread"),
    always(Whose::Of(&["exit"]), "ends of single threads whose process goes on"),
    always(
        Whose::Of(&["kill"]),
        "signals that the kernel sends by itself (faults, timers, terminals, pipes)",
    ),
    always(
        Whose::Of(&["ptrace"]),
        "memory of others that is read or written through /proc/PID/mem: `open` and `usage` tell of that",
    ),
    always(Whose::Of(&["memfd"]), "memory made by memfd_secret"),
    always(
        Whose::Of(&["setuid"]),
        "ids and capabilities that come of executing a program that has them (rows of `exec` have the new ids), \
         of a user namespace (unshare, setns) or of prctl",
    ),
];

impl Unseen {
    /// Whether it is true of a tracer with these hooks on this kernel.
    fn holds(&self, tracer: &Tracer, tier: Tier, kernel: Option<KernelVersion>) -> bool {
        let old = |before| kernel.is_some_and(|kernel| kernel < before);
        self.tiers.contains(&tier) && self.before.is_none_or(old) && self.whose.is(tracer)
    }
}

impl Whose {
    /// Whether the tracer is one of them.
    pub fn is(self, tracer: &Tracer) -> bool {
        match self {
            Self::All => true,
            Self::Calls => tracer.programs.iter().any(|program| !calls(program).is_empty()),
            Self::Uring => {
                let complete = [uring::COMPLETE, uring_sock::COMPLETE, uring_udp::COMPLETE];
                tracer.programs.iter().any(|one| complete.contains(one))
            }
            Self::Of(names) => names.contains(&tracer.name),
        }
    }
}

/// What the tracer can't see with hooks of this tier on the running kernel, whose functions are told for trampolines.
pub fn unseen(tracer: &Tracer, tier: Tier, functions: Option<&Functions>) -> Vec<String> {
    let kernel = KernelVersion::running();
    let of_table = TABLE.iter().filter(|one| one.holds(tracer, tier, kernel)).map(|one| one.what.to_owned());
    of_table.chain(functions.and_then(|functions| without_function(tracer, functions))).collect()
}

/// Calls that have no function here that a trampoline could be at: the kernel lacks them, or has renamed them.
fn without_function(tracer: &Tracer, functions: &Functions) -> Option<String> {
    let lacks = |call: &&Syscall| call.number.is_some() && functions.of(call).is_empty();
    let calls = tracer.programs.iter().flat_map(calls).filter(lacks);
    let names: Vec<&str> = calls.map(|call| call.name).collect();
    let what = format!("calls for which this kernel has no function of the usual name: {}", names.join(", "));
    (!names.is_empty()).then_some(what)
}

fn calls(program: &Program) -> &'static [Syscall] {
    match program.hook {
        Hook::SyscallExits(_, calls) => calls,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs::tracers;

    fn told(name: &str, tier: Tier, kernel: (u32, u32)) -> Vec<&'static str> {
        let tracer = tracers().find(|tracer| tracer.name == name).unwrap();
        let kernel = Some(KernelVersion { major: kernel.0, minor: kernel.1 });
        TABLE.iter().filter(|one| one.holds(tracer, tier, kernel)).map(|one| one.what).collect()
    }

    #[test]
    fn what_is_told_depends_on_tracer_tier_and_kernel() {
        let has = |told: Vec<&str>, words: &str| told.iter().any(|line| line.contains(words));
        assert!(has(told("open", Tier::Trampoline, (6, 1)), "seccomp"));
        assert!(!has(told("open", Tier::Tracepoint, (6, 1)), "seccomp"));
        assert!(has(told("open", Tier::Kprobe, (5, 15)), "before Linux 6.0"));
        assert!(!has(told("open", Tier::Kprobe, (6, 0)), "before Linux 6.0"));
        assert!(has(told("usage", Tier::Tracepoint, (6, 1)), "libaio"));
        assert!(!has(told("exit", Tier::Trampoline, (6, 1)), "seccomp"));
    }

    #[test]
    fn every_line_is_true_of_somebody() {
        for one in TABLE {
            assert!(tracers().any(|tracer| one.whose.is(tracer)), "{}", one.what);
            let Whose::Of(names) = one.whose else { continue };
            assert!(names.iter().all(|name| tracers().any(|tracer| tracer.name == *name)), "{names:?}");
        }
    }

    #[test]
    fn no_call_that_is_looked_at_is_told_as_unseen() {
        for one in TABLE {
            let Whose::Of(names) = one.whose else { continue };
            let words: Vec<&str> =
                one.what.split(|letter: char| !letter.is_alphanumeric() && letter != '_').collect();
            let of = tracers().filter(|tracer| names.contains(&tracer.name));
            let mut looked_at = of.flat_map(|tracer| tracer.programs).flat_map(calls).map(|call| call.name);
            let wrong = looked_at.find(|call| *call != "mmap" && words.contains(call));
            assert_eq!(wrong, None, "{}", one.what);
        }
    }

    #[test]
    fn the_documentation_says_the_same() {
        let lines = TABLE.iter().map(|one| {
            let tracers = match one.whose {
                Whose::All => "all".to_owned(),
                Whose::Calls => "all that look at system calls".to_owned(),
                Whose::Uring => "all that look at io_uring".to_owned(),
                Whose::Of(names) => names.join(", "),
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
