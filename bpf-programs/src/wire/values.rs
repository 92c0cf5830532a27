//! Conversions of the structs exchanged with the kernel to and from the types of the data model.

use model::{BootNs, CgroupId, File, Identity, Layer, RealFile, Text};

use super::{
    Count, Counts, FILE_OF_SYSTEM, FILE_SUBVOLUME_UNKNOWN, FLAG_COMPAT, FLAG_NO_RESULT, FLAG_TRACED,
    FLAG_UNVERIFIED, FLAG_URING, FileId, Header, Kind, LAYER_LOWER, LAYER_UPPER, LossCause, MAX_UIDS, NO_ID,
    Ring, Settings, WireError, read,
};

impl Default for Settings {
    /// Returns settings with which no tracer emits and nothing is filtered.
    fn default() -> Self {
        Self {
            enabled: 0,
            data_wakeup: 2 << 20,
            lifecycle_wakeup: 512 << 10,
            security_wakeup: 256 << 10,
            uid_count: 0,
            uids: [0; MAX_UIDS],
            security: Kind::ALL
                .iter()
                .filter(|kind| kind.ring() == Ring::Security)
                .fold(0, |bits, kind| bits | 1 << *kind as u32),
            agent_tgid: 0,
            reader_start_ns: 0,
            reader_tgid: 0,
            sample: 0,
            sampled: 0,
            data_rings: 1,
            cpus_a_ring: u32::MAX,
            usage_side: 0,
            usage_files: 0,
            flow_idle_ms: 15_000,
            end_within_ms: 60_000,
            usage_room: 16_384,
            last_sweep: 0,
            system_filters: 0,
            meddled_room: 0,
            pad: 0,
            rules: 0,
            trees: 0,
            proof: 0,
            proof_at: 0,
        }
    }
}

impl Count {
    /// Sums the counters of all CPUs.
    pub(crate) fn sum<'a>(cpus: impl Iterator<Item = &'a Self>) -> Self {
        cpus.fold(Self::default(), |sum, cpu| Self {
            seen: sum.seen + cpu.seen,
            filtered: sum.filtered + cpu.filtered,
            lost: LossCause::ALL.map(|cause| sum.lost_for(cause) + cpu.lost_for(cause)),
        })
    }

    /// Returns the counts since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            seen: self.seen.saturating_sub(before.seen),
            filtered: self.filtered.saturating_sub(before.filtered),
            lost: LossCause::ALL.map(|cause| self.lost_for(cause).saturating_sub(before.lost_for(cause))),
        }
    }

    /// Returns the seen events that were lost for this cause.
    pub fn lost_for(&self, cause: LossCause) -> u64 {
        self.lost[cause as usize]
    }

    /// Returns the seen events that were lost, for whatever cause.
    pub fn kept_out(&self) -> u64 {
        self.lost.iter().sum()
    }
}

impl Counts {
    /// Sums the counters of all CPUs.
    pub(crate) fn sum(cpus: &[Self]) -> Self {
        Self { slots: std::array::from_fn(|slot| Count::sum(cpus.iter().map(|cpu| &cpu.slots[slot]))) }
    }

    /// Returns the counters in one slot.
    pub(crate) fn slot(&self, slot: u32) -> Count {
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }
}

impl FileId {
    /// Returns whether a file of the system was only read, so that the filter of such files drops the record.
    pub(crate) fn is_of_system(&self) -> bool {
        self.known & FILE_OF_SYSTEM != 0
    }

    /// Returns the file, if it is known.
    pub(crate) fn file(&self) -> Option<File> {
        let layer = match self.layer {
            LAYER_UPPER => Some(Layer::Upper),
            LAYER_LOWER => Some(Layer::Lower),
            _ => None,
        };
        let real = layer.map(|layer| RealFile {
            layer,
            dev: libc::makedev(self.real_dev >> 20, self.real_dev & 0xf_ffff),
            ino: self.real_ino,
            generation: self.real_generation,
        });
        (self.known != 0).then(|| File {
            dev: libc::makedev(self.dev_major, self.dev_minor),
            ino: self.ino,
            generation: self.generation,
            mode: self.mode,
            real,
            subvolume_unknown: self.known & FILE_SUBVOLUME_UNKNOWN != 0,
        })
    }
}

