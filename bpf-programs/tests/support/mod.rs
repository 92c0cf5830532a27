//! The object loaded and attached, without the actors: tests of the kernel side, observed at its rings.

mod shared;

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::time::Duration;

use actors::clock;
use anyhow::{Context as _, bail, ensure};
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap as Table, MapData, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::{Iter, Program as Loaded, ProgramError};
use aya::{Btf, Ebpf, EbpfLoader};
use bpf_programs::catalog::{DISPATCHER, LIFECYCLE, PROCESSES, object, tracers};
use bpf_programs::ledger::SWEEP;
use bpf_programs::programs::{Hook, Program};
use bpf_programs::syscalls;
use bpf_programs::tier::Tier;
use bpf_programs::trampoline::{Function, Functions, Part, TABLES, stub};
use bpf_programs::wire::{
    self, CgroupKey, Count, Header, KEY_LIMIT, Kind, ProcessKey, RuleTest, Settings, SockRecord, Sweep, Tree,
};
use model::schema::{Column, Field, Tracers};
use model::{Details, Extended};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde_json::{Map, Value};

pub use shared::{SMALL_RING, Shared};

/// How long to wait for an event that must come.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The size of the data ring that tests share.
pub const DATA_RING: u32 = 8 << 20;

/// Entries in each buffer of the ledger, if it is not to overflow.
pub const ENTRIES: u32 = 16384;

/// All file types of the ledger.
const FILES: u32 = u32::MAX;

/// Returns the kind of hooks to test.
pub fn tier() -> Tier {
    let name = std::env::var("DUETECTOR_TEST_TIER").unwrap_or_default();
    Tier::ALL.into_iter().find(|tier| tier.name() == name).unwrap_or(Tier::Tracepoint)
}

/// `struct flow_key` and `struct flow` of `include/udp.h`.
type FlowKey = [u8; 32];
type Flow = [u8; size_of::<SockRecord>() + 8];

/// The attached object.
pub struct Kernel {
    ebpf: Ebpf,
    btf: Btf,
    lifecycle: RingBuf<MapData>,
    data: RingBuf<MapData>,
    /// The second data ring, used if `settings.data_rings` says so.
    second: RingBuf<MapData>,
    counts: PerCpuArray<MapData, Count>,
    settings: Array<MapData, Settings>,
    /// Rules of filters, and their sets of paths.
    pub tests: Array<MapData, RuleTest>,
    pub path_sets: LpmTrie<MapData, [u8; KEY_LIMIT], u64>,
    pub cgroup_sets: Table<MapData, CgroupKey, u64>,
    pub trees: Table<MapData, ProcessKey, Tree>,
    flows: Table<MapData, FlowKey, Flow>,
    tables: Vec<ProgramArray<MapData>>,
    /// Functions to attach trampolines to.
    functions: Option<Functions>,
    /// The functions that are hooked.
    hooked: Vec<Function>,
    /// Records by process, in ring order.
    records: HashMap<u32, Vec<(Kind, Vec<u8>)>>,
    /// Counters at the start of this test.
    before: HashMap<u32, Count>,
}

impl Kernel {
    /// Loads these hooks, for these kinds of records.
    pub fn start_on(
        tier: Tier,
        data_ring: u32,
        entries: u32,
        wanted: impl Fn(Kind) -> bool,
    ) -> anyhow::Result<Self> {
        let btf = Btf::from_sys_fs()?;
        let (object, has_cast) = bpf_programs::cast::resolve(object(tier), &btf);
        let mut ebpf = EbpfLoader::new()
            .btf(Some(&btf))
            .override_global("has_cast", &u8::from(has_cast), true)
            .override_global("compat_calls", &syscalls::COMPAT_CALLS[..], true)
            .map_max_entries("data", data_ring)
            .map_max_entries("usage_0", entries)
            .map_max_entries("usage_1", entries)
            .map_max_entries("data_1", data_ring)
            .load(&object)?;
        let tables = if tier == Tier::Trampoline { TABLES.len() } else { 1 };
        let mut take = |name: &str| ebpf.take_map(name).ok_or(anyhow::anyhow!("no map {name}"));
        let mut kernel = Self {
            lifecycle: take("lifecycle")?.try_into()?,
            data: take("data")?.try_into()?,
            second: take("data_1")?.try_into()?,
            counts: take("counts")?.try_into()?,
            settings: take("settings")?.try_into()?,
            tests: take("tests")?.try_into()?,
            path_sets: take("path_sets")?.try_into()?,
            cgroup_sets: take("cgroup_sets")?.try_into()?,
            trees: take("trees")?.try_into()?,
            flows: take("flows")?.try_into()?,
            tables: TABLES[..tables]
                .iter()
                .map(|name| Ok(take(name)?.try_into()?))
                .collect::<anyhow::Result<_>>()?,
            functions: (tier == Tier::Trampoline).then(Functions::of_this_kernel).transpose()?,
            hooked: Vec::new(),
            records: HashMap::new(),
            before: HashMap::new(),
            ebpf,
            btf,
        };
        kernel.set(|_| {})?;
        let wanted = tracers().filter(|tracer| wanted(tracer.kind));
        let programs: BTreeSet<_> = wanted.flat_map(|tracer| tracer.programs).chain(LIFECYCLE).collect();
        for program in programs {
            kernel.attach(program)?;
        }
        if kernel.functions.is_none() {
            kernel.attach(&DISPATCHER)?;
        }
        Ok(kernel)
    }

