//! Loads the eBPF object built into this binary: creates its maps, loads its programs, attaches them to their hooks. All
//! use of aya is in this module.
//!
//! Each program is loaded and attached separately, so that a program refused by the verifier disables only its tracer.
//! `RLIMIT_MEMLOCK` is not raised: since Linux 5.11 maps don't count as locked memory.

mod adopt;
mod cgroup_sets;
pub(crate) mod errors;
mod pins;
mod program;
mod rings;
mod rules;
mod sizes;
mod source;
mod start;
mod sweep;
mod table;
mod tiers;
mod trees;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, ProgramArray};
use aya::{Btf, Ebpf, EbpfLoader};
use model::pushdown::Split;

pub use adopt::Pinning;
pub use errors::{AttachError, LoadError};
pub use pins::PinError;
pub(crate) use pins::Pins;
use program::Held;
use rings::DataRings;
use rules::Rules;
use sizes::{page_size, ring_size, settings};
use table::Table;
pub(crate) use tiers::Hooked;

use crate::cast;
use crate::catalog::{DISPATCHER, LIFECYCLE, OBJECT, PROCESSES, object, tracers};
use crate::config::EbpfConfig;
use crate::facts::{self, Capabilities, Capability, KernelVersion, OLDEST};
use crate::host::PinInfo;
use crate::ledger::{Ledger, SWEEP};
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::{self, Stage, Syscall};
use crate::tier::{Choice, Tier};
use crate::trampoline::{Functions, Part, TABLES};
use crate::wire::{self, RingReader, Settings};

/// Capabilities needed to load and attach programs. Reading tracefs needs another, see [`AttachError::NoTracefs`].
pub(crate) const NEEDED: [Capability; 2] = [Capability::CapBpf, Capability::CapPerfmon];

/// The loaded object, with its rings and links. Dropping it detaches everything.
pub(crate) struct Kernel {
    ebpf: Ebpf,
    /// Programs the verifier has accepted.
    loaded: BTreeSet<String>,
    tier: Tier,
    /// For tier trampoline: the functions of system calls in this kernel.
    functions: Option<Functions>,
    stubs: tiers::Stubs,
    lifecycle: RingReader,
    data: DataRings,
    counts: PerCpuArray<MapData, wire::Count>,
    settings_map: Array<MapData, Settings>,
    settings: Settings,
    rules: Rules,
    splits: Vec<Split>,
    /// Attached hooks, by program.
    held: BTreeMap<&'static str, Vec<Held>>,
    /// Programs by system call, reached by tail call from the one hook for all calls.
    table: Table,
    /// Pairs of program and tracer that uses it: a program stays attached while it has a user.
    users: BTreeSet<(&'static str, &'static str)>,
    ledger: Ledger,
    /// Calls that found the ledger full, as far as they were logged.
    reported_full: u64,
    /// The directory of pinned maps and links, if they are pinned.
    pins: Option<Pins>,
    pin_info: PinInfo,
    lacks: Vec<String>,
}

/// Returns the kind whose programs the verifier is made to refuse: none.
#[cfg(not(feature = "fault-injection"))]
fn refused_kind() -> u32 {
    0
}

/// Returns the kind whose programs the verifier is made to refuse: that of the tracer named by a test.
#[cfg(feature = "fault-injection")]
fn refused_kind() -> u32 {
    let name = std::env::var("DUETECTOR_FAULT_REFUSED").unwrap_or_default();
    tracers().find(|tracer| tracer.name == name).map_or(0, |tracer| tracer.kind as u32)
}

/// Checks that this binary has an object and that the kernel is new enough and has type information.
fn can_be_loaded() -> Result<(), LoadError> {
    if OBJECT.is_empty() {
        return Err(LoadError::NotBuilt);
    }
    if let Some(found) = KernelVersion::running().filter(|found| *found < OLDEST) {
        return Err(LoadError::KernelTooOld { found });
    }
    if std::fs::File::open(facts::BTF).is_err() {
        return Err(LoadError::NoBtf);
    }
    Ok(())
}

