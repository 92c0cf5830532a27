//! Values of the maps through which agent and programs communicate: settings, owner of pinned maps, counters.

use super::Plain;
use super::loss_cause::LOSS_CAUSES;

/// Number of user ids that fit into [`Settings::uids`].
pub(crate) const MAX_UIDS: usize = 16;
/// Maximum number of data rings.
pub(crate) const MAX_DATA_RINGS: usize = 8;
/// Number of slots of [`Counts`], which are indexed by [`super::Kind`].
pub(crate) const COUNT_SLOTS: u32 = 64;
/// Slot of `counts` in which `lost` counts records that did not fit into the lifecycle ring, traced or not.
pub(crate) const COUNT_LIFECYCLE: u32 = 63;
/// Slot of `counts` in which `seen` counts calls that found the ledger full and became a record each.
pub(crate) const COUNT_USAGE_FULL: u32 = 62;
/// Slot of `counts` in which `seen` counts entries of the ledger that had no room for their whole path.
pub(crate) const COUNT_USAGE_CUT: u32 = 61;
/// Slot of `counts` in which `seen` counts processes that others may have meddled with and that found no room in map `meddled`.
/// After the first one, all processes of its owner are treated as if others had meddled with them.
pub(crate) const COUNT_MEDDLED_FULL: u32 = 60;
/// The bit of keys of map `skipped` that stand for a slot; other keys are ids of programs.
pub(crate) const SKIPPED_OF: u32 = 1 << 31;

wire_structs! {
    /// The value of map `settings`, which may be written at any time.
    pub Settings {
        /// Bit n: the tracer of kind n emits.
        enabled: u64,
        /// Bit n: records of kind n go into the security ring.
        security: u64,
        /// Bytes in the data ring that wake the agent.
        data_wakeup: u32,
        /// The same for the lifecycle ring.
        lifecycle_wakeup: u32,
        /// The same for the security ring.
        security_wakeup: u32,
        /// Number of `uids` in use; with 0 all users are traced.
        uid_count: u32,
        /// Effective user ids that are traced.
        uids: [u32; MAX_UIDS],
        /// A flow of datagrams ends after this many milliseconds without one.
        flow_idle_ms: u32,
        /// Process id of the agent in its own pid namespace, until it has read the task iterator; else 0.
        agent_tgid: u32,
        /// Start of the last process that read the task iterator with a proof, which is the agent, in nanoseconds since boot.
        reader_start_ns: u64,
        /// Process id of that process.
        reader_tgid: u32,
        /// N: one record in N of `sampled` tracers is kept; 0: all are, as long as there is room.
        sample: u32,
        /// Bit n: the tracer of kind n is sampled while a data ring is more than half full.
        sampled: u64,
        /// Number of data rings in use; 0 means 1.
        data_rings: u32,
        /// Number of CPUs that share one ring.
        cpus_a_ring: u32,
        /// The ledger's buffer that is written to: 0 or 1.
        usage_side: u32,
        /// File types recorded in the ledger, see `crate::config::UsageFiles::bit`.
        usage_files: u32,
        /// Requests and connections that are older may be forgotten if their end will not be seen.
        end_within_ms: u32,
        /// Number of entries for which each of the ledger's buffers has room.
        usage_room: u32,
        /// 1: a sum that finds no room in a ring is lost, because no later sweep will come.
        last_sweep: u32,
        /// 1 + the slot of the filter that drops what was done with files of the system: opens in the lower half, usage in
        /// the upper; 0: none does.
        system_filters: u32,
        /// Number of processes for which map `meddled` has room; 0: as many as the map has entries.
        meddled_room: u32,
        /// Fills the gap before the next number; unused.
        pad: u32,
        /// The rules in force, four numbers of 16 bits: index of their first test in map `tests`, number of tests that need
        /// no path, number of all tests, number of tests on paths.
        rules: u64,
        /// Generation of the processes that filters on ancestors name; 0: no filter does.
        trees: u64,
        /// A random number while the agent reads the task iterator, by which the programs know it; else 0.
        proof: u64,
        /// Address of that number in the agent's memory.
        proof_at: u64,
    }

    /// The value of map `mark`: identifies the owner of pinned maps to an agent that finds them.
    pub(crate) Mark {
        /// Identifies the pin: the time it was created.
        pin: u64,
        /// Fingerprint of the object that the programs came from.
        object: u64,
        /// Fingerprint of the store that receives the records.
        store: u64,
        /// Fingerprint of the names under which records are stored.
        names: u64,
        /// Time the pin was created, in nanoseconds since boot.
        made_ns: u64,
        /// Size of the data ring in bytes.
        data_size: u32,
        /// Size of the lifecycle ring in bytes.
        lifecycle_size: u32,
        /// Size of the security ring in bytes.
        security_size: u32,
        /// Not 0 once everything is pinned; written last.
        complete: u32,
    }

    /// Value of map `unstored`, by kind: what was given back to a pinned ring before it was in the store.
    #[derive(Default)]
    pub(crate) Unstored {
        /// Position in the ring below which everything was given back.
        upto: u64,
        /// The tracer's records below it, since the ring was made.
        taken: u64,
    }

    /// Counters of one kind of record.
    #[derive(Default)]
    pub Count {
        /// Events while the tracer was enabled.
        seen: u64,
        /// Seen events that filters dropped in the kernel.
        filtered: u64,
        /// Seen events that were lost, by the number of the [`LossCause`](super::LossCause).
        lost: [u64; LOSS_CAUSES],
    }

    /// The value of map `counts`, which has one for each CPU: the counters of all kinds.
    pub(crate) Counts {
        /// Counters by [`Kind`](super::Kind), and some that belong to no kind.
        slots: [Count; COUNT_SLOTS as usize],
    }

    /// A key of map `losses`, which counts lost records by owner.
    pub(crate) LossKey {
        /// As in the header.
        owner: u64,
        /// Kind of the records.
        kind: u32,
        /// Number of the [`LossCause`](super::LossCause).
        cause: u32,
    }
}
