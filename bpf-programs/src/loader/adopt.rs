//! Decides at the start whether pinned maps and links can be resumed, and counts the lost records if they can't.
//!
//! The maps and links that an agent has pinned together have a name, the *name of the pin*. Map `mark` is empty at first,
//! and is written after all maps have been pinned. It then holds the name of the pin, the sizes of the rings, and
//! fingerprints of everything else that has to be the same: kernel programs, store and collector id, names of tracers. The
//! store keeps a checkpoint for each tracer under the name of the pin: a position in the ring, and the counts of all
//! records before it.
//!
//! ```text
//!  nothing pinned ─────────────────────────────────▶ load, pin, write the mark
//!  pinned, mark equal, checkpoints within the rings ▶ resume at the checkpoints        (adopted)
//!  pinned, anything else ─▶ detach, count what the store lacks, remove ─▶ load, pin …  (refused)
//! ```
//!
//! For refused rings, a tracer's loss is the number of records that the kernel counted minus those that the store's
//! checkpoint accounts for. Without any checkpoint, it is the number of the tracer's records that are still in the rings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use actors::clock;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use model::{BootNs, Remembered, RingCheckpoint, TracerName};
use std::os::fd::AsFd as _;

use super::pins::{Pins, fingerprint};
use super::sizes::{page_size, ring_size};
use crate::catalog::{object, tracers};
use crate::config::{EbpfConfig, TracersConfig};
use crate::errors::PinError;
use crate::kernel::{Missing, PinInfo, PinState, Skipped};
use crate::tier::Tier;
use crate::wire::{Count, Counts, Header, Kind, Mark, Ring, RingReader};

/// Facts needed for pinning besides the configuration.
#[derive(Clone, Debug)]
pub struct Pinning {
    /// The agent's work directory; each has its own pins.
    pub workdir: PathBuf,
    /// Collector id under which rows are stored.
    pub collector_id: String,
    /// The store's identity, and the checkpoints it holds.
    pub remembered: Remembered,
    /// Names under which tracers' rows are stored, by kind.
    pub(crate) names: BTreeMap<u32, TracerName>,
}

impl Pinning {
    /// Collects the facts for an agent with this work directory.
    pub fn new(workdir: PathBuf, collector_id: String, remembered: Remembered) -> Self {
        Self { workdir, collector_id, remembered, names: BTreeMap::new() }
    }

    /// Adds the names under which tracers' rows are stored.
    pub(crate) fn with_names(self, sections: &TracersConfig) -> Self {
        let names = tracers().map(|tracer| (tracer.kind as u32, sections.stored_as(tracer.name)));
        Self { names: names.collect(), ..self }
    }

    /// Returns the last checkpoints of a pin, by kind.
    pub(super) fn points(&self, pin: u64) -> BTreeMap<u32, RingCheckpoint> {
        let pin = pin_name(pin);
        let of = |tracer: &TracerName| {
            self.remembered.points.iter().find(|point| point.pin == pin && point.tracer == *tracer).cloned()
        };
        self.names.iter().filter_map(|(kind, name)| Some((*kind, of(name)?))).collect()
    }

    /// Returns the mark of this agent with a tier: fingerprints of everything that a successor must have in common with it.
    pub(super) fn mark(&self, config: &EbpfConfig, tier: Tier) -> Mark {
        let names: Vec<&[u8]> = self.names.values().map(|name| name.as_str().as_bytes()).collect();
        Mark {
            pin: clock::unix_ns().unsigned_abs(),
            object: fingerprint(&[object(tier), &fault()]),
            store: fingerprint(&[self.remembered.store.as_bytes(), self.collector_id.as_bytes()]),
            names: fingerprint(&names),
            made_ns: clock::boot_ns().0,
            data_size: ring_size(config.data_ring),
            lifecycle_size: ring_size(config.lifecycle_ring),
            security_size: ring_size(config.security_ring),
            complete: 1,
        }
    }
}

/// Returns bytes that make the object's fingerprint differ, to simulate another version in tests.
#[cfg(feature = "fault-injection")]
fn fault() -> Vec<u8> {
    std::env::var("DUETECTOR_FAULT_OBJECT").unwrap_or_default().into_bytes()
}

#[cfg(not(feature = "fault-injection"))]
fn fault() -> Vec<u8> {
    Vec::new()
}

/// Returns a pin's name in the store.
pub(super) fn pin_name(pin: u64) -> String {
    format!("{pin:016x}")
}

