//! Loads the eBPF object built into this binary: creates its maps, loads its programs, attaches them to their hooks.

mod adopt;
mod bpffs;
mod cgroup_sets;
mod functions;
mod hooks;
mod load;
mod maps;
mod misses;
mod pins;
mod program;
mod release;
mod rings;
mod rule_maps;
mod sizes;
mod start;
mod stubs;
mod table;
mod trampolines;
mod trees;

pub use adopt::Pinning;
pub(crate) use adopt::abandon;
pub(crate) use load::Loaded;
pub(crate) use pins::{MANY_LINKS, Pins};
pub(crate) use release::waiting as links_being_detached;
