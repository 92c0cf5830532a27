//! The interface for tests and benches, besides that of the crate: the loader without the host, the structs exchanged with
//! the kernel, and record layouts.

use std::error::Error;

use aya::maps::{HashMap, Map, MapData, MapError, MapInfo};

use crate::catalog::PROCESSES;
use crate::config::EbpfConfig;
use crate::kernel::{Counters as _, Hooks as _};
use crate::ledger::SWEEP;
use crate::loader::Loaded;
use crate::programs::{Program, Tracer};
use crate::template::layout::{Clocks, Hints, Types};
use crate::tier::Tier;
use crate::tracers::uring_unposted;
use crate::{syscalls, wire};

pub use crate::{
    tracers::lifecycle::apply,
    wire::{
        CgroupKey, Count, Header, Kind, LossCause, ProcessKey, Ring, RuleField, RuleTest, Settings, Sweep,
        Tree, wait_for_programs,
    },
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// `struct flow_key` and `struct flow` of `include/udp.h`.
type Flows = HashMap<MapData, [u8; 32], [u8; size_of::<wire::SockRecord>() + 136]>;

/// The object, loaded and attached.
pub struct Kernel(Loaded);

impl Kernel {
    /// Loads the object for one tier of hooks and attaches these tracers, none of which is enabled. The loader's settings
    /// are to be replaced, as they leave out events of this process.
    ///
    /// # Errors
    /// When a program can't be attached to all of its hooks.
    pub fn load(config: &EbpfConfig, tier: Tier, wanted: &[&'static Tracer]) -> Result<Self> {
        let mut loaded = Loaded::load_alone(config, tier, wanted)?;
        let mut missing = loaded.hooks.attach_lifecycle();
        for tracer in wanted {
            missing.extend(loaded.hooks.attach(tracer)?.without);
        }
        if missing.is_empty() { Ok(Self(loaded)) } else { Err(missing.join(", ").into()) }
    }

    /// Opens a map that programs use.
    ///
    /// # Errors
    /// When there is no such map, or it has another type.
    pub fn map<T: TryFrom<Map, Error = MapError>>(&self, name: &str) -> Result<T> {
        let loaded = self.0.hooks.ebpf.programs().filter_map(|(_, program)| program.info().ok());
        let ids = loaded.filter_map(|info| info.map_ids().ok().flatten()).flatten();
        let is_it = |id: &u32| MapInfo::from_id(*id).is_ok_and(|info| info.name_as_str() == Some(name));
        let id = ids.into_iter().find(is_it).ok_or_else(|| format!("no map {name}"))?;
        Ok(Map::from_map_data(MapData::from_id(id)?)?.try_into()?)
    }

    /// Returns one slot's counters, summed over all CPUs, and the runs that the kernel skipped of programs that make records of
    /// this slot.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn count(&self, slot: u32) -> Result<(Count, u64)> {
        let misses = self.0.hooks.misses(None);
        let skipped = misses.iter().filter(|misses| misses.slots.contains(&slot));
        Ok((self.0.counters.count(slot)?, skipped.map(|misses| misses.count).sum()))
    }

    /// Records requests of io_uring that have ended without a completion, and flushes the buffer of the usage ledger that is
    /// not written to.
    ///
    /// # Errors
    /// When one of the programs fails.
    pub fn flush(&mut self) -> Result<Sweep> {
        while Sweep::parse(&self.0.hooks.iterate(&uring_unposted::SWEEP)?)?.left > 0 {}
        Ok(Sweep::parse(&self.0.hooks.iterate(&SWEEP)?)?)
    }

    /// Returns a record for each existing process.
    ///
    /// # Errors
    /// When the iterator fails.
    pub fn processes(&mut self) -> Result<Vec<Vec<u8>>> {
        let bytes = self.0.hooks.iterate(&PROCESSES)?;
        wire::split(&bytes).map(|record| Ok(record?.to_vec())).collect()
    }

    /// Forgets all flows of datagrams; there are none if no program that was loaded uses their map.
    pub fn forget_flows(&self) {
        let Ok(mut flows) = self.map::<Flows>("flows") else { return };
        for flow in flows.keys().filter_map(std::result::Result::ok).collect::<Vec<_>>() {
            // An entry may be gone already.
            let _ = flows.remove(&flow);
        }
    }
}

/// A way in which 32-bit programs make a system call.
#[derive(Clone, Copy, Debug)]
pub struct Compat {
    /// Number of the call, which is that of socketcall() or ipc() for all their calls.
    pub number: u32,
    /// First argument of socketcall(), if the call is made through it.
    pub socketcall: Option<u32>,
    /// First argument of ipc(), if the call is made through it.
    pub ipc: Option<u32>,
    /// True if 64-bit arguments come in two registers.
    pub is_wide: bool,
    /// True if there is only one argument.
    pub is_short: bool,
}

/// Returns the ways in which 32-bit programs make the system call of this name, if it is traced.
pub fn compat(call: &str) -> Option<Vec<Compat>> {
    let found = syscalls::named(call)?.compat.iter();
    let compat = found.map(|way| Compat {
        number: way.number(),
        socketcall: way.socketcall(),
        ipc: way.ipc(),
        is_wide: way.is_wide(),
        is_short: way.is_short(),
    });
    Some(compat.collect())
}

/// Returns the names of the system calls at the ends of which a tracer's programs run.
pub fn calls(tracer: &Tracer) -> Vec<&'static str> {
    let calls = tracer.programs.iter().flat_map(Program::calls);
    calls.map(|call| call.name).collect()
}

/// Returns functions that lay out a struct of an object, and that decode a record with it. Both return a size.
///
/// # Errors
/// When the object has no such struct.
pub fn layout(object: &[u8], name: &str) -> Result<(impl Fn() -> usize, impl Fn(&[u8]) -> usize)> {
    let (types, hints, name) = (Types::of_object(object)?, Hints::default(), name.to_owned());
    let layout = types.record(Some(&name), &hints)?;
    let lay_out = move || types.record(Some(&name), &hints).map_or(0, |layout| layout.size());
    Ok((lay_out, move |bytes: &[u8]| {
        layout.decode(bytes, &Clocks::default()).map_or(0, |fields| fields.len())
    }))
}
