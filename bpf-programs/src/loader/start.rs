//! Starts the kernel side: loads the object without pins, loads and pins it, or resumes what is pinned.

use std::collections::BTreeMap;

use aya::maps::{Array, MapData};

use super::adopt::{self, Found, Pinning};
use super::load::{Loaded, can_be_loaded, loader};
use super::maps::map;
use super::sizes::kernel_types;
use crate::config::EbpfConfig;
use crate::errors::{LoadError, chain};
use crate::kernel::{Hooks as _, Records as _};
use crate::pin_choice::PinChoice;
use crate::programs::{Hook, Program, Tracer};
use crate::tier::Tier;
use crate::wire::{Mark, Settings};

const MARK: &str = "mark";
const NO_STORE: &str = "no store says how far the rings are read: collector.store was disabled at the start";
const UNPINNED: &str = "pinning is not possible: events between two runs will be missed";

impl Loaded {
    /// Loads the object, or resumes the pinned one. If pinning is not possible, logs an error and runs unpinned.
    ///
    /// # Errors
    /// When no tracer at all can run here.
    pub(crate) fn start(
        config: &EbpfConfig,
        wanted: &[&'static Tracer],
        pinning: Option<&Pinning>,
    ) -> Result<Self, LoadError> {
        // Before anything is made in bpffs, so that a user's agent without rights takes no names there.
        can_be_loaded()?;
        let Some(pinning) = pinning else { return Self::load_without_store(config, wanted) };
        let mut loaded = Self::start_or_resume(config, wanted, pinning)?;
        loaded.pin_info.note_gap(&pinning.remembered, &pinning.collector_id);
        Ok(loaded)
    }

    fn load_without_store(config: &EbpfConfig, wanted: &[&'static Tracer]) -> Result<Self, LoadError> {
        let mut loaded = Self::load(config, wanted, None)?;
        if config.pin != PinChoice::Never {
            loaded.pin_info.state.problem = Some(NO_STORE.to_owned());
        }
        Ok(loaded)
    }

    fn start_or_resume(
        config: &EbpfConfig,
        wanted: &[&'static Tracer],
        pinning: &Pinning,
    ) -> Result<Self, LoadError> {
        let (found, problem) = match adopt::inspect(config, pinning) {
            Err(cause) => (None, Some(chain(&cause))),
            Ok(None) => (None, None),
            Ok(Some(found)) if !config.pins() => {
                found.pins.remove_all();
                (Some(found), None)
            }
            Ok(Some(mut found)) => match Self::start_on(&mut found, config, wanted, pinning) {
                Err(cause @ (LoadError::Pin(_) | LoadError::Map { map: MARK, .. })) => {
                    found.pins.clear();
                    (Some(found), Some(chain(&cause)))
                }
                done => return done,
            },
        };
        match (&problem, config.pin) {
            (Some(why), PinChoice::Always) => tracing::error!(why, "{UNPINNED}"),
            (Some(why), _) => tracing::warn!(why, "{UNPINNED}"),
            _ => {}
        }
        let problem = problem.or_else(|| config.pin_conflict());
        let mut pin_info = found.map(|found| found.unpinned()).unwrap_or_default();
        pin_info.state.problem = problem;
        pin_info.names = pinning.names.clone();
        let mut loaded = Self::load(config, wanted, None)?;
        loaded.pin_info = pin_info;
        Ok(loaded)
    }

    fn start_on(
        found: &mut Found,
        config: &EbpfConfig,
        wanted: &[&'static Tracer],
        pinning: &Pinning,
    ) -> Result<Self, LoadError> {
        if let Some((mark, tier)) = found.adopt {
            match Self::adopt(found, &mark, tier, config, wanted, pinning) {
                Ok(kernel) => return Ok(kernel),
                Err(cause) => {
                    found.refuse(Some(mark), format!("they can't be opened: {}", chain(&cause)), pinning)
                }
            }
        }
        let mut kernel = Self::load(config, wanted, Some(&found.pins))?;
        found.pins.may_hold(kernel.hooks.tier)?;
        // What was attached to find the tier gets a pinned link when it is attached again.
        kernel.hooks.close();
        kernel.mark(found, config, pinning)?;
        Ok(kernel)
    }

    /// Writes the mark of what was just loaded and pinned. It is written last: pins without a mark are incomplete.
    fn mark(&mut self, found: &Found, config: &EbpfConfig, pinning: &Pinning) -> Result<(), LoadError> {
        let mark = pinning.mark(config, self.hooks.tier);
        let mut marks: Array<MapData, Mark> = map(&mut self.hooks.ebpf, MARK)?;
        marks.set(0, mark, 0).map_err(|source| LoadError::Map { map: MARK, source: Box::new(source) })?;
        self.pin_info = found.pin_info(&mark, pinning);
        self.hooks.pins = Some(found.pins.clone());
        Ok(())
    }

    /// Resumes what is pinned: programs with pinned links stay attached and are not loaded again.
    fn adopt(
        found: &Found,
        mark: &Mark,
        tier: Tier,
        config: &EbpfConfig,
        wanted: &[&'static Tracer],
        pinning: &Pinning,
    ) -> Result<Self, LoadError> {
        let pins = found.pins.clone();
        let types = kernel_types()?;
        let mut kernel = Self::load_on(config, tier, wanted, None, &pins.maps(), (loader(&types), &types))?;
        let before = kernel.settings.in_force();
        let before = before.map_err(|source| LoadError::Map { map: "settings", source: Box::new(source) })?;
        kernel.rules.resume(&before);
        let allowed = wanted.iter().fold(0, |bits, tracer| bits | 1_u64 << tracer.kind as u32);
        let Settings { reader_tgid, reader_start_ns, usage_side, .. } = before;
        let enabled = before.enabled & allowed;
        kernel.settings.change(|settings| {
            *settings = Settings { enabled, reader_tgid, reader_start_ns, usage_side, ..*settings };
        });
        let needed: BTreeMap<&str, &Program> =
            kernel.hooks.programs_of(wanted).into_iter().map(|program| (program.name, program)).collect();
        pins.remove_links(|program| needed.contains_key(program));
        let chosen = &kernel.hooks.chosen;
        let calls = needed.values().filter_map(|program| match program.hook {
            Hook::SyscallExits(stage, _) => Some((stage, chosen.calls(program))),
            _ => None,
        });
        kernel.hooks.table.keep_only(calls);
        let is_attached = |program: &Program| {
            is_linked(program) && program.hook.names().iter().all(|hook| pins.has_link(program.name, hook))
        };
        kernel.hooks.load(wanted, &types, |program| !is_attached(program));
        kernel.pin_info = found.pin_info(mark, pinning);
        kernel.hooks.pins = Some(pins.clone());
        tracing::info!(
            folder = %pins.folder().display(),
            data = kernel.data.cursor(),
            lifecycle = kernel.lifecycle.cursor(),
            "resuming the pinned rings"
        );
        Ok(kernel)
    }
}

/// Returns whether the program is attached by links, which can be pinned. Programs in the table are loaded again, because
/// the program in a slot can't be identified from user space; each atomically replaces its predecessor.
fn is_linked(program: &Program) -> bool {
    !matches!(program.hook, Hook::TaskIterator | Hook::SyscallExits(..))
}
