//! A table of the blind spots, each with a short phrase and the condition by which it could touch an answer.

use super::blind::Blind;

/// The question that an answer is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// The question who used files.
    #[default]
    Files,
    /// The question what a process did.
    Process,
    /// The question where data have gone or come from.
    Flows,
}

/// Properties of an answer by which it is decided whether a blind spot could touch it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// The kind of question.
    pub asked: Asked,
    /// Files are mapped into memory.
    pub has_mapped: bool,
    /// Files are executed.
    pub has_executed: bool,
    /// Files are on an overlay.
    pub has_overlay: bool,
    /// Files of the system are among those asked for, which the agent reads, too.
    pub has_system_files: bool,
    /// Sockets are part of it.
    pub has_sockets: bool,
    /// Addresses outside of the machine are part of it.
    pub has_addresses: bool,
    /// Signals are part of it.
    pub has_signals: bool,
    /// A process reads or writes the memory of another one.
    pub has_ptrace: bool,
    /// Memory of System V is part of it.
    pub has_shared_memory: bool,
}

impl Traits {
    /// Returns whether a path is that of a file of the system or of a device.
    pub(crate) fn is_of_system(path: &str) -> bool {
        ["/proc/", "/sys/", "/etc/", "/usr/", "/dev/"].iter().any(|folder| path.starts_with(folder))
    }
}

/// A class of events that is not seen.
struct Spot {
    /// A part of the text in rows of `manifest`.
    text: &'static str,
    /// Short phrase for people. Spots with the same phrase are named once.
    brief: &'static str,
    touches: fn(&Traits) -> bool,
}

const fn spot(text: &'static str, brief: &'static str, touches: fn(&Traits) -> bool) -> Spot {
    Spot { text, brief, touches }
}

const fn never(text: &'static str) -> Spot {
    spot(text, "", |_| false)
}

const URING: &str = "some requests of io_uring";
const SECCOMP: &str = "what became of calls that a filter of seccomp answers";
const MAPPINGS: &str = "what is done to mapped memory (mremap, mprotect, single bytes)";
const RARE_SOCKETS: &str = "some sockets of other families (netlink, SCTP, vsock, Bluetooth, packet)";
const EARLIER: &str = "connections that were made before the tracers were attached";
const ATTRIBUTES: &str = "attributes: chattr, and all reading of them";

