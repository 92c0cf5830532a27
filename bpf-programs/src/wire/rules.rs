//! Constants and structs of the filter rules, as in `include/wire.h`.

use super::Plain;

/// Number of tests in one bank: those of all rules in force at a time.
pub const TEST_BANK: usize = 256;
/// Number of filters with a drop counter of their own.
pub const FILTER_SLOTS: usize = 64;
/// Number of path prefixes of all rules together.
pub const PATH_PREFIXES: usize = 8192;
/// Number of bytes of a path that prefixes are compared with.
pub const KEY_LIMIT: usize = 256;
/// Value of [`super::RuleTest::field`], like the following: tests [`super::Header::pid`].
pub const FIELD_PID: u32 = 1;
/// Tests the header field [`super::Header::tid`].
pub const FIELD_TID: u32 = 2;
/// Tests the header field [`super::Header::ppid`].
pub const FIELD_PPID: u32 = 3;
/// Tests the header field [`super::Header::euid`].
pub const FIELD_UID: u32 = 4;
/// Tests the header field [`super::Header::egid`].
pub const FIELD_GID: u32 = 5;
/// Tests the header field [`super::Header::cgroup_id`].
pub const FIELD_CGROUP: u32 = 6;
/// Tests the header field [`super::Header::pid_ns`].
pub const FIELD_PID_NS: u32 = 7;
/// Tests the header field [`super::Header::mnt_ns`].
pub const FIELD_MNT_NS: u32 = 8;
/// Tests the call's result, in records that have one.
pub const FIELD_RET: u32 = 9;
/// Tests the header field [`super::Header::comm`].
pub const FIELD_COMM: u32 = 10;
/// Tests the path that becomes the row's `fname`.
pub const FIELD_PATH: u32 = 11;
/// Tests the sets of cgroups that the record's cgroup is in.
pub const FIELD_CGROUP_SET: u32 = 12;
/// Tests the ancestors of the record's process.
pub const FIELD_TREE: u32 = 13;

wire_structs! {
    /// A value of map `tests`: one test of a rule.
    RuleTest {
        /// Bit n: the rule applies to the tracer of kind n.
        kinds: u64,
        /// Smallest number; or bits of sets of paths or cgroups; or bits of [`Tree`]; or first half of a command name.
        a: u64,
        /// Largest number; or generation of a [`Tree`]; or second half of a command name.
        b: u64,
        /// Bits of the first half of a command name that are compared.
        c: u64,
        /// Bits of the second half that are compared.
        d: u64,
        /// The field that is tested: `FIELD_*`.
        field: u32,
        /// Counter slot of the rule's filter.
        filter: u32,
        /// Not 0 if the test is negated.
        negate: u32,
        /// Not 0 for the last test of a rule.
        last: u32,
    }

    /// A key of the map `cgroup_sets`.
    CgroupKey {
        /// Id of the cgroup, [`super::Header::cgroup_id`].
        id: u64,
        /// Number of the hierarchy, [`super::Header::hierarchy`].
        hierarchy: u32,
        pad: u32,
    }

    /// A key of map `trees`: a process.
    ProcessKey {
        /// Start of the process in nanoseconds since boot.
        start_ns: u64,
        /// Process id, [`super::Header::pid`].
        pid: u32,
        pad: u32,
    }

    /// A value of map `trees`: the ancestors of a process that filters name; in `tree_roots`: the bit of one such ancestor.
    Tree {
        /// Generation of the named processes, as in [`super::Settings::trees`].
        generation: u64,
        /// Bits of the named processes.
        bits: u64,
        /// Number of ancestors, including the process itself.
        depth: u32,
        pad: u32,
    }

    /// A key of map `path_sets`, as used in a lookup.
    PathKey {
        /// Length of the prefix in bits.
        bits: u32,
        /// A path from the root down, ended by a NUL.
        bytes: [u8; KEY_LIMIT],
    }
}
