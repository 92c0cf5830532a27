//! The object in this binary, loaded: maps, programs, hooks. Everything that touches aya is here.
//!
//! Each program is loaded and attached on its own, so that one refused by the verifier costs only its tracer.
//! No limit is raised: since Linux 5.11 maps don't count as locked memory.

mod adopt;
pub(crate) mod errors;
mod pins;
mod places;
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
use crate::config::EbpfConfig;
use crate::facts::{self, Capabilities, Capability, KernelVersion, OLDEST};
use crate::host::Footing;
use crate::ledger::{Ledger, SWEEP};
use crate::programs::{Hook, LIFECYCLE, OBJECT, PROCESSES, Program, Tracer, object, tracers};
use crate::syscalls::{self, Stage, Syscall};
use crate::tier::{Choice, Tier};
use crate::trampoline::{Functions, Part, TABLES};
use crate::wire::{self, RingReader, Settings};

/// What loading and attaching needs. Reading tracefs needs more, see [`AttachError::NoTracefs`].
pub(crate) const NEEDED: [Capability; 2] = [Capability::CapBpf, Capability::CapPerfmon];

/// The loaded object, with its rings and links. Dropping it detaches everything.
pub(crate) struct Kernel {
    ebpf: Ebpf,
    /// Programs the verifier has let pass.
    loaded: BTreeSet<String>,
    tier: Tier,
    /// Of tier trampoline: the functions there are, and those that are hooked.
    functions: Option<Functions>,
    stubs: tiers::Stubs,
    lifecycle: RingReader,
    data: DataRings,
    counts: PerCpuArray<MapData, wire::Count>,
    settings_map: Array<MapData, Settings>,
    settings: Settings,
    rules: Rules,
    splits: Vec<Split>,
    /// Hooks that are attached, by program.
    held: BTreeMap<&'static str, Vec<Held>>,
    /// Programs by system call, behind the one hook for all of them.
    table: Table,
    /// Which tracers use which programs: a program stays for as long as one does.
    users: BTreeSet<(&'static str, &'static str)>,
    ledger: Ledger,
    /// Calls that found it full, as told in the log.
    told_full: u64,
    /// Where its maps and links are pinned, if they are.
    pins: Option<Pins>,
    footing: Footing,
    lacks: Vec<String>,
}

/// The kind whose programs the verifier is to refuse: none.
#[cfg(not(feature = "fault-injection"))]
fn refused_kind() -> u32 {
    0
}

/// The kind whose programs the verifier is to refuse, as a test wants it: the tracer of this name's.
#[cfg(feature = "fault-injection")]
fn refused_kind() -> u32 {
    let name = std::env::var("DUETECTOR_FAULT_REFUSED").unwrap_or_default();
    tracers().find(|tracer| tracer.name == name).map_or(0, |tracer| tracer.kind as u32)
}

/// There is an object, and a kernel that may take it.
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
        // As told for the tier that would be best.
        refused.unwrap_or(Err(LoadError::NotBuilt))
    }

    /// The same, pinning its maps, or with maps that are there already: their names, and where they are pinned.
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
            told_full: 0,
            pins: None,
            footing: Footing::default(),
            lacks: Vec::new(),
            ebpf,
        };
        if pinned.is_empty() {
            kernel.load_programs(wanted, &btf, |_| true);
            kernel.write_settings();
        }
        Ok(kernel)
    }

    /// Loads all programs at once, side by side: each costs the verifier 20 to 80 ms, alone on its thread. One
    /// that is refused is tried again, and its refusal told, when its tracer is attached.
    fn load_programs(&mut self, wanted: &[&'static Tracer], btf: &Btf, needed: impl Fn(&Program) -> bool) {
        let keepers = tracers().filter(|tracer| keeps_table(tracer));
        let of_tracers = keepers.chain(wanted.iter().copied()).flat_map(|tracer| tracer.programs);
        let programs = of_tracers.chain(LIFECYCLE).chain([&PROCESSES, &SWEEP, &syscalls::DISPATCHER]);
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

    /// A program that the verifier has let pass.
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

    /// Attaches what keeps the process table. What can't be attached is told again, as an error, to the tracer
    /// that needs it.
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

    /// What the process table lacks.
    pub(crate) fn lacks(&self) -> Vec<String> {
        self.lacks.clone()
    }

    fn attach_program(&mut self, program: &'static Program) -> Result<Hooked, AttachError> {
        match program.hook {
            Hook::SyscallExits(stage, calls) => self.enter(program, stage, calls),
            _ => self.hold(program).map(Hooked::all),
        }
    }

    /// Attaches a program to its own hooks, those that are pinned excepted.
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

    /// Puts a program into the table, and then the table's own program at its hook.
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

    /// Takes a tracer's programs from their hooks, but for those that another tracer uses.
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
            self.held.remove(syscalls::DISPATCHER.name).into_iter().flatten().for_each(Held::detach);
        }
    }

    /// The iterator has just noted who reads it, as the kernel knows this process: that is exact, where our own idea
    /// of our pid may be of another namespace, or somebody else's after our end.
    fn know_ourselves(&mut self) {
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
            // An array's only slot can always be written.
            tracing::error!(%cause, "writing eBPF settings failed");
        }
    }

    /// The kind of hooks it uses.
    pub(crate) fn tier(&self) -> Tier {
        self.tier
    }

    /// Attaches a tracer's programs, of which none records anything; for `check`.
    pub(crate) fn try_attach(
        &mut self,
        tracer: &Tracer,
    ) -> Vec<(&'static Program, Result<Hooked, AttachError>)> {
        tracer.programs.iter().map(|program| (program, self.attach_program(program))).collect()
    }
}

/// These tracers' programs feed the process table, whether or not anybody wants their records.
fn keeps_table(tracer: &Tracer) -> bool {
    tracer.kind.is_lifecycle()
}

/// The kernel's type information, parsed: 16 MiB, so nobody keeps it.
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

/// A reader of its own; the object keeps the map, whose descriptor programs are loaded with.
fn ring(ebpf: &Ebpf, name: &'static str, size: u32) -> Result<RingReader, LoadError> {
    let Some(Map::RingBuf(map)) = ebpf.map(name) else { return Err(LoadError::NoMap { map: name }) };
    let failed = |source| LoadError::Ring { map: name, source };
    let fd = map.fd().as_fd().try_clone_to_owned().map_err(failed)?;
    RingReader::open(fd, size, page_size()).map_err(failed)
}

/// Where a tracepoint is in tracefs.
fn tracepoint_exists(category: &str, name: &str) -> io::Result<bool> {
    Ok(facts::tracefs()?.join("events").join(category).join(name).is_dir())
}
