//! Takes maps from an object that was just loaded.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, ProgramArray};
use model::units::Size;

use super::sizes::{page_size, ring_size};
use crate::errors::LoadError;
use crate::kernel::{Counters, SettingsMap, SkippedMap, UnstoredMap};
use crate::tier::Tier;
use crate::trampoline::TABLES;
use crate::wire::{Counts, Kind, LossKey, RingReader, Settings, Unstored};

pub(super) fn tables(ebpf: &mut Ebpf, tier: Tier) -> Result<Vec<ProgramArray<MapData>>, LoadError> {
    let count = if tier == Tier::Function { TABLES.len() } else { 1 };
    TABLES.iter().take(count).map(|name| map(ebpf, name)).collect()
}

pub(super) fn map<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, LoadError> {
    let map = ebpf.take_map(name).ok_or(LoadError::NoMap { map: name })?;
    T::try_from(map).map_err(|source| LoadError::Map { map: name, source: Box::new(source) })
}

/// Opens a reader for a ring. The object keeps the map, whose descriptor is needed to load programs.
pub(super) fn ring(ebpf: &Ebpf, name: &'static str, size: Size) -> Result<RingReader, LoadError> {
    let Some(Map::RingBuf(map)) = ebpf.map(name) else { return Err(LoadError::NoMap { map: name }) };
    let failed = |source| LoadError::Ring { map: name, source };
    let fd = map.fd().as_fd().try_clone_to_owned().map_err(failed)?;
    RingReader::open(fd, ring_size(size), page_size()).map_err(failed)
}

/// Maps `counts` and `losses`.
pub(crate) struct CounterMaps {
    counts: PerCpuArray<MapData, Counts>,
    losses: HashMap<MapData, LossKey, u64>,
}

impl CounterMaps {
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        Ok(Self { counts: map(ebpf, "counts")?, losses: map(ebpf, "losses")? })
    }
}

impl Counters for CounterMaps {
    fn counts(&self) -> io::Result<Counts> {
        let cpus = self.counts.get(&0, 0).map_err(io::Error::other)?;
        Ok(Counts::sum(&cpus))
    }

    fn losses(&self) -> io::Result<Vec<(LossKey, u64)>> {
        self.losses.iter().map(|entry| entry.map_err(io::Error::other)).collect()
    }

    fn forget(&mut self, key: &LossKey) {
        // An error means that it is gone already.
        let _ = self.losses.remove(key);
    }
}

impl UnstoredMap for Array<MapData, Unstored> {
    fn noted(&self, kind: Kind) -> Unstored {
        self.get(&(kind as u32), 0).unwrap_or_default()
    }

    fn note(&mut self, kind: Kind, unstored: Unstored) {
        if let Err(cause) = self.set(kind as u32, unstored, 0) {
            // An element of an array can always be written.
            tracing::error!(%cause, "writing map unstored failed");
        }
    }
}

impl SkippedMap for HashMap<MapData, u32, u64> {
    fn entries(&self) -> BTreeMap<u32, u64> {
        self.iter().filter_map(Result::ok).collect()
    }

    fn set(&mut self, key: u32, count: u64) {
        if let Err(cause) = self.insert(key, count, 0) {
            // This agent's own counts stay right.
            tracing::warn!(%cause, "writing map skipped failed: a later agent may count skipped programs again");
        }
    }
}

impl SettingsMap for Array<MapData, Settings> {
    fn read(&self) -> Result<Settings, MapError> {
        self.get(&0, 0)
    }

    fn write(&mut self, settings: Settings) -> Result<(), MapError> {
        self.set(0, settings, 0)
    }
}
