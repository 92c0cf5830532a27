//! Loads the object for one tier of hooks.
//!
//! Each program is loaded and attached separately, so that a program refused by the verifier disables only its tracer.
//! `RLIMIT_MEMLOCK` is not raised: since Linux 5.11 maps don't count as locked memory. Tier function has some 400 programs and
//! 380 links, and without pins a descriptor for each: the soft limit on open files, usually 1,024, is raised to the hard one.

use std::path::PathBuf;

use aya::maps::{Array, HashMap, MapData};
use aya::{Btf, EbpfLoader};
use model::BootNs;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::hooks::Programs;
use super::maps::{CounterMaps, map, ring, tables};
use super::pins::Pins;
use super::rings::{self, MergedRings};
use super::rule_maps::RuleMaps;
use super::sizes::{self, kernel_types, settings};
use super::stubs::Found;
use super::table::Table;
use super::trampolines::Trampoline;
use crate::cast;
use crate::catalog::{OBJECT, object};
use crate::config::EbpfConfig;
use crate::errors::{LoadError, NEEDED, chain, of_object};
use crate::facts::{self, Capabilities, KernelVersion, OLDEST};
use crate::kernel::{Kernel, LiveSettings, PinInfo, Skipped};
use crate::ledger::Ledger;
use crate::programs::Tracer;
use crate::subvolumes::Positions;
use crate::syscalls;
use crate::tier::{Choice, Tier};
use crate::wire::{Settings, Unstored};

const NO_TRAMPOLINES: &str = "this kernel does not let the agent attach programs to its functions";

/// Number of descriptors that suffices for all programs and links of tier function, with room to spare.
const DESCRIPTORS: u64 = 4096;

/// The tiers that `auto` prefers and this kernel refuses, with the reasons.
#[derive(Default)]
struct PassedOver(Vec<String>);

impl PassedOver {
    fn add(&mut self, tier: Tier, why: &str) {
        self.0.push(format!("{}: {why}", tier.name()));
    }

    fn text(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join("; "))
    }
}

/// The parts of the kernel side as loaded, with their own types.
pub(crate) struct Loaded {
    pub(super) lifecycle: MergedRings,
    security: MergedRings,
    pub(super) data: MergedRings,
    pub(crate) counters: CounterMaps,
    unstored: Array<MapData, Unstored>,
    skipped: Skipped,
    pub(super) settings: LiveSettings,
    pub(super) rules: RuleMaps,
    ledger: Ledger,
    pub(crate) hooks: Programs,
    pub(super) pin_info: PinInfo,
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
    crate::catalog::tracers().find(|tracer| tracer.name == name).map_or(0, |tracer| tracer.kind as u32)
}

/// Raises the soft limit on open files to [`DESCRIPTORS`], or as far as the hard limit allows.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = DESCRIPTORS.min(limit.maximum.unwrap_or(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(cause) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        tracing::debug!(%cause, "the limit on open files could not be raised");
    }
}

/// Checks that this binary has an object, that the kernel is new enough and has type information, and that this process
/// may load programs.
pub(super) fn can_be_loaded() -> Result<(), LoadError> {
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
    if missing.is_empty() { Ok(()) } else { Err(LoadError::NotAllowed { missing, source: None }) }
}

/// Returns a loader for a kernel with these types. Each new one reads the types of the kernel once more by itself, which
/// takes time and leaves holes in the heap: it is made as seldom as possible.
pub(super) fn loader(types: &Btf) -> EbpfLoader<'_> {
    let mut loader = EbpfLoader::new();
    loader.btf(Some(types));
    loader
}