    /// Enables all tracers, with the settings changed by `change`.
    pub fn set(&mut self, change: impl FnOnce(&mut Settings)) -> anyhow::Result<()> {
        let mut settings =
            Settings { data_wakeup: 1, lifecycle_wakeup: 1, usage_files: FILES, ..Settings::default() };
        tracers().for_each(|tracer| settings.enable(tracer.kind, true));
        change(&mut settings);
        Ok(self.settings.set(0, settings, 0)?)
    }

    fn attach(&mut self, program: &Program) -> anyhow::Result<()> {
        let whole = || vec![Part::whole(program)];
        for part in self.functions.as_ref().map_or_else(whole, |found| found.parts(program)) {
            self.attach_part(program, &part)?;
        }
        let (Some(functions), Hook::SyscallExits(_, calls)) = (&self.functions, program.hook) else {
            return Ok(());
        };
        let wanted: Vec<_> = calls.iter().flat_map(|call| functions.of(call)).collect();
        wanted.into_iter().try_for_each(|function| self.hook(function))
    }

    fn attach_part(&mut self, program: &Program, part: &Part) -> anyhow::Result<()> {
        let loaded = self.ebpf.program_mut(&part.name).ok_or(anyhow::anyhow!("no program {}", part.name))?;
        let hook = program.hook.btf_tracepoint(&self.btf).unwrap_or_default();
        match loaded {
            Loaded::BtfTracePoint(loaded) => loaded.load(hook, &self.btf)?,
            Loaded::RawTracePoint(loaded) => loaded.load()?,
            Loaded::FExit(loaded) => loaded.load(part.target.as_deref().unwrap_or_default(), &self.btf)?,
            Loaded::TracePoint(loaded) => loaded.load()?,
            _ => bail!("not to be attached"),
        }
        match (program.hook, &mut *loaded) {
            (Hook::SyscallExits(stage, calls), loaded) => {
                let (fd, table) = (loaded.fd()?, &mut self.tables[part.table]);
                calls
                    .iter()
                    .flat_map(|call| call.slots(stage))
                    .try_for_each(|slot| table.set(slot, fd, 0))?;
            }
            (Hook::Tracepoints { category, required, optional }, Loaded::TracePoint(loaded)) => {
                let optional = optional.iter().filter(|_| cfg!(target_arch = "x86_64"));
                for name in required.iter().chain(optional) {
                    loaded.attach(category, name)?;
                }
            }
            (_, Loaded::BtfTracePoint(loaded)) => loaded.attach().map(|_| ())?,
            (_, Loaded::RawTracePoint(loaded)) => loaded.attach(hook).map(|_| ())?,
            _ => bail!("not to be attached"),
        }
        Ok(())
    }

    /// Swaps the ledger's buffers and flushes the one that was written to; entries that found no room stay.
    pub fn sweep(&mut self) -> anyhow::Result<Sweep> {
        let settings = self.settings.get(&0, 0)?;
        self.settings.set(0, Settings { usage_side: 1 - settings.usage_side, ..settings }, 0)?;
        wire::wait_for_programs()?;
        self.flush()
    }

    /// Flushes the buffer that is not written to.
    pub fn flush(&mut self) -> anyhow::Result<Sweep> {
        let bytes = self.iterate(&SWEEP)?;
        Ok(Sweep::parse(&bytes)?)
    }

    fn hook(&mut self, function: Function) -> anyhow::Result<()> {
        if self.hooked.contains(&function) {
            return Ok(());
        }
        let number = self.hooked.iter().filter(|other| other.table == function.table).count();
        let name = stub(function.table, number);
        let Some(Loaded::FExit(loaded)) = self.ebpf.program_mut(&name) else { bail!("no {name}") };
        loaded.load(&function.name, &self.btf)?;
        loaded.attach()?;
        self.hooked.push(function);
        Ok(())
    }

    /// Returns the records of the task iterator.
    pub fn processes(&mut self) -> anyhow::Result<Vec<Vec<u8>>> {
        let bytes = self.iterate(&PROCESSES)?;
        wire::split(&bytes).map(|record| Ok(record?.to_vec())).collect()
    }

