//! What maps hold by which agent and programs agree: settings, whose they are, counts.

use super::Plain;

/// User ids that fit into [`Settings::uids`].
pub const MAX_UIDS: usize = 16;
/// How many data rings there can be.
pub const MAX_DATA_RINGS: usize = 8;
/// Slots of the map `counts`, indexed by [`super::Kind`].
pub const COUNT_SLOTS: u32 = 64;
/// The slot of `counts` whose `lost` counts what did not fit into the lifecycle ring, traced or not.
pub const COUNT_LIFECYCLE: u32 = 63;
/// The slot of `counts` whose `seen` counts calls that found the ledger full, each told by itself.
pub const COUNT_USAGE_FULL: u32 = 62;

wire_structs! {
    /// The value of the map `settings`, which may be written at any time.
    Settings {
        /// Bit n: the tracer of kind n emits.
        enabled: u64,
        /// Bytes in the data ring that wake the agent.
        data_wakeup: u32,
        /// The same for the lifecycle ring.
        lifecycle_wakeup: u32,
        /// How many of `uids` count; 0 is everybody.
        uid_count: u32,
        /// Effective user ids that are traced.
        uids: [u32; MAX_UIDS],
        /// The agent's process as it knows itself, until it has read the task iterator.
        agent_tgid: u32,
        /// When the process started that read the task iterator last: the agent.
        reader_start_ns: u64,
        /// That process.
        reader_tgid: u32,
        /// Of `sampled` tracers one record in so many is kept; 0: all, for as long as there is room.
        sample: u32,
        /// Bit n: the tracer of kind n is sampled while a data ring is fuller than `sample_at`.
        sampled: u64,
        /// Bytes in a data ring.
        sample_at: u32,
        /// How many data rings are used; 0 is 1.
        data_rings: u32,
        /// How many CPUs share one.
        cpus_a_ring: u32,
        /// Which half of the ledger is written to: 0 or 1.
        usage_side: u32,
        /// Of which files it is kept: bits of their types.
        usage_files: u32,
        /// A flow of datagrams has ended when nothing came or went for so many milliseconds.
        flow_idle_ms: u32,
        /// 16 bits each: where the rules begin in the map `tests`, how many tests come before those of paths, how many
        /// there are, how many are of paths.
        rules: u64,
        /// Filters ask for descent: by which questions; 0: none does.
        trees: u64,
    }

    /// The value of the map `mark`: whose the maps are, for an agent that finds them pinned.
    Mark {
        /// Unlike any other's.
        pin: u64,
        /// What the programs were made from.
        object: u64,
        /// Where the records go.
        store: u64,
        /// What they are stored under.
        names: u64,
        /// When, since boot.
        made_ns: u64,
        /// Bytes of the data ring.
        data_size: u32,
        /// Bytes of the lifecycle ring.
        lifecycle_size: u32,
        /// Not 0: everything was pinned. Written last.
        complete: u32,
        /// Nothing.
        pad: u32,
    }

    /// One CPU's value of the map `counts`.
    Count {
        /// Events of tracers that are on.
        seen: u64,
        /// Those of them that found the ring full.
        lost: u64,
        /// Those of them that sampling left out.
        sampled: u64,
        /// Those of them that filters dropped in the kernel.
        filtered: u64,
    }
}
