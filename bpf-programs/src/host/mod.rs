//! Actor `EbpfHost`: owns the loaded eBPF object and its ring buffers, reads them, and passes each tracer its raw records.
//!
//! All kernel tracers share two rings, so the host demultiplexes: `Demux` finds the `TracerChannel` of a record
//! by the kind in its header. A channel appends the bytes to the batch in progress and counts them; a full batch goes into
//! the tracer's bounded queue. Lifecycle records (exec, clone, exit, …) also update the process table; they are read before
//! the data records that were written after them.
//!
//! ```text
//!  lifecycle ring ──┐           ┌─ by kind ─▶ TracerChannel(exec) ─▶ BatchBuilder ─▶ queue ─▶ EbpfTracer(exec)
//!                   ├─▶ Demux ──┤
//!  data ring ───────┘     │     └─ by kind ─▶ TracerChannel(open) ─▶ BatchBuilder ─▶ queue ─▶ EbpfTracer(open)
//!                         └─ lifecycle records ─▶ process table
//! ```
//!
//! A queue that is full holds back the data ring: its records stay in the ring, and the kernel counts what no longer fits.
//! Lifecycle records are read regardless, for the process table; their batches wait in bounded memory.
//!
//! With pinned rings the host also keeps positions. A record's room is returned to the kernel only when the store has
//! committed its row; `TracerChannel::held_from` is the lowest position that is still needed:
//!
//! ```text
//!  released            held_from                cursor             produced
//!     │ committed          │ rows not committed    │ not read yet      │
//!  ───┴────────────────────┴───────────────────────┴───────────────────┴──▶ position in the ring
//! ```
//!
//! After a crash the next agent opens the same ring and starts at the position that the store has recorded.
//!
//! The actor runs on a thread of its own. Control messages (attach, detach, stop) are answered between two slices of
//! reading, however much is in the rings. `Handover` passes the object from a crashed incarnation to the next.

mod actor;
mod at_stop;
mod batch;
mod core;
mod demux;
mod handover;
mod lost_by_owner;
mod run;
mod slots;
mod state;
mod tracer_channel;
mod tracer_slot;

pub(crate) use actor::SetRules;
pub(crate) use actor::{Attach, Detach, EbpfHost, SetPollInterval, SetUids, Unpin};
pub(crate) use at_stop::AtStop;
pub(crate) use batch::BatchBuilder;
pub(crate) use batch::RawBatch;
pub(crate) use handover::Handover;
pub(crate) use slots::report_missing;
pub(crate) use tracer_slot::TracerSlot;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pinned;
