//! Finds the kernel functions to which trampolines are attached in the kernel's type information: those of system calls,
//! and those of [`crate::by_function`].
//!
//! The function of a call has a name made of a prefix by architecture and ABI, and the call's name: `__x64_sys_openat`,
//! `__ia32_compat_sys_openat`. A program attached to a function's end (fexit) is verified for the function's prototype. Two
//! prototypes occur, so each program is loaded for up to two of them, in as many [`Part`]s, each with its own table.

use std::collections::BTreeMap;
use std::io;

use crate::facts;
use crate::programs::{Hook, Program};
use crate::prototypes::Types;
use crate::syscalls::Syscall;

/// Number of stubs per table (`src/syscalls/probe.bpf.c`).
pub(crate) const STUBS: usize = 384;
/// Names of the tables, one for each prototype of functions.
pub(crate) const TABLES: [&str; 2] = [crate::syscalls::TABLE, "syscall_exits_2"];
/// The function that defines the prototype of the first table.
const FIRST: &str = if cfg!(target_arch = "x86_64") { "__x64_sys_openat" } else { "__arm64_sys_openat" };

/// Prefix of the functions of 64-bit calls.
const NATIVE: &[&str] = if cfg!(target_arch = "x86_64") { &["__x64_sys_"] } else { &["__arm64_sys_"] };
/// Prefixes of the functions of 32-bit calls.
const COMPAT: &[&str] = if cfg!(target_arch = "x86_64") {
    &["__ia32_compat_sys_", "__ia32_sys_ia32_", "__ia32_compat_sys_ia32_", "__ia32_sys_"]
} else {
    &["__arm64_compat_sys_", "__arm64_sys_"]
};
/// Suffixes of the functions of 32-bit calls, which exist for several widths of arguments.
const WIDTHS: [&str; 6] = ["", "16", "32", "64", "_time32", "_time64"];
/// Function of socketcall(), through which 32-bit programs may call all socket functions.
const SOCKETCALL: &str = "__ia32_compat_sys_socketcall";
/// Function of ipc(), through which 32-bit programs may call all functions of System V IPC.
const IPC: &str = "__ia32_compat_sys_ipc";
/// Calls with another name in their function.
const ALIASES: [(&str, &str); 5] = [
    ("umount2", "umount"),
    ("umount2", "oldumount"),
    ("sendfile", "sendfile64"),
    ("mmap", "mmap_pgoff"),
    ("fadvise64", "fadvise64_64"),
];

/// A kernel function of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub name: String,
    /// Index in [`TABLES`] of the table for its prototype.
    pub table: usize,
}

/// A program as it is loaded, for the functions of one prototype.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Name of the program in the object.
    pub name: String,
    /// Index in [`TABLES`] of the table it goes into.
    pub table: usize,
    /// The function it is verified for, with tier function.
    pub target: Option<String>,
}

impl Part {
    /// Returns the single part of a program that is not attached by a trampoline.
    pub(crate) fn whole(program: &Program) -> Self {
        Self { name: program.name.to_owned(), table: 0, target: None }
    }
}

/// All functions of system calls in a kernel.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    tables: BTreeMap<String, usize>,
    /// Other functions that programs are attached to, with the names of their parameters.
    inner: BTreeMap<String, Vec<String>>,
}

impl Functions {
    /// Reads the functions of the running kernel: those of system calls, and those whose names `is_used` accepts.
    ///
    /// # Errors
    /// Fails if the kernel's type information can't be read.
    pub(crate) fn of_this_kernel(is_used: impl Fn(&str) -> bool) -> io::Result<Self> {
        Self::parse(&std::fs::read(facts::BTF)?, is_used)
    }

    /// Reads the functions of a kernel with this type information.
    ///
    /// # Errors
    /// Fails if the type information has no functions of system calls.
    pub(crate) fn parse(bytes: &[u8], is_used: impl Fn(&str) -> bool) -> io::Result<Self> {
        let types =
            Types::parse(bytes).ok_or_else(|| io::Error::other("no type information of functions"))?;
        let is_of_call = |name: &str| NATIVE.iter().chain(COMPAT).any(|before| name.starts_with(before));
        let found = types.functions(is_of_call);
        let inner = types.functions(is_used).into_iter();
        let inner = inner.filter_map(|(name, prototype)| Some((name, types.parameters(prototype)?)));
        let first = found.get(FIRST).copied();
        let first = first.ok_or_else(|| io::Error::other(format!("no function {FIRST}")))?;
        let table = |prototype: u32| usize::from(prototype != first);
        Ok(Self {
            tables: found.into_iter().map(|(name, of)| (name, table(of))).collect(),
            inner: inner.collect(),
        })
    }