impl Kernel {
    /// Loads the object's maps and the programs of these tracers. Nothing is attached yet.
    ///
    /// # Errors
    /// When no tracer at all can run here.
    pub(crate) fn load(config: &EbpfConfig, wanted: &[&'static Tracer]) -> Result<Self, LoadError> {
        let mut refused = None;
        for tier in config.tier.tiers() {
            match Self::load_on(config, *tier, wanted, None, &[]) {
                Ok(mut kernel) => match kernel.probe() {
                    Err(cause) if config.tier == Choice::Auto => {
                        tracing::warn!(tier = tier.name(), %cause, "this kernel lacks what the tier needs");
                        refused.get_or_insert(Ok(kernel));
                    }
                    _ => return Ok(kernel),
                },
                Err(cause) => {
                    refused.get_or_insert(Err(cause));
                }
            }
        }
        // The error of the preferred tier.
        refused.unwrap_or(Err(LoadError::NotBuilt))
    }

    /// Loads the object for one tier: pins its maps in `pins`, or uses the maps in `pinned` (names and paths).
    fn load_on(
        config: &EbpfConfig,
        tier: Tier,
        wanted: &[&'static Tracer],
        pins: Option<&Pins>,
        pinned: &[(String, PathBuf)],
    ) -> Result<Self, LoadError> {
        can_be_loaded()?;
        let missing = Capabilities::effective().missing(&NEEDED);
        if !missing.is_empty() {
            return Err(LoadError::NotAllowed { missing, source: None });
        }
        let (data_size, lifecycle_size) = (ring_size(config.data_ring), ring_size(config.lifecycle_ring));
        let btf = kernel_types()?;
        let (object, has_cast) = cast::resolve(object(tier), &btf);
        let mut loader = EbpfLoader::new();
        for (name, path) in pinned {
            loader.map_pin_path(name, path);
        }
        let used = config.data_rings.min(facts::possible_cpus());
        sizes::set(&mut loader, config, used);
        let mut ebpf = loader
            .btf(Some(&btf))
            .override_global("has_cast", &u8::from(has_cast), true)
            .override_global("compat_calls", &syscalls::COMPAT_CALLS[..], true)
            .override_global("refused_kind", &refused_kind(), true)
            .load(&object)
            .map_err(|cause| errors::of_object(cause, missing))?;
        if let Some(pins) = pins {
            pins.pin_maps(&ebpf)?;
        }
        let mut kernel = Self {
            lifecycle: ring(&ebpf, "lifecycle", lifecycle_size)?,
            data: DataRings::new(
                rings::NAMES[..used as usize]
                    .iter()
                    .map(|name| ring(&ebpf, name, data_size))
                    .collect::<Result<_, _>>()?,
            ),
            counts: map(&mut ebpf, "counts")?,
            settings_map: map(&mut ebpf, "settings")?,
            rules: Rules::new(&mut ebpf)?,
            splits: Vec::new(),
            settings: settings(config, used, data_size, lifecycle_size),
            held: BTreeMap::new(),
            table: Table::new(tables(&mut ebpf, tier)?),
            tier,
            functions: tiers::functions(tier),
            stubs: tiers::Stubs::default(),
            users: BTreeSet::new(),
            loaded: BTreeSet::new(),
            ledger: Ledger::new(config.usage_interval.0.as_nanos() as u64),
            reported_full: 0,
            pins: None,
            pin_info: PinInfo::default(),
            lacks: Vec::new(),
            ebpf,
        };
        if pinned.is_empty() {
            kernel.load_programs(wanted, &btf, |_| true);
            kernel.write_settings();
        }
        Ok(kernel)
    }

    /// Loads all programs in parallel: each takes the verifier 20 to 80 ms on one thread. A program that is refused is
    /// tried again, and the error reported, when its tracer is attached.
    fn load_programs(&mut self, wanted: &[&'static Tracer], btf: &Btf, needed: impl Fn(&Program) -> bool) {
        let keepers = tracers().filter(|tracer| keeps_table(tracer));
        let of_tracers = keepers.chain(wanted.iter().copied()).flat_map(|tracer| tracer.programs);
        let programs = of_tracers.chain(LIFECYCLE).chain([&PROCESSES, &SWEEP, &DISPATCHER]);
        let programs: BTreeSet<&'static Program> = programs.filter(|program| needed(program)).collect();
        let parts =
            programs.iter().flat_map(|program| self.parts(program).into_iter().map(|part| (*program, part)));
        let mut jobs: BTreeMap<String, program::Job> =
            parts.map(|(program, part)| (part.name.clone(), (program, part))).collect();
        jobs.extend(self.stubs_of(&programs));
        let found = self.ebpf.programs_mut();
        let jobs = found.filter_map(|(name, loaded)| Some((jobs.remove(name)?, loaded)));
        self.loaded = program::load_all(jobs.collect(), btf);
    }

    /// Returns a program that the verifier has accepted, loading it if necessary.
    fn loaded(&mut self, program: &'static Program) -> Result<&mut aya::programs::Program, AttachError> {
        self.loaded_part(program, &Part::whole(program))
    }

    fn loaded_part(
        &mut self,
        program: &'static Program,
        part: &Part,
    ) -> Result<&mut aya::programs::Program, AttachError> {
        let found = self.ebpf.program_mut(&part.name);
        let found = found.ok_or(AttachError::NoProgram { program: program.name })?;
        if !self.loaded.contains(&part.name) {
            let btf = kernel_types().map_err(|_| AttachError::NoBtf { program: program.name })?;
            program::load(found, program, part.target.as_deref(), &btf)?;
            self.loaded.insert(part.name.clone());
        }
        Ok(found)
    }

    /// Attaches the programs that feed the process table. One that can't be attached is logged here, and is reported
    /// again, as an error, when a tracer that needs it is attached.
    pub(crate) fn attach_lifecycle(&mut self) {
        let keepers = tracers().filter(|tracer| keeps_table(tracer)).flat_map(|tracer| tracer.programs);
        for program in LIFECYCLE.iter().chain(keepers) {
            if let Err(cause) = self.attach_program(program) {
                let missing = program.without.unwrap_or("processes in the process table");
                tracing::warn!(program = program.name, %cause, missing, "process table is incomplete");
                self.lacks.push(format!("{missing} ({cause})"));
            }
        }
    }

    /// Returns the missing parts of the process table, each with the cause.
    pub(crate) fn lacks(&self) -> Vec<String> {
        self.lacks.clone()
    }

    fn attach_program(&mut self, program: &'static Program) -> Result<Hooked, AttachError> {
        match program.hook {
            Hook::SyscallExits(stage, calls) => self.enter(program, stage, calls),
            _ => self.hold(program).map(Hooked::all),
        }
    }

    /// Attaches a program to its own hooks, except those with a pinned link.
    fn hold(&mut self, program: &'static Program) -> Result<Vec<String>, AttachError> {
        if !self.held.contains_key(program.name) {
            let mut held = Vec::new();
            let mut missing = Vec::new();
            for hook in program::hooks(program)? {
                program::refuse_missing(program.name, self.tier, &hook)?;
                match self.pins.as_ref().and_then(|pins| pins.link(program.name, &hook)) {
                    Some(link) => held.push(Held::pinned(hook, link)),
                    None => missing.push(hook),
                }
            }
            if !missing.is_empty() {
                let pins = self.pins.clone();
                held.extend(program::attach(self.loaded(program)?, program, missing, pins.as_ref())?);
            }
            self.held.insert(program.name, held);
        }
        Ok(self.held[program.name].iter().map(|held| held.hook.clone()).collect())
    }

    /// Puts a program into the table, and then attaches the dispatcher that calls it.
    fn enter(
        &mut self,
        program: &'static Program,
        stage: Stage,
        calls: &'static [Syscall],
    ) -> Result<Hooked, AttachError> {
        if !self.table.has(program.name) {
            let parts = self.parts(program);
            for part in &parts {
                self.loaded_part(program, part)?;
            }
            let found = parts.iter().filter_map(|part| Some((part.table, self.ebpf.program(&part.name)?)));
            self.table.enter(program.name, &found.collect::<Vec<_>>(), stage, calls)?;
        }
        self.hook_calls(calls).inspect_err(|_| self.table.leave(program.name))
    }

    /// Detaches a tracer's programs, except those that another tracer uses.
    fn leave(&mut self, tracer: &'static Tracer) {
        for program in tracer.programs {
            self.users.remove(&(program.name, tracer.name));
            if self.users.iter().any(|(name, _)| *name == program.name) {
                continue;
            }
            self.table.leave(program.name);
            self.held.remove(program.name).into_iter().flatten().for_each(Held::detach);
        }
        self.leave_functions();
        if self.table.is_empty() {
            self.held.remove(DISPATCHER.name).into_iter().flatten().for_each(Held::detach);
        }
    }

    /// Takes over this process's identity as the task iterator has just noted it, by which programs skip the agent's own
    /// events. Unlike our own pid it is valid outside our pid namespace, and the start time distinguishes a reused pid.
    fn note_own_identity(&mut self) {
        match self.settings_map.get(&0, 0) {
            Ok(Settings { reader_tgid, reader_start_ns, .. }) if reader_tgid != 0 => {
                self.settings = Settings { agent_tgid: 0, reader_tgid, reader_start_ns, ..self.settings };
                self.write_settings();
            }
            Ok(_) => {}
            Err(cause) => tracing::error!(%cause, "reading eBPF settings failed"),
        }
    }

    fn write_settings(&mut self) {
        if let Err(cause) = self.settings_map.set(0, self.settings, 0) {
            // The only element of an array can always be written.
            tracing::error!(%cause, "writing eBPF settings failed");
        }
    }

    /// Returns the tier of hooks in use.
    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    /// Attaches a tracer's programs without enabling the tracer, so nothing is recorded; for `check`.
    pub(crate) fn try_attach(
        &mut self,
        tracer: &Tracer,
    ) -> Vec<(&'static Program, Result<Hooked, AttachError>)> {
        tracer.programs.iter().map(|program| (program, self.attach_program(program))).collect()
    }
}

/// Returns whether the tracer's programs feed the process table and stay attached even if the tracer is disabled.
fn keeps_table(tracer: &Tracer) -> bool {
    tracer.kind.is_lifecycle()
}

/// Parses the kernel's type information. It takes 16 MiB, so the result is not kept.
fn kernel_types() -> Result<Btf, LoadError> {
    Btf::from_sys_fs().map_err(|_| LoadError::NoBtf)
}

fn tables(ebpf: &mut Ebpf, tier: Tier) -> Result<Vec<ProgramArray<MapData>>, LoadError> {
    let count = if tier == Tier::Trampoline { TABLES.len() } else { 1 };
    TABLES.iter().take(count).map(|name| map(ebpf, name)).collect()
}

fn map<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, LoadError> {
    let map = ebpf.take_map(name).ok_or(LoadError::NoMap { map: name })?;
    T::try_from(map).map_err(|source| LoadError::Map { map: name, source: Box::new(source) })
}

/// Opens a reader for a ring. The object keeps the map, whose descriptor is needed to load programs.
fn ring(ebpf: &Ebpf, name: &'static str, size: u32) -> Result<RingReader, LoadError> {
    let Some(Map::RingBuf(map)) = ebpf.map(name) else { return Err(LoadError::NoMap { map: name }) };
    let failed = |source| LoadError::Ring { map: name, source };
    let fd = map.fd().as_fd().try_clone_to_owned().map_err(failed)?;
    RingReader::open(fd, size, page_size()).map_err(failed)
}

/// Returns whether tracefs has the tracepoint.
fn tracepoint_exists(category: &str, name: &str) -> io::Result<bool> {
    Ok(facts::tracefs()?.join("events").join(category).join(name).is_dir())
}
