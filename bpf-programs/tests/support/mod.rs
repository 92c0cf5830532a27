//! The object loaded and attached, without the actors: what the kernel side does, seen at its rings.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::Duration;

use actors::clock;
use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use aya::programs::{BtfTracePoint, Iter, TracePoint};
use aya::{Btf, Ebpf, EbpfLoader};
use bpf_programs::programs::{Hook, LIFECYCLE, OBJECT, PROCESSES, Program, tracers};
use bpf_programs::wire::{self, Count, Header, Kind, Settings};
use nix::poll::{PollFd, PollFlags, PollTimeout};

/// How long to wait for an event that must come.
const DEADLINE: Duration = Duration::from_secs(10);

/// The attached object.
pub struct Kernel {
    ebpf: Ebpf,
    btf: Btf,
    lifecycle: RingBuf<MapData>,
    data: RingBuf<MapData>,
    counts: PerCpuArray<MapData, Count>,
    settings: Array<MapData, Settings>,
    /// Records by process, in ring order.
    records: HashMap<u32, Vec<(Kind, Vec<u8>)>>,
}

impl Kernel {
    /// Everything on.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(8 << 20)
    }

    /// With this size of the data ring.
    pub fn start_with(data_ring: u32) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs()?;
        let (object, has_cast) = bpf_programs::cast::resolve(OBJECT, &btf);
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("has_cast", &u8::from(has_cast), true)
            .map_max_entries("data", data_ring)
            .load(&object)?;
        let mut take = |name: &str| ebpf.take_map(name).ok_or(anyhow::anyhow!("no map {name}"));
        let mut kernel = Self {
            lifecycle: take("lifecycle")?.try_into()?,
            data: take("data")?.try_into()?,
            counts: take("counts")?.try_into()?,
            settings: take("settings")?.try_into()?,
            records: HashMap::new(),
            ebpf,
            btf,
        };
        kernel.set(|_| {})?;
        for program in tracers().flat_map(|tracer| tracer.programs).chain(LIFECYCLE) {
            kernel.attach(program)?;
        }
        Ok(kernel)
    }

    /// All tracers on, and what `change` makes of that.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) -> anyhow::Result<()> {
        let mut settings = Settings { data_wakeup: 1, lifecycle_wakeup: 1, ..Settings::default() };
        tracers().for_each(|tracer| settings.enable(tracer.kind, true));
        change(&mut settings);
        Ok(self.settings.set(0, settings, 0)?)
    }

    fn attach(&mut self, program: &Program) -> anyhow::Result<()> {
        let loaded = self.ebpf.program_mut(program.name).ok_or(anyhow::anyhow!("no program"))?;
        match program.hook {
            Hook::Tracepoints { category, required, optional } => {
                let loaded: &mut TracePoint = loaded.try_into()?;
                loaded.load()?;
                let optional = optional.iter().filter(|_| cfg!(target_arch = "x86_64"));
                for name in required.iter().chain(optional) {
                    loaded.attach(category, name)?;
                }
            }
            Hook::BtfTracepoint(name) => {
                let loaded: &mut BtfTracePoint = loaded.try_into()?;
                loaded.load(name, &self.btf)?;
                loaded.attach()?;
            }
            Hook::TaskIterator => anyhow::bail!("not to be attached"),
        }
        Ok(())
    }

    /// What the task iterator gives.
    pub fn processes(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        let loaded = self.ebpf.program_mut(PROCESSES.name).ok_or(anyhow::anyhow!("no iterator"))?;
        let loaded: &mut Iter = loaded.try_into()?;
        loaded.load("task", &self.btf)?;
        let id = loaded.attach()?;
        let mut bytes = Vec::new();
        loaded.take_link(id)?.into_file()?.read_to_end(&mut bytes)?;
        wire::split(&bytes).map(|record| Ok(record?.to_vec())).collect()
    }

    /// The tracer's counters.
    pub fn count(&self, kind: Kind) -> anyhow::Result<Count> {
        let cpus = self.counts.get(&(kind as u32), 0)?;
        let sum = |pick: fn(&Count) -> u64| cpus.iter().map(pick).sum();
        Ok(Count { seen: sum(|cpu| cpu.seen), lost: sum(|cpu| cpu.lost) })
    }

    /// Takes what is in the rings; gives how many records that was, by ring.
    pub fn drain(&mut self) -> (u64, u64) {
        let mut taken = (0, 0);
        while let Some(bytes) = self.lifecycle.next() {
            taken.0 += 1;
            keep(&mut self.records, &bytes);
        }
        while let Some(bytes) = self.data.next() {
            taken.1 += 1;
            keep(&mut self.records, &bytes);
        }
        taken
    }

    /// The records of process `pid` and `kind`, once there are at least `count`.
    pub fn wait_for(&mut self, pid: u32, kind: Kind, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        let end = clock::now() + DEADLINE;
        loop {
            self.drain();
            let found = self.of(pid, kind);
            if found.len() >= count {
                return Ok(found);
            }
            anyhow::ensure!(clock::now() < end, "{} records of {pid} {kind:?}, not {count}", found.len());
            let mut rings = [
                PollFd::new(self.lifecycle.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.data.as_fd(), PollFlags::POLLIN),
            ];
            nix::poll::poll(&mut rings, PollTimeout::from(50u8))?;
        }
    }

    /// The records of process `pid` and `kind` taken so far.
    pub fn of(&self, pid: u32, kind: Kind) -> Vec<Vec<u8>> {
        let all = self.records.get(&pid).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|(found, _)| *found == kind).map(|(_, bytes)| bytes.clone()).collect()
    }

    /// All records of `kind` taken so far.
    pub fn all(&self, kind: Kind) -> Vec<Vec<u8>> {
        let all = self.records.values().flatten();
        all.filter(|(found, _)| *found == kind).map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn keep(records: &mut HashMap<u32, Vec<(Kind, Vec<u8>)>>, bytes: &[u8]) {
    let header = Header::parse(bytes).expect("a header");
    let kind = header.kind().expect("a kind");
    records.entry(header.pid).or_default().push((kind, bytes.to_vec()));
}
