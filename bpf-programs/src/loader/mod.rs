//! The object in this binary, loaded: maps, programs, hooks. Everything that touches aya is here.
//!
//! Each program is loaded and attached on its own, so that one refused by the verifier costs only its tracer.
//! No limit is raised: since Linux 5.11 maps don't count as locked memory.

mod adopt;
pub(crate) mod errors;
mod pins;
mod program;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray};
use aya::{Btf, Ebpf, EbpfLoader};
use model::Stretch;
use model::units::Size;

pub use adopt::Pinning;
pub use errors::{AttachError, LoadError};
pub use pins::PinError;
pub(crate) use pins::Pins;
use program::Held;

use crate::cast;
use crate::config::EbpfConfig;
use crate::facts::{self, Capabilities, Capability, KernelVersion, OLDEST};
use crate::host::{Attached, Count, Footing, Ring, Source};
use crate::programs::{LIFECYCLE, OBJECT, PROCESSES, Program, Tracer, tracers};
use crate::wire::{self, RingReader, Settings};

/// What loading and attaching needs. Reading tracefs needs more, see [`AttachError::NoTracefs`].
pub(crate) const NEEDED: [Capability; 2] = [Capability::CapBpf, Capability::CapPerfmon];
/// A ring wakes the agent when one part in so many is full.
const WAKE_AT: u64 = 4;

