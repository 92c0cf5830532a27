//! Constants and structs of the filter rules, as in `include/map_values.h`.

use super::Plain;

/// Number of tests in one bank: those of all rules in force at a time.
pub(crate) const TEST_BANK: usize = 256;
/// Number of filters with a drop counter of their own.
pub(crate) const FILTER_SLOTS: usize = 64;
/// Number of bytes of a path that prefixes are compared with.
pub(crate) const KEY_LIMIT: usize = 256;
/// Number of folders that the system's files are recognised by.
pub(crate) const SYSTEM_FOLDERS: usize = 32;
/// The field of a record that a test of a rule is about, in [`RuleTest::field`].
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleField {
    /// The header field [`super::Header::pid`].
    Pid = 1,
    /// The header field [`super::Header::tid`].
    Tid,
    /// The header field [`super::Header::ppid`].
    Ppid,
    /// The header field [`super::Header::euid`].
    Uid,
    /// The header field [`super::Header::egid`].
    Gid,
    /// The header field [`super::Header::cgroup_id`].
    Cgroup,
    /// The header field [`super::Header::pid_ns`].
    PidNs,
    /// The header field [`super::Header::mnt_ns`].
    MntNs,
    /// The call's result, in records that have one.
    Ret,
    /// The header field [`super::Header::comm`].
    Comm,
    /// The path that becomes the row's `fname`.
    Path,
    /// The sets of cgroups that the record's cgroup is in.
    CgroupSet,
    /// The ancestors of the record's process.
    Tree,
}

impl From<RuleField> for RuleTest {
    /// Returns a test of this field that applies to no tracer.
    fn from(field: RuleField) -> Self {
        let (a, b, c, d) = Default::default();
        Self { kinds: 0, a, b, c, d, field: field as u32, filter: 0, negate: 0, last: 0 }
    }
}

impl RuleTest {
    /// Returns whether the test is of this field.
    pub(crate) fn is_of(&self, field: RuleField) -> bool {
        self.field == field as u32
    }
}

wire_structs! {
    /// A value of map `tests`: one test of a rule.
    pub RuleTest {
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
    pub CgroupKey {
        /// Id of the cgroup, [`super::Header::cgroup_id`].
        id: u64,
        /// Number of the hierarchy, [`super::Header::hierarchy`].
        hierarchy: u32,
        pad: u32,
    }

    /// A folder with libraries or the like, by its identity; with a name, the file of that name in it.
    pub(crate) SystemFolder {
        /// Inode number of the folder.
        ino: u64,
        /// The bytes of the name, ended by a NUL.
        name: [u64; 2],
        /// Bits of `name` that are compared; 0: there is no name.
        mask: [u64; 2],
        /// Device in the kernel's encoding.
        dev: u32,
        pad: u32,
    }

    /// The value of map `system_folders`.
    pub(crate) SystemFolders {
        /// Bit n: a folder has a device whose number ends in these 6 bits.
        devs: u64,
        /// The same for inode numbers.
        inos: u64,
        /// Number of folders.
        count: u32,
        pad: u32,
        folders: [SystemFolder; SYSTEM_FOLDERS],
    }

    /// A key of map `trees`: a process.
    pub ProcessKey {
        /// Start of the process in nanoseconds since boot.
        start_ns: u64,
        /// Process id, [`super::Header::pid`].
        pid: u32,
        pad: u32,
    }

    /// A value of map `trees`: the ancestors of a process that filters name; in `tree_roots`: the bit of one such ancestor.
    pub Tree {
        /// Generation of the named processes, as in [`super::Settings::trees`].
        generation: u64,
        /// Bits of the named processes.
        bits: u64,
        /// Number of ancestors, including the process itself.
        depth: u32,
        pad: u32,
    }

    /// A key of map `path_sets`, as used in a lookup.
    pub(crate) PathKey {
        /// Length of the prefix in bits.
        bits: u32,
        /// A path from the root down, ended by a NUL.
        bytes: [u8; KEY_LIMIT],
    }
}
