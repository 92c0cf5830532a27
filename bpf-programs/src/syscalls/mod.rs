//! The ends of system calls, for the tracers that look at them: one hook, and behind it a table of programs by the
//! number of the call.
//!
//! **Hook.** BTF tracepoint `sys_exit`; from there a tail call. At a call's end the kernel has resolved its paths and
//! mapped its caller's memory, so nothing has to be remembered between entry and exit.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** For each system call of every process, looked at or not: see `docs/BENCHMARKS.md`. A tracepoint of one
//! system call (`sys_exit_openat`) costs the other calls half of that and its own 100 ns more, and each is released only
//! after a grace period of the kernel's: forty of them make a stop three seconds longer.

mod calls;

pub use calls::*;

use crate::programs::{Hook, Program};

/// The program at the hook.
pub const DISPATCHER: Program =
    Program { name: "syscall_exit", hook: Hook::BtfTracepoint(HOOK), without: None };

/// The BTF tracepoint of it, and of every program in the table.
pub const HOOK: &str = "sys_exit";

/// The table's name in the object.
pub const TABLE: &str = "syscall_exits";

/// As in `include/hooks.h`: more than there are system calls.
const CALLS: u32 = 512;

/// How many slots the table has.
pub const SLOTS: u32 = 4 * CALLS;

/// Which half of the table: a call's end passes both, so that the ledger and a tracer of events can look at the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// First: what is used.
    Ledger,
    /// Then: what is told one by one.
    Events,
}

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Syscall {
    /// Its name.
    pub name: &'static str,
    /// Its number on this architecture; `None` where there is no such call.
    pub number: Option<u32>,
    /// What 32-bit programs call it by.
    pub compat: &'static [Compat],
}

/// A call of 32-bit programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Compat {
    /// Its number, or the place of one of socketcall()'s behind all numbers.
    number: u32,
    /// How its arguments differ: `CALL_*` in `include/hooks.h`.
    how: u16,
}

/// 64-bit arguments come in two registers.
const WIDE: u16 = 0x200;
/// Ids have 16 bits.
const SMALL: u16 = 0x400;
/// The arguments lie in memory: the last register of socketcall() says where.
const SOCKET: u16 = 0x800;
/// Likewise, and there are only four.
const SEND: u16 = SOCKET | 0x1000;
/// The arguments lie in memory, where the first register says.
const MEMORY: u16 = 0x2000;
/// The offset counts pages.
const PAGES: u16 = 0x4000;
/// There is only one argument.
const SHORT: u16 = 0x8000;
/// socketcall()'s calls have places at the end: as many as it has, and one for none.
const SOCKET_CALLS: u32 = CALLS - 21;

impl Compat {
    const fn new(number: u32, how: u16) -> Self {
        let number = if how & SOCKET == 0 { number } else { SOCKET_CALLS + number };
        Self { number, how }
    }

    /// Its number; of what is asked of socketcall() that one's.
    pub const fn number(&self) -> u32 {
        if self.how & SOCKET == 0 { self.number } else { 102 }
    }

    /// What is asked of socketcall().
    pub const fn socketcall(&self) -> Option<u32> {
        if self.how & SOCKET == 0 { None } else { Some(self.number - SOCKET_CALLS) }
    }

    /// 64-bit arguments come in two registers.
    pub const fn is_wide(&self) -> bool {
        self.how & WIDE != 0
    }

    /// There is only one argument.
    pub const fn is_short(&self) -> bool {
        self.how & SHORT != 0
    }
}

impl Syscall {
    /// Its slots in the table.
    pub fn slots(&self, stage: Stage) -> impl Iterator<Item = u32> + use<> {
        let half = match stage {
            Stage::Ledger => 0,
            Stage::Events => 2 * CALLS,
        };
        let compat = self.compat.iter().map(move |compat| half + CALLS + compat.number);
        self.number.map(|number| half + number).into_iter().chain(compat)
    }
}

/// The names of these calls' hooks; those of calls this architecture lacks are not among them.
pub fn hook_names(calls: &[Syscall]) -> Vec<String> {
    let here = calls.iter().filter(|call| call.number.is_some());
    here.map(|call| format!("sys_exit_{}", call.name)).collect()
}

/// The call of this name, if it is one that is looked at.
pub fn named(name: &str) -> Option<Syscall> {
    calls::ALL.iter().find(|call| call.name == name).copied()
}

/// What the kernel side is told of 32-bit programs' calls (`compat_calls` in `include/hooks.h`): by their number the
/// number here, and how the arguments differ.
pub static COMPAT_CALLS: [u16; CALLS as usize] = compat_calls();

/// Loops as constants have them.
const fn compat_calls() -> [u16; CALLS as usize] {
    let mut table = [0; CALLS as usize];
    let mut calls = calls::ALL;
    while let [call, rest @ ..] = calls {
        let mut compat = call.compat;
        while let ([one, others @ ..], Some(number)) = (compat, call.number) {
            table[one.number as usize] = number as u16 | one.how;
            compat = others;
        }
        calls = rest;
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::programs::{LIFECYCLE, tracers};

    #[test]
    fn calls_have_the_kernels_names() {
        assert_eq!((OPENAT.name, CHDIR.name, OPEN.name), ("openat", "chdir", "open"));
        assert_eq!(OPEN.number.is_some(), cfg!(target_arch = "x86_64"));
    }

    #[test]
    fn calls_of_32_bit_programs_are_calls_of_ours() {
        let table = &COMPAT_CALLS;
        let here = |number: u32| cfg!(target_arch = "x86_64").then_some(number as u16).unwrap_or_default();
        assert_eq!(table[5], here(libc::SYS_open as u32));
        assert_eq!(table[193], here(libc::SYS_truncate as u32) | if here(1) == 1 { WIDE } else { 0 });
        let given = || calls::ALL.iter().flat_map(|call| call.compat);
        let distinct: BTreeSet<_> = given().map(|compat| compat.number).collect();
        assert_eq!(distinct.len(), given().count(), "one number is two calls");
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
}