/// Result of inspecting the pins.
pub(super) struct Found {
    pub(super) pins: Pins,
    /// The mark of the pinned rings and the tier of their programs, if they can be resumed.
    pub(super) adopt: Option<(Mark, Tier)>,
    /// Reason why pinned rings can't be resumed.
    pub(super) refused: Option<String>,
    /// Records of the refused rings, which no one will store.
    pub(super) missing: Vec<Missing>,
    /// The kernel has counted all events since the run before, so that it is known what is missing.
    counted: bool,
}

/// Inspects the pins. Afterwards they can be adopted, or they have been removed. `None`: nothing is pinned, nor is to be.
pub(super) fn inspect(config: &EbpfConfig, pinning: &Pinning) -> Result<Option<Found>, PinError> {
    let pins = if config.pins() { Some(Pins::make(&pinning.workdir)?) } else { Pins::find(&pinning.workdir) };
    let Some(pins) = pins else { return Ok(None) };
    if !pins.claim() {
        return Err(PinError::InUse { path: pins.folder().to_owned() });
    }
    if pins.is_gone() {
        // Another process has removed it before it ended its claim.
        return inspect(config, pinning);
    }
    let mut found = Found::new(pins);
    if found.pins.is_empty() {
        return Ok(Some(found));
    }
    let mark = read_mark(&found.pins);
    match verify(&found.pins, mark, config, pinning) {
        Ok(marked) => found.adopt = Some(marked),
        Err(why) => found.refuse(mark, why, pinning),
    }
    Ok(Some(found))
}

/// Removes what an earlier agent has pinned, because no kernel tracer is enabled now. Returns what is known of the events
/// that are missing.
pub(crate) fn abandon(pinning: &Pinning) -> PinInfo {
    let found = Pins::find(&pinning.workdir).filter(Pins::claim).map(|pins| {
        let mut found = Found::new(pins);
        if !found.pins.is_empty() {
            let mark = read_mark(&found.pins);
            found.refuse(mark, "no kernel tracer is enabled now".to_owned(), pinning);
        }
        found.pins.remove_all();
        found.unpinned()
    });
    let mut pin_info = PinInfo { names: pinning.names.clone(), ..found.unwrap_or_default() };
    pin_info.note_gap(&pinning.remembered, &pinning.collector_id);
    pin_info
}

impl Found {
    fn new(pins: Pins) -> Self {
        Self { pins, adopt: None, refused: None, missing: Vec::new(), counted: false }
    }

    /// Removes the pins, and notes the records lost with them.
    pub(super) fn refuse(&mut self, mark: Option<Mark>, why: String, pinning: &Pinning) {
        tracing::warn!(folder = %self.pins.folder().display(), why, "pinned rings can't be resumed");
        // Detached first, so that nothing new gets in during counting.
        self.pins.remove_links(|_| false);
        self.missing = missing(&self.pins, mark, pinning);
        self.counted = mark.is_some();
        self.pins.clear();
        self.adopt = None;
        self.refused = Some(why);
    }

    /// Returns what remains to be known if nothing is pinned now.
    pub(super) fn unpinned(self) -> PinInfo {
        let state = PinState { refused: self.refused, ..PinState::default() };
        PinInfo { state, missing: self.missing, counted: self.counted, ..PinInfo::default() }
    }

    pub(super) fn pin_info(&self, mark: &Mark, pinning: &Pinning) -> PinInfo {
        let adopted = self.adopt.is_some();
        PinInfo {
            state: PinState {
                pin: Some(pin_name(mark.pin)),
                folder: Some(self.pins.folder().display().to_string()),
                adopted,
                refused: self.refused.clone(),
                problem: None,
                note: self.pins.note(),
                gap: None,
            },
            missing: self.missing.clone(),
            made: adopted.then_some(BootNs(mark.made_ns)),
            counted: adopted || self.counted,
            killed: None,
            gaps: Vec::new(),
            names: pinning.names.clone(),
            points: if adopted { pinning.points(mark.pin) } else { BTreeMap::new() },
        }
    }
}

fn read_mark(pins: &Pins) -> Option<Mark> {
    let mark: Array<MapData, Mark> = Map::from_map_data(pins.map("mark")?).ok()?.try_into().ok()?;
    mark.get(&0, 0).ok().filter(|mark| mark.complete != 0)
}