impl Loaded {
    /// Loads the object's maps and the programs of these tracers for the first tier that works here, and pins the maps in
    /// `pins`. Only the hooks that tell whether a tier works are attached.
    ///
    /// # Errors
    /// When no tracer at all can run here.
    pub(crate) fn load(
        config: &EbpfConfig,
        wanted: &[&'static Tracer],
        pins: Option<&Pins>,
    ) -> Result<Self, LoadError> {
        if config.tier == Choice::Trampoline {
            tracing::warn!("ebpf.tier: \"trampoline\" is called \"function\" now; the old name still works");
        }
        can_be_loaded()?;
        let types = kernel_types()?;
        let (mut unused, mut refused, mut passed_over) = (None, None, PassedOver::default());
        for tier in config.tier.tiers() {
            let mut loader = unused.take().unwrap_or_else(|| loader(&types));
            let trampoline = match Trampoline::of(*tier, &mut loader, &types) {
                Ok(trampoline) => trampoline,
                Err(cause) if config.tier == Choice::Auto => {
                    tracing::info!(tier = tier.name(), %cause, "{NO_TRAMPOLINES}");
                    passed_over.add(*tier, &format!("{NO_TRAMPOLINES}: {}", chain(&cause)));
                    unused = Some(loader);
                    continue;
                }
                // Then each tracer says what it lacks.
                Err(_) => None,
            };
            match Self::load_on(config, *tier, wanted, pins, &[], (loader, &types)) {
                Ok(mut kernel) => match kernel.hooks.probe(trampoline) {
                    Err(cause) if config.tier == Choice::Auto => {
                        tracing::warn!(tier = tier.name(), %cause, "this kernel lacks what the tier needs");
                        passed_over.add(*tier, &chain(&cause));
                        refused.get_or_insert(Ok(kernel));
                    }
                    _ => {
                        kernel.hooks.passed_over = passed_over.text();
                        return Ok(kernel);
                    }
                },
                Err(cause) => {
                    passed_over.add(*tier, &chain(&cause));
                    refused.get_or_insert(Err(cause));
                }
            }
            // The maps of the next tier have the same names.
            pins.inspect(|pins| pins.clear());
        }
        // The error of the preferred tier, or what works there.
        match refused.unwrap_or(Err(LoadError::NotBuilt)) {
            Ok(kernel) if pins.is_some() => {
                Self::load_on(config, kernel.hooks.tier, wanted, pins, &[], (loader(&types), &types))
            }
            result => result,
        }
    }

    /// Loads the object for this tier, without pins.
    ///
    /// # Errors
    /// When the object can't be loaded.
    pub(crate) fn load_alone(
        config: &EbpfConfig,
        tier: Tier,
        wanted: &[&'static Tracer],
    ) -> Result<Self, LoadError> {
        can_be_loaded()?;
        let types = kernel_types()?;
        Self::load_on(config, tier, wanted, None, &[], (loader(&types), &types))
    }

    /// Loads the object for one tier: pins its maps in `pins`, or uses the maps in `pinned` (names and paths).
    pub(super) fn load_on(
        config: &EbpfConfig,
        tier: Tier,
        wanted: &[&'static Tracer],
        pins: Option<&Pins>,
        pinned: &[(String, PathBuf)],
        (loader, types): (EbpfLoader<'_>, &Btf),
    ) -> Result<Self, LoadError> {
        if tier == Tier::Function {
            allow_descriptors();
        }
        let (object, has_cast) = cast::resolve(object(tier), types);
        // With a shorter lifetime, for what is set below.
        let mut loader: EbpfLoader<'_> = loader;
        for (name, path) in pinned {
            loader.map_pin_path(name, path);
        }
        let used = config.data_rings.min(facts::possible_cpus());
        sizes::set(&mut loader, config, used);
        let found = Found::of(tier);
        let by_function = found.chosen.kinds();
        if tier == Tier::Function {
            loader.override_global("by_function", &by_function, true);
            // aya has no type for a map of task storage.
            loader.allow_unsupported_maps();
        }
        for (constant, at) in &found.chosen.positions {
            loader.override_global(constant, at, true);
        }
        let subvolumes = Positions::of_this_kernel();
        let mut ebpf = loader
            .override_global("has_cast", &u8::from(has_cast), true)
            .override_global("compat_calls", &syscalls::COMPAT_CALLS[..], true)
            .override_global("refused_kind", &refused_kind(), true)
            .override_global("subvolume_at", &subvolumes.subvolume, true)
            .override_global("subvolume_device_at", &subvolumes.device, true)
            .load(&object)
            .map_err(of_object)?;
        // Before maps are taken out of the object.
        if let Some(pins) = pins {
            pins.pin_maps(&ebpf)?;
        }
        let names = &rings::NAMES[..used as usize];
        let data = names.iter().map(|name| ring(&ebpf, name, config.data_ring)).collect::<Result<_, _>>()?;
        let one = |name, size| Ok::<_, LoadError>(MergedRings::new(vec![ring(&ebpf, name, size)?]));
        let mut kernel = Self {
            lifecycle: one("lifecycle", config.lifecycle_ring)?,
            security: one("security", config.security_ring)?,
            data: MergedRings::new(data),
            counters: CounterMaps::new(&mut ebpf)?,
            unstored: map(&mut ebpf, "unstored")?,
            skipped: Skipped::new(map::<HashMap<MapData, u32, u64>>(&mut ebpf, "skipped")?),
            settings: LiveSettings::new(
                map::<Array<MapData, Settings>>(&mut ebpf, "settings")?,
                settings(config, used),
            ),
            rules: RuleMaps::new(&mut ebpf)?,
            ledger: Ledger::new(config.usage_interval.0.as_nanos() as u64),
            pin_info: PinInfo::default(),
            hooks: Programs::new(tier, Table::new(tables(&mut ebpf, tier)?), ebpf, found),
        };
        if pinned.is_empty() {
            kernel.hooks.load(wanted, types, |_| true);
            kernel.settings.change(|_| {});
        }
        Ok(kernel)
    }

    /// Attaches the programs that feed the process table, and makes the parts the host's.
    pub(crate) fn into_kernel(mut self) -> Kernel {
        Kernel {
            lacks: self.hooks.attach_lifecycle(),
            passed_over: self.hooks.passed_over.clone(),
            rings: [Box::new(self.lifecycle), Box::new(self.security), Box::new(self.data)],
            counters: Box::new(self.counters),
            unstored: Box::new(self.unstored),
            skipped: self.skipped,
            settings: self.settings,
            hooks: Box::new(self.hooks),
            rules: Box::new(self.rules),
            splits: Vec::new(),
            ledger: self.ledger,
            has_flows: false,
            next_requests: Some(BootNs(0)),
            pin_info: self.pin_info,
        }
    }
}