/// The blind spots that are known. One that is not in the table counts as touching every answer.
const TABLE: &[Spot] = &[
    spot("what the agent itself does", "what the agent itself does", |of| of.has_system_files),
    spot("changes of the machine's clock", "changes of the clock and perf_event_open", |of| {
        of.asked == Asked::Process
    }),
    spot("the kernel's keys", "the kernel's keys (keyctl)", |of| of.asked != Asked::Files),
    spot(
        "what the kernel does on its own",
        "what the kernel does on its own (NFS server, loop devices, swap, core dumps)",
        |of| of.asked != Asked::Process,
    ),
    spot("calls of the x32 ABI", "calls of the x32 ABI", |_| true),
    spot("calls that a debugger cancels", "calls that a debugger cancels", |of| {
        of.asked == Asked::Process || of.has_ptrace
    }),
    spot("which subvolume of btrfs", "which subvolume of btrfs a file is in", |_| true),
    spot(
        "the device that stat shows for a file on an overlay",
        "which of an overlay's layers a file is in",
        |of| of.has_overlay,
    ),
    spot("calls that seccomp refuses", SECCOMP, |of| of.asked != Asked::Flows),
    spot("whether a call was done that a filter of seccomp answered", SECCOMP, |_| true),
    spot("what is done through io_uring: before Linux 6.0", "what is done through io_uring", |_| true),
    spot("results of io_uring's multishot requests", URING, |_| true),
    spot("results of io_uring's requests that post no completion", URING, |_| true),
    spot("the user whose rights a request of io_uring had", URING, |of| of.asked != Asked::Flows),
    spot("neither open files nor change names", URING, |_| true),
    spot("those of a ring with a polling thread", URING, |_| true),
    spot("files opened by other calls", "files opened by other calls (open_tree, mq_open)", |of| {
        of.asked == Asked::Process
    }),
    never("files that are truncated when they are opened"),
    spot(
        "what a file system does by a request of its own",
        "requests to a file system (snapshots of btrfs, exchanged contents of XFS and ext4)",
        |_| true,
    ),
    spot("changes made by ioctl (chattr)", ATTRIBUTES, |of| of.asked != Asked::Flows),
    spot("mounts that exist but are not attached", "mounts that are not attached (fsopen)", |of| {
        of.asked == Asked::Process
    }),
    spot("which bytes of a mapping are accessed", MAPPINGS, |of| of.has_mapped),
    spot("mappings created or changed by other calls than mmap", MAPPINGS, |of| {
        of.has_mapped || of.has_executed
    }),
    spot("memory without a file that a process shares", "memory without a file that processes share", |of| {
        of.asked != Asked::Files
    }),
    spot("what a program learns of folders", "what programs learn by stat, readlink and getdents", |of| {
        of.asked != Asked::Flows
    }),
    spot(
        "files of kinds that `ebpf.usage_files` does not list",
        "bytes of kinds of files that are not recorded (by default terminals and devices)",
        |of| of.asked != Asked::Files || of.has_system_files,
    ),
    spot(
        "that a file, or a folder above it, was renamed between two rows",
        "new names of files that a process has open",
        |of| of.asked == Asked::Process,
    ),
    spot("results of libaio", "results of libaio that a program takes without a call", |_| true),
    spot(
        "the inode number of the peer, if it is a unix socket",
        "ends of unix sockets that were closed early",
        |of| of.asked == Asked::Flows && of.has_sockets,
    ),
    spot("datagrams sent or received by splice", "datagrams sent by splice or sendfile", |of| of.has_sockets),
    spot(
        "how many datagrams the kernel has put together",
        "how many datagrams the kernel put together",
        |of| of.asked == Asked::Process && of.has_sockets,
    ),
    spot(
        "names resolved by other means than datagrams",
        "names of hosts that are not asked for on port 53",
        |of| of.has_addresses,
    ),
    spot("frames that go through memory which a program shares", RARE_SOCKETS, |of| of.asked != Asked::Files),
    spot("sockets of netlink, TIPC", RARE_SOCKETS, |of| of.asked == Asked::Process || of.has_sockets),
    spot("the outcome of a connection of vsock or SCTP", RARE_SOCKETS, |of| of.has_sockets),
    spot("associations of SCTP", RARE_SOCKETS, |of| of.has_sockets),
    spot("addresses that a socket of SCTP gets", RARE_SOCKETS, |of| of.has_sockets),
    spot("whether a message of SCTP is a notification", RARE_SOCKETS, |of| of.has_sockets),
    spot("addresses of vsock connections", RARE_SOCKETS, |of| of.has_sockets),
    spot("outcomes of connections that began before", EARLIER, |of| of.has_sockets),
    spot("the end of connections that were made before", EARLIER, |of| of.has_sockets),
    never("which of the two exec calls"),
    spot("the resolved path of a script", "paths of some scripts", |of| {
        of.asked == Asked::Process && of.has_executed
    }),
    spot(
        "with certainty, which file a script was",
        "which file a script was, if its process has used io_uring",
        |of| of.has_executed,
    ),
    never("calls that failed to make a process"),
    never("exits of single threads"),
    spot(
        "which process the target is, if it has ended",
        "targets of signals that ended at once, in nested pid namespaces",
        |of| of.has_signals || of.has_ptrace,
    ),
    spot("signals that the kernel sends by itself", "signals that the kernel sends by itself", |of| {
        of.asked == Asked::Process
    }),
    spot(
        "memory of other processes that is read or written through",
        "memory of other processes by way of /proc/PID/mem",
        |of| of.asked != Asked::Files,
    ),
    never("page protection that a process changes in its own memory"),
    spot("reading of extended attributes", ATTRIBUTES, |of| of.asked != Asked::Flows),
    spot("memory made by memfd_secret", "memory made by memfd_secret", |of| of.asked != Asked::Files),
    never("namespaces that clone makes"),
    spot(
        "which bytes of shared memory are accessed",
        "which bytes of memory of System V are accessed",
        |of| of.has_shared_memory,
    ),
    never("semaphores, which carry no data"),
    spot(
        "ids and capabilities that a process gets by executing",
        "ids and capabilities that come with a program or a user namespace",
        |of| of.asked == Asked::Process,
    ),
];

impl Blind {
    /// Decides whether the spot could touch an answer.
    pub(super) fn decide(&mut self, traits: &Traits) {
        let known = TABLE.iter().find(|spot| self.what.contains(spot.text));
        self.touches = known.is_none_or(|spot| (spot.touches)(traits));
        self.brief = known.map(|spot| spot.brief).filter(|brief| !brief.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(what: &str, traits: Traits) -> (bool, Option<&'static str>) {
        let mut blind = Blind::new("usage", what);
        blind.decide(&traits);
        (blind.touches, blind.brief)
    }

    #[test]
    fn a_spot_touches_an_answer_that_has_what_it_is_about() {
        let mapping = "which bytes of a mapping are accessed: each mapping counts as one call";
        assert!(!decided(mapping, Traits::default()).0);
        assert!(decided(mapping, Traits { has_mapped: true, ..Traits::default() }).0);
        let keys = "the kernel's keys (add_key, request_key, keyctl)";
        assert!(!decided(keys, Traits::default()).0);
        assert!(decided(keys, Traits { asked: Asked::Flows, ..Traits::default() }).0);
        assert_eq!(decided("something new", Traits::default()), (true, None));
    }

    #[test]
    fn each_line_of_the_documented_table_is_one_spot() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/COVERAGE.md")).unwrap();
        let lines = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let lines: Vec<&str> = lines.take_while(|line| line.starts_with('|')).collect();
        for line in &lines {
            let count = TABLE.iter().filter(|spot| line.contains(spot.text)).count();
            assert_eq!(count, 1, "{line}");
        }
        for spot in TABLE {
            assert_eq!(lines.iter().filter(|line| line.contains(spot.text)).count(), 1, "{}", spot.text);
        }
    }
}