/// Returns the mark, and the tier of the programs, if this agent may resume the rings, otherwise the reason why not.
fn verify(
    pins: &Pins,
    mark: Option<Mark>,
    config: &EbpfConfig,
    pinning: &Pinning,
) -> Result<(Mark, Tier), String> {
    if !config.pins() {
        return Err("`ebpf.pin` or another setting rules it out now".to_owned());
    }
    let found = mark.ok_or("they are incomplete: an agent ended while creating them")?;
    let expect = |same: bool, why: &str| if same { Ok(()) } else { Err(why.to_owned()) };
    let mut of_tiers = config.tier.tiers().iter().map(|tier| (pinning.mark(config, *tier), *tier));
    let (ours, tier) = of_tiers
        .find(|(ours, _)| found.object == ours.object)
        .ok_or("they belong to another version of the kernel programs")?;
    expect(found.store == ours.store, "their records went to another store, or under another collector id")?;
    expect(found.names == ours.names, "tracers were stored under other names")?;
    let sizes = |mark: &Mark| Ring::ALL.map(|ring| map_of(ring, mark).1);
    expect(sizes(&found) == sizes(&ours), "the sizes of the rings differ")?;
    for (kind, point) in pinning.points(found.pin) {
        let Ok(kind) = Kind::try_from(kind) else { continue };
        let (name, size) = map_of(kind.ring(), &found);
        let end = reader(pins, name, size).map(|reader| reader.produced());
        expect(
            end.is_some_and(|end| point.checkpoint.position <= end),
            "the store has checkpoints beyond the end of the rings",
        )?;
    }
    Ok((found, tier))
}

/// Returns the name and the size of a ring's map.
fn map_of(ring: Ring, mark: &Mark) -> (&'static str, u32) {
    match ring {
        Ring::Lifecycle => ("lifecycle", mark.lifecycle_size),
        Ring::Security => ("security", mark.security_size),
        Ring::Data => ("data", mark.data_size),
    }
}

fn reader(pins: &Pins, name: &str, size: u32) -> Option<RingReader> {
    let map = pins.map(name)?;
    RingReader::open(map.fd().as_fd().try_clone_to_owned().ok()?, size, page_size()).ok()
}

/// Returns for each tracer the number of records that the kernel counted and the store lacks.
fn missing(pins: &Pins, mark: Option<Mark>, pinning: &Pinning) -> Vec<Missing> {
    let Some(mark) = mark else { return Vec::new() };
    let points = pinning.points(mark.pin);
    // If the store has no checkpoint of these rings, only the records still in them are known to be in no store.
    let known = pinning.remembered.points.iter().any(|point| point.pin == pin_name(mark.pin));
    let unread = if known { BTreeMap::new() } else { unread(pins, &mark) };
    let mut all = Vec::new();
    for tracer in tracers() {
        let kind = tracer.kind as u32;
        let seen = count(pins, kind).map_or(0, |count| count.seen.saturating_sub(count.filtered));
        let (settled, since) =
            points.get(&kind).map_or((0, mark.made_ns), |point| (point.checkpoint.seen(), point.at.0));
        let count =
            if known { seen.saturating_sub(settled) } else { unread.get(&kind).copied().unwrap_or(0) };
        if count > 0 {
            all.push(Missing { kind, count, since: BootNs(since) });
        }
    }
    all
}

fn count(pins: &Pins, kind: u32) -> Option<Count> {
    let counts = || Map::from_map_data(pins.map("counts")?).ok();
    let skipped: HashMap<MapData, u32, u64> =
        Map::from_map_data(pins.map("skipped")?).ok()?.try_into().ok()?;
    let count = match PerCpuArray::<MapData, Counts>::try_from(counts()?) {
        Ok(counts) => Counts::sum(&counts.get(&0, 0).ok()?).slot(kind),
        // Earlier agents had a value for each kind.
        Err(_) => {
            let counts = PerCpuArray::<MapData, Count>::try_from(counts()?).ok()?;
            Count::sum(counts.get(&kind, 0).ok()?.iter())
        }
    };
    Some(Skipped::new(skipped).with(kind, count))
}

/// Counts the tracers' records in all rings, by kind.
fn unread(pins: &Pins, mark: &Mark) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for (name, size) in Ring::ALL.map(|ring| map_of(ring, mark)) {
        let Some(mut reader) = reader(pins, name, size) else { continue };
        while let Some((_, record)) = reader.next() {
            match Header::parse(record) {
                Ok(header) if header.is_traced() => *counts.entry(header.kind).or_default() += 1,
                _ => {}
            }
        }
    }
    counts
}