impl Settings {
    /// Enables or disables the tracer of `kind`.
    pub(crate) fn enable(&mut self, kind: Kind, on: bool) {
        let bit = 1 << kind as u32;
        self.enabled = if on { self.enabled | bit } else { self.enabled & !bit };
    }

    /// Sets sampling: while a ring is more than half full, one record in `sample` of these kinds is kept; with 0, every record for
    /// which there is room.
    pub(crate) fn set_sampling(&mut self, sample: u32, kinds: impl Iterator<Item = Kind>) {
        self.sample = sample;
        self.sampled = kinds.fold(0, |bits, kind| bits | 1 << kind as u32);
    }

    /// Switches to the rules that start at index `base` of map `tests`. They have `early` tests before the first rule with a
    /// path, `end` tests in all, and `paths` tests on paths.
    pub fn set_rules(&mut self, base: usize, early: usize, end: usize, paths: usize) {
        let part = |value: usize, at: u32| (value as u64 & 0xffff) << (16 * at);
        self.rules =
            if end == 0 { 0 } else { part(base, 0) | part(early, 1) | part(end, 2) | part(paths, 3) };
    }

    /// Sets the slots of the filters that drop opens and usage of files of the system.
    pub(crate) fn set_system_filters(&mut self, open: Option<usize>, usage: Option<usize>) {
        let part = |slot: Option<usize>| slot.map_or(0, |slot| slot as u32 + 1);
        self.system_filters = part(open) | part(usage) << 16;
    }

    /// Restricts tracing to these users, as many as there is room for; an empty list traces every user.
    pub(crate) fn set_uids(&mut self, uids: &[u32]) {
        let count = uids.len().min(MAX_UIDS);
        self.uids = [0; MAX_UIDS];
        self.uids[..count].copy_from_slice(&uids[..count]);
        self.uid_count = count as u32;
    }
}

impl Header {
    /// Parses the header of a record that consists of all of `bytes`.
    ///
    /// # Errors
    /// Fails if the bytes are too few, or not as many as the header says.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let header: Self = read(bytes)?;
        if header.size as usize != bytes.len() {
            return Err(WireError::Size { found: bytes.len(), said: header.size });
        }
        Ok(header)
    }

    /// Returns the kind of the record.
    ///
    /// # Errors
    /// Fails if the kind is unknown.
    pub(crate) fn kind(&self) -> Result<Kind, WireError> {
        Kind::try_from(self.kind)
    }

    /// Returns whether the record is for a tracer, and counted for it.
    pub fn is_traced(&self) -> bool {
        self.flags & FLAG_TRACED != 0
    }

    /// Returns the time of the event.
    pub(crate) fn at(&self) -> BootNs {
        BootNs(self.time_ns)
    }

    /// Returns the cgroup of the process.
    pub(crate) fn cgroup(&self) -> CgroupId {
        CgroupId { hierarchy: self.hierarchy, id: self.cgroup_id }
    }

    /// Returns the process that caused the event.
    pub(crate) fn identity(&self) -> Identity {
        let comm = self.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        Identity {
            pid: self.pid,
            tid: self.tid,
            ppid: self.ppid,
            start_ns: self.start_ns,
            uid: self.euid,
            gid: self.egid,
            comm: Text::from_bytes(comm),
            cgroup: self.cgroup(),
            ns_pid: self.ns_pid,
            pid_ns: self.pid_ns,
            mnt_ns: self.mnt_ns,
            net_ns: (self.net_ns != 0).then_some(self.net_ns),
            loginuid: (self.loginuid != NO_ID).then_some(self.loginuid),
            sessionid: (self.sessionid != NO_ID).then_some(self.sessionid),
            ruid: self.ruid,
            fsuid: self.fsuid,
            uring: self.flags & FLAG_URING != 0,
            compat: self.flags & FLAG_COMPAT != 0,
            unverified: self.flags & FLAG_UNVERIFIED != 0,
            result_unknown: self.flags & FLAG_NO_RESULT != 0,
        }
    }
}
