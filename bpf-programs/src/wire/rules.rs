//! Numbers of `include/wire.h` that rules of filters are made of.

use super::Plain;

/// Tests of all rules that hold at a time.
pub const TEST_BANK: usize = 256;
/// Filters whose drops are counted apart.
pub const FILTER_SLOTS: usize = 64;
/// Prefixes of paths, of all rules.
pub const PATH_PREFIXES: usize = 8192;
/// Bytes of a path that prefixes are looked for in.
pub const KEY_LIMIT: usize = 256;
/// [`super::RuleTest::field`]: a number, from [`super::Header::pid`] on.
pub const FIELD_PID: u32 = 1;
/// [`super::Header::tid`].
pub const FIELD_TID: u32 = 2;
/// [`super::Header::ppid`].
pub const FIELD_PPID: u32 = 3;
/// [`super::Header::euid`].
pub const FIELD_UID: u32 = 4;
/// [`super::Header::egid`].
pub const FIELD_GID: u32 = 5;
/// [`super::Header::cgroup_id`].
pub const FIELD_CGROUP: u32 = 6;
/// [`super::Header::pid_ns`].
pub const FIELD_PID_NS: u32 = 7;
/// [`super::Header::mnt_ns`].
pub const FIELD_MNT_NS: u32 = 8;
/// The result, of records that have one.
pub const FIELD_RET: u32 = 9;
/// [`super::Header::comm`].
pub const FIELD_COMM: u32 = 10;
/// The path that becomes the row's `fname`.
pub const FIELD_PATH: u32 = 11;
/// What is said in words of the record's cgroup.
pub const FIELD_PLACE: u32 = 12;
/// Of which processes its process descends.
pub const FIELD_TREE: u32 = 13;

wire_structs! {
    /// A value of the map `tests`: one test of a rule.
    RuleTest {
        /// Bit n: the rule is for the tracer of kind n.
        kinds: u64,
        /// Least number; sets of paths or of cgroups; bits of [`Tree`]; first half of a command name.
        a: u64,
        /// Largest number; generation of a [`Tree`]; second half.
        b: u64,
        /// Which bits of the first half count.
        c: u64,
        /// Which of the second.
        d: u64,
        /// `FIELD_*`.
        field: u32,
        /// The slot of the rule's filter.
        filter: u32,
        /// Not 0: what is tested must not be so.
        negate: u32,
        /// Not 0: the last test of its rule.
        last: u32,
    }

    /// A key of the map `place_sets`.
    CgroupKey {
        /// [`super::Header::cgroup_id`].
        id: u64,
        /// [`super::Header::hierarchy`].
        hierarchy: u32,
        /// 0.
        pad: u32,
    }

    /// A key of the map `trees`: a process.
    ProcessKey {
        /// When it began, since boot.
        start_ns: u64,
        /// [`super::Header::pid`].
        pid: u32,
        /// 0.
        pad: u32,
    }

    /// A value of the map `trees`: which of the processes that filters ask for it descends of; of `tree_roots`: which it is.
    Tree {
        /// Of the questions, as in [`super::Settings::trees`].
        generation: u64,
        /// One for each question.
        bits: u64,
        /// Of how many processes it descends, itself among them.
        depth: u32,
        /// 0.
        pad: u32,
    }

    /// A key of the map `path_sets`, as it is looked up.
    PathKey {
        /// Bits of `bytes` that count.
        bits: u32,
        /// A path as one reads it, closed by a NUL.
        bytes: [u8; KEY_LIMIT],
    }
}