    /// Returns the functions of one call.
    pub(crate) fn of(&self, call: &Syscall) -> Vec<Function> {
        let mut names = vec![call.name];
        names.extend(ALIASES.iter().filter(|(name, _)| *name == call.name).map(|(_, other)| *other));
        let mut found = Vec::new();
        if call.number.is_some() {
            let native =
                NATIVE.iter().flat_map(|before| names.iter().map(move |name| format!("{before}{name}")));
            self.keep(native, &mut found);
        }
        let widths =
            || WIDTHS.iter().flat_map(|width| names.iter().map(move |name| format!("{name}{width}")));
        if !call.compat.is_empty() {
            let compat = COMPAT.iter().flat_map(|before| widths().map(move |name| format!("{before}{name}")));
            self.keep(compat, &mut found);
        }
        if call.compat.iter().any(|compat| compat.socketcall().is_some()) {
            self.keep(std::iter::once(SOCKETCALL.to_owned()), &mut found);
        }
        if call.compat.iter().any(|compat| compat.ipc().is_some()) {
            self.keep(std::iter::once(IPC.to_owned()), &mut found);
        }
        found
    }

    /// Returns the first of these functions that the kernel has, and the names of its parameters.
    pub(crate) fn first_of(&self, names: &[&str]) -> Option<(&str, &[String])> {
        let (name, parameters) = names.iter().find_map(|name| self.inner.get_key_value(*name))?;
        Some((name, parameters))
    }

    /// Returns the program's parts: one for each table that a function of its calls needs.
    pub(crate) fn parts(&self, program: &Program, calls: &[Syscall]) -> Vec<Part> {
        if let Hook::Function(function) = program.hook {
            let target = self.first_of(function.names).map(|(name, _)| name.to_owned());
            return vec![Part { target, ..Part::whole(program) }];
        }
        if !matches!(program.hook, Hook::SyscallExits(..)) {
            return vec![Part::whole(program)];
        }
        let of_calls: Vec<_> = calls.iter().flat_map(|call| self.of(call)).collect();
        let part = |table: usize| {
            let target = of_calls.iter().find(|function| function.table == table)?.name.clone();
            let name = if table == 0 { program.name.to_owned() } else { format!("{}_2", program.name) };
            Some(Part { name, table, target: Some(target) })
        };
        (0..TABLES.len()).filter_map(part).collect()
    }

    fn keep(&self, names: impl Iterator<Item = String>, found: &mut Vec<Function>) {
        for name in names {
            if let Some(table) = self.tables.get(&name)
                && !found.iter().any(|known| known.name == name)
            {
                found.push(Function { name, table: *table });
            }
        }
    }
}

/// Returns the name of a stub by table and number.
pub(crate) fn stub(table: usize, number: usize) -> String {
    let before = if table == 0 { "at_" } else { "at_2_" };
    format!("{before}{number:03o}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tracers;
    use crate::prototypes::made_of;
    use crate::syscalls;

    #[test]
    fn stubs_are_named_as_in_the_object() {
        assert_eq!((stub(0, 0), stub(1, STUBS - 1)), ("at_000".to_owned(), "at_2_577".to_owned()));
    }

    #[test]
    fn calls_have_functions_in_the_table_of_their_prototype() {
        let programs = || tracers().flat_map(|tracer| tracer.programs);
        let calls = programs().flat_map(Program::calls).filter(|call| call.number.is_some());
        let names: Vec<_> = calls.map(|call| format!("{}{}", NATIVE[0], call.name)).collect();
        let prototype = |name: &String| if name.ends_with("_write") { &["__unused"] } else { &["regs"] };
        let listed: Vec<(&str, &[&str])> =
            names.iter().map(|name| (name.as_str(), prototype(name).as_slice())).collect();
        let functions = Functions::parse(&made_of(&listed), |_| false).unwrap();
        let of = |call| functions.of(call).into_iter().map(|of| (of.name, of.table)).collect::<Vec<_>>();
        assert_eq!(of(&syscalls::OPENAT), [(FIRST.to_owned(), 0)]);
        assert_eq!(of(&syscalls::WRITE), [(format!("{}write", NATIVE[0]), 1)]);
        for program in programs() {
            let parts = functions.parts(program, program.calls());
            let both = program.calls().contains(&syscalls::WRITE);
            assert_eq!(parts.len(), if both { 2 } else { 1 }, "{}: {parts:?}", program.name);
        }
    }
}
