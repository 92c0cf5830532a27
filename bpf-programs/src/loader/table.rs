//! The table of programs that run at the ends of system calls.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{MapData, ProgramArray};

use crate::errors::{AttachError, chain};
use crate::syscalls::{SLOTS, Stage, Syscall, TABLE};

/// The table's maps, and the slots of each program.
pub(super) struct Table {
    tables: Vec<ProgramArray<MapData>>,
    entered: BTreeMap<&'static str, Entered>,
}

struct Entered {
    slots: Vec<u32>,
    calls: Vec<Syscall>,
}

impl Table {
    pub(super) fn new(tables: Vec<ProgramArray<MapData>>) -> Self {
        Self { tables, entered: BTreeMap::new() }
    }

    /// Puts a loaded program into the slots of these calls, each part into its table. A program already in a slot is
    /// replaced atomically, so that no call is missed.
    pub(super) fn enter(
        &mut self,
        name: &'static str,
        programs: &[(usize, &aya::programs::Program)],
        stage: Stage,
        calls: Vec<Syscall>,
    ) -> Result<(), AttachError> {
        let refused = |cause: &(dyn std::error::Error + 'static)| AttachError::Table {
            program: name,
            cause: chain(cause),
        };
        let slots: Vec<u32> = calls.iter().flat_map(|call| call.slots(stage)).collect();
        for (table, program) in programs {
            let fd = program.fd().map_err(|cause| refused(&cause))?;
            let Some(table) = self.tables.get_mut(*table) else { continue };
            for slot in &slots {
                table.set(*slot, fd, 0).map_err(|cause| refused(&cause))?;
            }
        }
        self.entered.insert(name, Entered { slots, calls });
        Ok(())
    }

    /// Returns whether a program is in the table.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entered.contains_key(name)
    }

    /// Empties a program's slots.
    pub(super) fn leave(&mut self, name: &str) {
        let entered = self.entered.remove(name);
        self.empty(entered.into_iter().flat_map(|entered| entered.slots));
    }

    /// Empties every slot of a pinned table that none of these programs will use.
    pub(super) fn keep_only(&mut self, programs: impl Iterator<Item = (Stage, Vec<Syscall>)>) {
        let kept: BTreeSet<u32> = programs
            .flat_map(|(stage, calls)| calls.into_iter().flat_map(move |call| call.slots(stage)))
            .collect();
        self.empty((0..SLOTS).filter(|slot| !kept.contains(slot)));
    }

    /// Empties all slots of this agent's programs.
    pub(super) fn clear(&mut self) {
        let entered = std::mem::take(&mut self.entered);
        self.empty(entered.into_values().flat_map(|entered| entered.slots));
    }

    /// Returns the calls that have a program in the table.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Syscall> {
        self.entered.values().flat_map(|entered| &entered.calls)
    }

    /// Returns the names of the programs in the table, and the calls of each.
    pub(super) fn programs(&self) -> impl Iterator<Item = (&'static str, &[Syscall])> {
        self.entered.iter().map(|(name, entered)| (*name, &*entered.calls))
    }

    /// Returns whether no program of this agent is in the table.
    pub(super) fn is_empty(&self) -> bool {
        self.entered.is_empty()
    }

    fn empty(&mut self, slots: impl IntoIterator<Item = u32>) {
        for slot in slots {
            for table in &mut self.tables {
                if let Err(cause) = table.clear_index(&slot)
                    && !is_empty_slot(&cause)
                {
                    tracing::warn!(table = TABLE, slot, %cause, "emptying a slot failed");
                }
            }
        }
    }
}

/// Returns whether the error means that the slot was empty already.
fn is_empty_slot(cause: &aya::maps::MapError) -> bool {
    use aya::maps::MapError;
    match cause {
        MapError::ElementNotFound | MapError::KeyNotFound => true,
        MapError::SyscallError(cause) => cause.io_error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}