    fn iterate(&mut self, program: &Program) -> anyhow::Result<Vec<u8>> {
        let loaded = self.ebpf.program_mut(program.name).ok_or(anyhow::anyhow!("no iterator"))?;
        let loaded: &mut Iter = loaded.try_into()?;
        match loaded.load("task", &self.btf) {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(cause) => return Err(cause.into()),
        }
        let id = loaded.attach()?;
        let mut bytes = Vec::new();
        loaded.take_link(id)?.into_file()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns the tracer's counters since the start of this test.
    pub fn count(&self, kind: Kind) -> anyhow::Result<Count> {
        let (now, before) = (self.counted(kind as u32)?, self.before.get(&(kind as u32)));
        let since = |pick: fn(&Count) -> u64| pick(&now) - before.map_or(0, pick);
        Ok(Count {
            seen: since(|count| count.seen),
            lost: since(|count| count.lost),
            sampled: since(|count| count.sampled),
            filtered: since(|count| count.filtered),
        })
    }

    /// Returns one slot's counters, summed over all CPUs.
    fn counted(&self, slot: u32) -> anyhow::Result<Count> {
        let cpus = self.counts.get(&slot, 0)?;
        let sum = |pick: fn(&Count) -> u64| cpus.iter().map(pick).sum();
        Ok(Count {
            seen: sum(|cpu| cpu.seen),
            lost: sum(|cpu| cpu.lost),
            sampled: sum(|cpu| cpu.sampled),
            filtered: sum(|cpu| cpu.filtered),
        })
    }

    /// Takes all records of the second data ring; returns their number.
    pub fn drain_second(&mut self) -> u64 {
        let mut taken = 0;
        while let Some(bytes) = self.second.next() {
            taken += 1;
            keep(&mut self.records, &bytes);
        }
        taken
    }

    /// Takes all records of the rings; returns their number by ring.
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

    /// Returns the records of process `pid` and `kind`, once there are at least `count`.
    pub fn wait_for(&mut self, pid: u32, kind: Kind, count: usize) -> anyhow::Result<Vec<Vec<u8>>> {
        let end = clock::now() + DEADLINE;
        loop {
            self.drain();
            let found = self.of(pid, kind);
            if found.len() >= count {
                return Ok(found);
            }
            ensure!(clock::now() < end, "{} records of {pid} {kind:?}, not {count}", found.len());
            let mut rings = [
                PollFd::new(self.lifecycle.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.data.as_fd(), PollFlags::POLLIN),
            ];
            nix::poll::poll(&mut rings, PollTimeout::from(50u8))?;
        }
    }

    /// Returns the records of process `pid` and `kind` taken so far.
    pub fn of(&self, pid: u32, kind: Kind) -> Vec<Vec<u8>> {
        let all = self.records.get(&pid).map(Vec::as_slice).unwrap_or_default();
        all.iter().filter(|(found, _)| *found == kind).map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Returns all records of `kind` taken so far.
    pub fn all(&self, kind: Kind) -> Vec<Vec<u8>> {
        let all = self.records.values().flatten();
        all.filter(|(found, _)| *found == kind).map(|(_, bytes)| bytes.clone()).collect()
    }
}

/// Returns the fields of a record's row, which the tables of the schema must have for the record's tracer.
pub fn fields(kind: Kind, details: Details) -> anyhow::Result<Map<String, Value>> {
    let tracer = tracers().find(|tracer| tracer.kind == kind).context("no tracer")?.name;
    let writes = |tracers: Tracers| match tracers {
        Tracers::Only(names) => names.contains(&tracer),
        Tracers::All | Tracers::Kernel => true,
        Tracers::Shell => false,
    };
    let columns = [(Column::Fname, details.fname().is_some()), (Column::Ret, details.ret().is_some())];
    let columns = columns.iter().filter(|(column, written)| *written && !writes(column.tracers()));
    let mut missing: Vec<_> = columns.map(|(column, _)| column.name().to_owned()).collect();
    let Value::Object(fields) = serde_json::to_value(Extended::new(details))? else { bail!("no object") };
    let listed = |name: &str| Field::named(name).is_some_and(|field| writes(field.tracers));
    missing.extend(fields.keys().filter(|name| !listed(name)).cloned());
    ensure!(missing.is_empty(), "the schema does not list {tracer} at {missing:?}");
    Ok(fields)
}

fn keep(records: &mut HashMap<u32, Vec<(Kind, Vec<u8>)>>, bytes: &[u8]) {
    let header = Header::parse(bytes).expect("a header");
    let kind = header.kind().expect("a kind");
    records.entry(header.pid).or_default().push((kind, bytes.to_vec()));
}

/// Returns a file's generation from the kernel itself: by ioctl, else from its handle; 0 if neither works.
pub fn generation(path: &std::path::Path) -> anyhow::Result<u32> {
    const ASK: &str = r#"
        open(my $file, "<", $ARGV[0]) or die;
        my $answer = pack("q", 0);
        if (ioctl($file, 0x80087601, $answer)) { print unpack("L", $answer); exit; }
        my ($handle, $mount) = (pack("LL", 12, 0) . "\0" x 12, pack("L", 0));
        my $empty = "";
        if (syscall($ARGV[1] + 0, fileno($file), $empty, $handle, $mount, 0x1000) == 0) { print unpack("x8L", $handle); }
        else { print 0; }
    "#;
    let mut answer = std::process::Command::new("perl");
    answer.args(["-e", ASK]).arg(path);
    let answer = answer.arg(libc::SYS_name_to_handle_at.to_string()).output()?;
    Ok(String::from_utf8(answer.stdout)?.parse()?)
}
