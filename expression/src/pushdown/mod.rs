//! Push-down: the way of a filter from the configuration into the kernel.
//!
//! ```text
//!  [filter.x]   drop or keep: an expression          exclude_…: lists and patterns
//!      │        collector/src/filter/kernel_part.rs finds the parts that the kernel can decide:
//!      │          expression ─▶ certain  (here): the tests that decide its result
//!      │          pattern ────▶ prefixes_of (here): prefixes of paths, if it is anchored
//!      │          list ───────▶ one test for each entry
//!      ▼
//!  (a filter of kind `system` has no rules: the kernel side recognises files of the system itself, model/src/system_files.rs)
//!
//!  Pushdown     model/src/pushdown.rs: rules of tests within the kernel's limits, and for `status` how each filter is split
//!      ▼
//!  Lowered      bpf-programs/src/lowered.rs: tests by number, those of paths last; sets of path prefixes and cgroups
//!      ▼
//!  RuleMaps     bpf-programs/src/loader/rule_maps.rs: maps tests, path_sets, cgroup_sets, trees, replaced as a whole
//!      ▼
//!  the kernel   bpf-programs/include/rules.h: a record for which a rule holds is dropped and counted, before the ring
//!
//!  The collector applies each filter in full to every record that is left.
//! ```
//!
//! The types that travel are in [`model::pushdown`], because the kernel tracers know nothing of expressions. Here are the two
//! derivations, which need to know what an expression or a pattern means.

mod certain;
mod pattern;

pub(crate) use certain::{Certain, certain};
pub use pattern::prefixes_of;
