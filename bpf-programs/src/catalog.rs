//! The catalog: the list of kernel tracers, the other eBPF programs, and the compiled objects that contain them all.

use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::HOOK;
use crate::tier::Tier;
use crate::tracers::{self, lifecycle};

/// The object with all programs, for hooks of tier tracepoint; empty in a build with `DUETECTOR_SKIP_BPF=1`.
pub(crate) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/tracepoint.bpf.o"));
static FUNCTIONS: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/function.bpf.o"));
static RAW: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/kprobe.bpf.o"));
/// The object that shows whether tier function works (`loader/trampolines.rs`).
pub(crate) static NOTHING: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/nothing.bpf.o"));

/// Returns the object with the programs for hooks of a tier.
pub(crate) fn object(tier: Tier) -> &'static [u8] {
    match tier {
        Tier::Function => FUNCTIONS,
        Tier::Tracepoint => OBJECT,
        Tier::Kprobe => RAW,
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal in $family:ident $(from $tracer:ident)?;)*) => {
        /// Returns all kernel tracers.
        pub fn tracers() -> impl Iterator<Item = &'static Tracer> {
            [$($(&tracers::$tracer::TRACER,)?)*].into_iter()
        }
    };
}

include!("wire/kinds.in");

/// Programs that only feed the process table. Those of `exec`, `clone` and `exit` feed it as well, so they are attached even
/// if their tracers are disabled.
pub(crate) const LIFECYCLE: &[Program] = lifecycle::PROGRAMS;

/// The program at the ends of system calls, which calls those in the table of [`crate::syscalls`].
pub(crate) const DISPATCHER: Program =
    Program { name: "syscall_exit", hook: Hook::BtfTracepoint(HOOK), without: None };

/// The iterator that reads the existing processes; [`crate::wire::split`] splits its output into records of kind
/// `Kind::Process`.
pub(crate) const PROCESSES: Program = lifecycle::PROCESSES;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::syscalls::SLOTS;

    #[test]
    fn each_name_and_kind_is_used_once() {
        let mut names: Vec<_> = tracers().map(|tracer| tracer.name).collect();
        let mut kinds: Vec<_> = tracers().map(|tracer| tracer.kind as u32).collect();
        names.sort_unstable();
        names.dedup();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!((names.len(), kinds.len()), (tracers().count(), tracers().count()));
    }

    #[test]
    fn no_slot_belongs_to_two_programs() {
        let mut taken = BTreeSet::new();
        let programs: BTreeSet<_> = tracers().flat_map(|tracer| tracer.programs).chain(LIFECYCLE).collect();
        for program in programs {
            let Hook::SyscallExits(stage, calls) = program.hook else { continue };
            for slot in calls.iter().flat_map(|call| call.slots(stage)) {
                assert!(slot < SLOTS && taken.insert(slot), "{}: slot {slot} is taken", program.name);
            }
        }
    }

    /// For each program, aya copies the line numbers of the program's whole section.
    #[test]
    fn programs_do_not_share_large_sections() {
        use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
        for tier in Tier::ALL {
            let file = object::File::parse(object(tier)).unwrap();
            let programs =
                file.symbols().filter(|symbol| symbol.is_global() && symbol.kind() == SymbolKind::Text);
            let mut sections: std::collections::BTreeMap<_, u32> = std::collections::BTreeMap::new();
            for section in programs.filter_map(|program| program.section_index()) {
                *sections.entry(section.0).or_default() += 1;
            }
            for section in file.sections().filter(|section| section.name() != Ok(".text")) {
                let count = sections.get(&section.index().0).copied().unwrap_or_default();
                assert!(count <= 4, "{}: {count} programs in {:?}", tier.name(), section.name());
            }
        }
    }
}
