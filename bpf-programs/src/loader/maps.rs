//! Takes maps from an object that was just loaded.

use std::io;
use std::os::fd::AsFd as _;

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, ProgramArray};

use super::sizes::page_size;
use crate::errors::LoadError;
use crate::kernel::{Counters, SettingsMap};
use crate::tier::Tier;
use crate::trampoline::TABLES;
use crate::wire::{Count, RingReader, Settings};

pub(super) fn tables(ebpf: &mut Ebpf, tier: Tier) -> Result<Vec<ProgramArray<MapData>>, LoadError> {
    let count = if tier == Tier::Trampoline { TABLES.len() } else { 1 };
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
pub(super) fn ring(ebpf: &Ebpf, name: &'static str, size: u32) -> Result<RingReader, LoadError> {
    let Some(Map::RingBuf(map)) = ebpf.map(name) else { return Err(LoadError::NoMap { map: name }) };
    let failed = |source| LoadError::Ring { map: name, source };
    let fd = map.fd().as_fd().try_clone_to_owned().map_err(failed)?;
    RingReader::open(fd, size, page_size()).map_err(failed)
}

impl Counters for PerCpuArray<MapData, Count> {
    fn count(&self, slot: u32) -> io::Result<Count> {
        let cpus = self.get(&slot, 0).map_err(io::Error::other)?;
        Ok(Count::sum(&cpus))
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
