//! What values that pass between kernel and agent mean.

use model::{BootNs, CgroupId, File, Identity, Layer, RealFile, Text};

use super::{
    FLAG_COMPAT, FLAG_TRACED, FLAG_URING, FileId, Header, Kind, LAYER_LOWER, LAYER_UPPER, MAX_UIDS, RuleTest,
    Settings, WireError, read,
};

impl Default for Settings {
    /// No tracer emits; no filter.
    fn default() -> Self {
        Self {
            enabled: 0,
            data_wakeup: 2 << 20,
            lifecycle_wakeup: 512 << 10,
            uid_count: 0,
            uids: [0; MAX_UIDS],
            agent_tgid: 0,
            reader_start_ns: 0,
            reader_tgid: 0,
            sample: 0,
            sampled: 0,
            sample_at: 7 << 20,
            data_rings: 1,
            cpus_a_ring: u32::MAX,
            usage_side: 0,
            usage_files: 0,
            flow_idle_ms: 15_000,
            rules: 0,
            trees: 0,
        }
    }
}

impl Default for RuleTest {
    /// For no tracer.
    fn default() -> Self {
        let (a, b, c, d) = Default::default();
        Self { kinds: 0, a, b, c, d, field: 0, filter: 0, negate: 0, last: 0 }
    }
}

impl FileId {
    /// Which file, if that is known.
    pub fn file(&self) -> Option<File> {
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
        })
    }
}

impl Settings {
    /// Lets the tracer of `kind` emit, or not.
    pub fn enable(&mut self, kind: Kind, on: bool) {
        let bit = 1 << kind as u32;
        self.enabled = if on { self.enabled | bit } else { self.enabled & !bit };
    }

    /// While a ring is nearly full one record in `sample` of these kinds is kept; 0: each that there is room for.
    pub fn set_sampling(&mut self, sample: u32, kinds: impl Iterator<Item = Kind>) {
        self.sample = sample;
        self.sampled = kinds.fold(0, |bits, kind| bits | 1 << kind as u32);
    }

    /// Goes by the rules that begin at `base` of the map `tests`: so many tests before those of paths, in all, of paths.
    pub fn set_rules(&mut self, base: usize, early: usize, end: usize, paths: usize) {
        let part = |value: usize, at: u32| (value as u64 & 0xffff) << (16 * at);
        self.rules =
            if end == 0 { 0 } else { part(base, 0) | part(early, 1) | part(end, 2) | part(paths, 3) };
    }

    /// Traces only these users, as many as there is room for; none: everybody.
    pub fn set_uids(&mut self, uids: &[u32]) {
        let count = uids.len().min(MAX_UIDS);
        self.uids = [0; MAX_UIDS];
        self.uids[..count].copy_from_slice(&uids[..count]);
        self.uid_count = count as u32;
    }
}

impl Header {
    /// The checked start of a record that is all of `bytes`.
    ///
    /// # Errors
    /// The bytes are too few, or not as many as the record says.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let header: Self = read(bytes)?;
        if header.size as usize != bytes.len() {
            return Err(WireError::Size { found: bytes.len(), said: header.size });
        }
        Ok(header)
    }

    /// What the record is.
    ///
    /// # Errors
    /// There is no such kind.
    pub fn kind(&self) -> Result<Kind, WireError> {
        Kind::try_from(self.kind)
    }

    /// It counts for its tracer, and is to be handed to it.
    pub fn is_traced(&self) -> bool {
        self.flags & FLAG_TRACED != 0
    }

    /// When it happened.
    pub fn at(&self) -> BootNs {
        BootNs(self.time_ns)
    }

    /// The cgroup of whoever is behind it.
    pub fn cgroup(&self) -> CgroupId {
        CgroupId { hierarchy: self.hierarchy, id: self.cgroup_id }
    }

    /// The process behind it.
    pub fn identity(&self) -> Identity {
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
            uring: self.flags & FLAG_URING != 0,
            compat: self.flags & FLAG_COMPAT != 0,
        }
    }
}
