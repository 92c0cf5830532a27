//! Hooks at the ends of system calls: one dispatcher, and a table of programs indexed by the number of the call.
//!
//! The dispatcher runs at the end of every call and makes a tail call into the table. The table has two halves, because two
//! programs may trace the same call: one that adds to the usage ledger and one that emits events. Each half has slots for
//! 64-bit calls and for calls of 32-bit programs, whose numbers and arguments differ.
//!
//! ```text
//!  sys_exit ─▶ dispatcher ─▶ [ledger half: number] ─▶ usage_io … ─▶ [events half: number] ─▶ open_exit …
//! ```
//!
//! **Hook.** BTF tracepoint `sys_exit`; from there a tail call. At a call's end the kernel has resolved its paths and
//! mapped its caller's memory, so nothing has to be kept between entry and exit.
//! **Kernel.** 5.15 with BTF.
//! **Cost.** For each system call of every process, traced or not: see `docs/BENCHMARKS.md`. A tracepoint for one system
//! call (`sys_exit_openat`) costs the other calls half of that and its own call 100 ns more, and each is released only
//! after an RCU grace period: forty of them make a stop three seconds longer.

/// The BTF tracepoint of the dispatcher and of every program in the table.
pub(crate) const HOOK: &str = "sys_exit";

/// Name of the table in the object.
pub(crate) const TABLE: &str = "syscall_exits";

/// Slots for 64-bit calls, and for 32-bit calls, in each half; more than there are calls (`include/hooks.h`).
const CALLS: u32 = 512;

/// Number of slots of the table.
pub(crate) const SLOTS: u32 = 4 * CALLS;

/// A half of the table. The end of a call runs the programs of both, so the ledger and another tracer can trace one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The first half: programs that add to the usage ledger.
    Ledger,
    /// The second half: programs that emit an event per call.
    Events,
}

/// A system call and its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Syscall {
    pub name: &'static str,
    /// Number on this architecture; `None` if it lacks the call.
    pub number: Option<u32>,
    /// The calls by which 32-bit programs make it.
    pub compat: &'static [Compat],
}

/// A call of 32-bit programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Compat {
    /// Number of the call; a call of socketcall() or ipc() has a number of our own above all others.
    number: u32,
    /// Differences of its arguments: `CALL_*` in `include/hooks.h`.
    how: u16,
}

/// 64-bit arguments come in two registers.
const WIDE: u16 = 0x200;
/// User and group ids have 16 bits.
const SMALL: u16 = 0x400;
/// The arguments are in memory; the second argument of socketcall() is their address.
const SOCKET: u16 = 0x800;
/// The same as [`SOCKET`], with only four arguments.
const SEND: u16 = SOCKET | 0x1000;
/// The arguments are in memory; the first register is their address.
const MEMORY: u16 = 0x2000;
/// The offset is in pages.
const PAGES: u16 = 0x4000;
/// There is only one argument.
const SHORT: u16 = 0x8000;
/// The arguments are those of ipc(), in another order.
const IPC: u16 = SOCKET | MEMORY;
/// First number of the calls of socketcall(), at the end of the range: its 20 calls, and 0 for none.
const SOCKET_CALLS: u32 = CALLS - 21;
/// First number of the calls of ipc(), below those: 11 to 14 and 21 to 24.
const IPC_CALLS: u32 = SOCKET_CALLS - 8;

macro_rules! number {
    (none) => {
        None
    };
    ($number:literal) => {
        Some($number)
    };
}

macro_rules! syscalls {
    ($(
        $name:ident $call:ident $x86:tt $arm:tt [$($compat:literal $($how:ident)?),*]
        $($family:ident $meaning:tt)?;
    )*) => {
        $(
            #[doc = concat!("System call `", stringify!($call), "`.")]
            pub(crate) const $name: Syscall = Syscall {
                name: stringify!($call),
                number: number_here(number!($x86), number!($arm)),
                compat: here(&[$(Compat::new($compat, 0 $(| $how)?)),*]),
            };
        )*
        /// All calls in the list.
        const ALL: &[Syscall] = &[$($name),*];
    };
}

include!("calls.in");

/// Returns a call's number on this architecture.
const fn number_here(x86: Option<u32>, arm: Option<u32>) -> Option<u32> {
    if cfg!(target_arch = "x86_64") { x86 } else { arm }
}

