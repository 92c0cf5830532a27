//! The way of a filter to the kernel. The types that travel are in [`model::pushdown`], because the kernel tracers know
//! nothing of expressions; here are the two derivations: from an expression (`certain`) and from an anchored pattern
//! ([`prefixes_of`]).
//!
//! ```text
//!  collector/src/filter/pushdown.rs        model/src/pushdown.rs            bpf-programs/src/rules.rs     kernel
//!  [filter.x] ─▶ expression ─▶ certain ───┐
//!          └───▶ patterns ──▶ prefixes_of ┴▶ Test, Rule ─▶ Pushdown::add ─▶ entries of maps ─▶ include/rules.h
//!                   │                        (limits, splits)                              tests each record before
//!                   │                                                                      it goes to the ring
//!                   └─────────────▶ applied in full to every record that the kernel let through ◀──────┘
//! ```

mod certain;
mod pattern;

pub(crate) use certain::{Certain, certain};
pub use pattern::prefixes_of;