/// The loaded object, with its rings and links. Dropping it detaches everything.
pub(crate) struct Kernel {
    ebpf: Ebpf,
    /// Programs the verifier has let pass.
    loaded: BTreeSet<&'static str>,
    lifecycle: RingReader,
    data: RingReader,
    counts: PerCpuArray<MapData, wire::Count>,
    settings_map: Array<MapData, Settings>,
    settings: Settings,
    /// Hooks that are attached, by program.
    held: BTreeMap<&'static str, Vec<Held>>,
    /// Where its maps and links are pinned, if they are.
    pins: Option<Pins>,
    footing: Footing,
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

impl Kernel {
    /// Loads the object's maps and the programs of these tracers. Nothing is attached yet.
    ///
    /// # Errors
    /// When no tracer at all can run here.
    pub(crate) fn load(config: &EbpfConfig, wanted: &[&'static Tracer]) -> Result<Self, LoadError> {
        Self::load_on(config, wanted, None, &[])
    }

    /// The same, pinning its maps, or with maps that are there already: their names, and where they are pinned.
    fn load_on(
        config: &EbpfConfig,
        wanted: &[&'static Tracer],
        pins: Option<&Pins>,
        pinned: &[(String, PathBuf)],
    ) -> Result<Self, LoadError> {
        if OBJECT.is_empty() {
            return Err(LoadError::NotBuilt);
        }
        if let Some(found) = KernelVersion::running().filter(|found| *found < OLDEST) {
            return Err(LoadError::KernelTooOld { found });
        }
        if std::fs::File::open(facts::BTF).is_err() {
            return Err(LoadError::NoBtf);
        }
        let missing = Capabilities::effective().missing(&NEEDED);
        if !missing.is_empty() {
            return Err(LoadError::NotAllowed { missing, source: None });
        }
        let (data_size, lifecycle_size) = (ring_size(config.data_ring), ring_size(config.lifecycle_ring));
        let refused = refused_kind();
        let btf = kernel_types()?;
        let (object, has_cast) = cast::resolve(OBJECT, &btf);
        let mut loader = EbpfLoader::new();
        for (name, path) in pinned {
            loader.map_pin_path(name, path);
        }
        let mut ebpf = loader
            .btf(Some(&btf))
            .override_global("has_cast", &u8::from(has_cast), true)
            .override_global("refused_kind", &refused, true)
            .map_max_entries("data", data_size)
            .map_max_entries("lifecycle", lifecycle_size)
            .load(&object)
            .map_err(|cause| errors::of_object(cause, missing))?;
        if let Some(pins) = pins {
            pins.pin_maps(&ebpf)?;
        }
        let mut kernel = Self {
            lifecycle: ring(&ebpf, "lifecycle", lifecycle_size)?,
            data: ring(&ebpf, "data", data_size)?,
            counts: map(&mut ebpf, "counts")?,
            settings_map: map(&mut ebpf, "settings")?,
            settings: settings(config, data_size, lifecycle_size),
            held: BTreeMap::new(),
            loaded: BTreeSet::new(),
            pins: None,
            footing: Footing::default(),
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
        let programs: BTreeMap<&str, &'static Program> =
            of_tracers.chain(LIFECYCLE).chain([&PROCESSES]).map(|program| (program.name, program)).collect();
        let found = self.ebpf.programs_mut();
        let jobs = found.filter_map(|(name, loaded)| Some((*programs.get(name)?, loaded)));
        let jobs = jobs.filter(|(program, _)| needed(program));
        self.loaded = program::load_all(jobs.collect(), btf);
    }

    /// A program that the verifier has let pass.
    fn loaded(&mut self, program: &'static Program) -> Result<&mut aya::programs::Program, AttachError> {
        let found = self.ebpf.program_mut(program.name);
        let found = found.ok_or(AttachError::NoProgram { program: program.name })?;
        if !self.loaded.contains(program.name) {
            let btf = kernel_types().map_err(|_| AttachError::NoBtf { program: program.name })?;
            program::load(found, program, &btf)?;
            self.loaded.insert(program.name);
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
            }
        }
    }

    fn attach_program(&mut self, program: &'static Program) -> Result<Vec<String>, AttachError> {
        if !self.held.contains_key(program.name) {
            let mut held = Vec::new();
            let mut missing = Vec::new();
            for hook in program::hooks(program)? {
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

    fn ring_mut(&mut self, ring: Ring) -> &mut RingReader {
        match ring {
            Ring::Lifecycle => &mut self.lifecycle,
            Ring::Data => &mut self.data,
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

    /// Loads a tracer's programs without attaching them; for `check`.
    pub(crate) fn try_load(&mut self, tracer: &Tracer) -> Vec<(&'static Program, Result<(), AttachError>)> {
        let mut load = |program| {
            program::hooks(program)?;
            self.loaded(program).map(|_| ())
        };
        tracer.programs.iter().map(|program| (program, load(program))).collect()
    }
}

impl Source for Kernel {
    fn drain(&mut self, ring: Ring, limit: usize, visit: &mut dyn FnMut(Stretch, &[u8])) -> usize {
        let ring = self.ring_mut(ring);
        for taken in 0..limit {
            match ring.next() {
                Some((stretch, record)) => visit(stretch, record),
                None => return taken,
            }
        }
        limit
    }

    fn release(&mut self, ring: Ring, upto: u64) {
        self.ring_mut(ring).release(upto);
    }

    fn cursor(&self, ring: Ring) -> u64 {
        match ring {
            Ring::Lifecycle => self.lifecycle.cursor(),
            Ring::Data => self.data.cursor(),
        }
    }

    fn size(&self, ring: Ring) -> u64 {
        match ring {
            Ring::Lifecycle => self.lifecycle.size(),
            Ring::Data => self.data.size(),
        }
    }

    fn footing(&self) -> Footing {
        self.footing.clone()
    }

    fn count(&mut self, slot: u32) -> io::Result<Count> {
        let cpus = self.counts.get(&slot, 0).map_err(io::Error::other)?;
        Ok(Count::sum(&cpus))
    }

    fn processes(&mut self, visit: &mut dyn FnMut(&[u8])) -> Result<usize, AttachError> {
        let mut file = program::iterate(self.loaded(&PROCESSES)?, &PROCESSES)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| AttachError::Iterate { source })?;
        let mut count = 0;
        for record in wire::split(&bytes) {
            visit(record.map_err(|cause| AttachError::Iterate { source: io::Error::other(cause) })?);
            count += 1;
        }
        self.know_ourselves();
        Ok(count)
    }

    fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError> {
        let mut attached = Attached::default();
        for program in tracer.programs {
            match (self.attach_program(program), program.without) {
                (Ok(hooks), _) => attached.hooks.extend(hooks),
                (Err(cause), Some(without)) => attached.without.push(format!("{without} ({cause})")),
                (Err(cause), None) => {
                    self.detach(tracer);
                    return Err(cause);
                }
            }
        }
        self.settings.enable(tracer.kind, true);
        self.write_settings();
        Ok(attached)
    }

    fn detach(&mut self, tracer: &'static Tracer) {
        self.settings.enable(tracer.kind, false);
        self.write_settings();
        if !keeps_table(tracer) {
            let held = tracer.programs.iter().filter_map(|program| self.held.remove(program.name));
            held.flatten().collect::<Vec<_>>().into_iter().for_each(Held::detach);
        }
    }

    fn set_uids(&mut self, uids: &[u32]) {
        self.settings.set_uids(uids);
        self.write_settings();
    }

    fn close(&mut self) {
        self.settings.enabled = 0;
        self.write_settings();
        std::mem::take(&mut self.held).into_values().flatten().for_each(Held::detach);
    }

    fn wakers(&self) -> io::Result<[OwnedFd; 2]> {
        Ok([self.lifecycle.as_fd().try_clone_to_owned()?, self.data.as_fd().try_clone_to_owned()?])
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

fn settings(config: &EbpfConfig, data_size: u32, lifecycle_size: u32) -> Settings {
    let wake_at = |size: u32| size / WAKE_AT as u32;
    let mut settings = Settings {
        data_wakeup: wake_at(data_size),
        lifecycle_wakeup: wake_at(lifecycle_size),
        agent_tgid: std::process::id(),
        ..Settings::default()
    };
    settings.set_uids(&config.uids);
    settings
}

/// The next size that the kernel takes: a power of two of memory pages.
fn ring_size(wanted: Size) -> u32 {
    let page = page_size() as u64;
    let pages = wanted.0.div_ceil(page).max(1).next_power_of_two();
    u32::try_from(pages * page).unwrap_or(1 << 31)
}

fn page_size() -> usize {
    nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as usize
}

/// Where a tracepoint is in tracefs.
fn tracepoint_exists(category: &str, name: &str) -> io::Result<bool> {
    Ok(facts::tracefs()?.join("events").join(category).join(name).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_get_sizes_the_kernel_takes() {
        assert_eq!(ring_size(Size(8 << 20)), 8 << 20);
        assert_eq!(ring_size(Size((4 << 20) + 1)), 8 << 20);
        assert!(ring_size(Size(1)).is_power_of_two());
    }
}