/// Returns the calls of 32-bit programs, whose numbers are known for x86 only.
const fn here(compat: &'static [Compat]) -> &'static [Compat] {
    if cfg!(target_arch = "x86_64") { compat } else { &[] }
}

impl Compat {
    const fn new(number: u32, how: u16) -> Self {
        let number = if how & IPC == IPC {
            IPC_CALLS + 4 * (number / 10 - 1) + number % 10 - 1
        } else if how & SOCKET != 0 {
            SOCKET_CALLS + number
        } else {
            number
        };
        Self { number, how }
    }

    /// Returns the number of the system call, which is that of socketcall() or ipc() for all their calls.
    pub(crate) const fn number(&self) -> u32 {
        if self.ipc().is_some() {
            117
        } else if self.socketcall().is_some() {
            102
        } else {
            self.number
        }
    }

    /// Returns the first argument of socketcall(), if the call is made through it.
    pub(crate) const fn socketcall(&self) -> Option<u32> {
        if self.how & IPC == IPC || self.how & SOCKET == 0 { None } else { Some(self.number - SOCKET_CALLS) }
    }

    /// Returns the first argument of ipc(), if the call is made through it.
    pub(crate) const fn ipc(&self) -> Option<u32> {
        let at = self.number.wrapping_sub(IPC_CALLS);
        if self.how & IPC == IPC { Some(11 + 10 * (at / 4) + at % 4) } else { None }
    }

    /// Returns whether 64-bit arguments come in two registers.
    pub(crate) const fn is_wide(&self) -> bool {
        self.how & WIDE != 0
    }

    /// Returns whether there is only one argument.
    pub(crate) const fn is_short(&self) -> bool {
        self.how & SHORT != 0
    }
}

impl Syscall {
    /// Returns the call's slots in a half of the table.
    pub(crate) fn slots(&self, stage: Stage) -> impl Iterator<Item = u32> + use<> {
        let half = match stage {
            Stage::Ledger => 0,
            Stage::Events => 2 * CALLS,
        };
        let compat = self.compat.iter().map(move |compat| half + CALLS + compat.number);
        self.number.map(|number| half + number).into_iter().chain(compat)
    }
}

/// Returns the names of these calls' hooks, except for calls this architecture lacks.
pub(crate) fn hook_names(calls: &[Syscall]) -> Vec<String> {
    let here = calls.iter().filter(|call| call.number.is_some());
    here.map(|call| format!("sys_exit_{}", call.name)).collect()
}

/// Returns the call of this name, if it is in the list of traced calls.
pub(crate) fn named(name: &str) -> Option<Syscall> {
    ALL.iter().find(|call| call.name == name).copied()
}

/// The kernel side's constant `compat_calls` (`include/hooks.h`): for the number of each 32-bit call, the number on this
/// architecture and the differences of the arguments.
pub(crate) static COMPAT_CALLS: [u16; CALLS as usize] = compat_calls();

/// Computes [`COMPAT_CALLS`], with the loops that constant evaluation allows.
const fn compat_calls() -> [u16; CALLS as usize] {
    let mut table = [0; CALLS as usize];
    let mut calls = ALL;
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

    #[test]
    fn calls_have_the_kernels_names() {
        assert_eq!((OPENAT.name, CHDIR.name, OPEN.name), ("openat", "chdir", "open"));
        assert_eq!(OPEN.number.is_some(), cfg!(target_arch = "x86_64"));
    }

    #[test]
    fn numbers_of_32_bit_calls_are_mapped_to_ours() {
        let table = &COMPAT_CALLS;
        let here = |number: u32| cfg!(target_arch = "x86_64").then_some(number as u16).unwrap_or_default();
        assert_eq!(table[5], here(libc::SYS_open as u32));
        assert_eq!(table[193], here(libc::SYS_truncate as u32) | if here(1) == 1 { WIDE } else { 0 });
        let given = || ALL.iter().flat_map(|call| call.compat);
        let distinct: BTreeSet<_> = given().map(|compat| compat.number).collect();
        assert_eq!(distinct.len(), given().count(), "one number is two calls");
        let ipc: BTreeSet<_> = given().filter_map(Compat::ipc).collect();
        assert_eq!(ipc, (11..15).chain(21..25).filter(|_| !cfg!(target_arch = "aarch64")).collect());
    }
}
