//! The hooks at the ends of system calls: one for all, or for tier function one per function.

use std::collections::{BTreeMap, BTreeSet};

use super::hooks::Programs;
use super::program::{self, Held, Job};
use crate::catalog::DISPATCHER;
use crate::errors::AttachError;
use crate::kernel::Attached;
use crate::programs::{Program, Tracer};
use crate::syscalls::{self, Syscall};
use crate::tier::Tier;
use crate::trampoline::{Function, Part, stub};
use crate::unseen;

impl Programs {
    /// Returns the events a tracer can't see on this kernel with this tier.
    pub(crate) fn unseen(&self, tracer: &Tracer) -> Vec<String> {
        let is_recorded = |call: &Syscall| self.chosen.is_recorded(call);
        unseen::unseen(tracer, self.tier, self.functions.as_ref(), is_recorded)
    }

    /// Returns the parts in which a program is loaded.
    pub(super) fn parts(&self, program: &Program) -> Vec<Part> {
        let Some(functions) = &self.functions else { return vec![Part::whole(program)] };
        functions.parts(program, &self.chosen.calls(program))
    }

    /// Returns the stubs to load for the functions of these programs' calls.
    pub(super) fn stubs_of(&mut self, programs: &BTreeSet<&'static Program>) -> BTreeMap<String, Job> {
        let Some(functions) = &self.functions else { return BTreeMap::new() };
        let calls = programs.iter().flat_map(|program| self.chosen.calls(program));
        let wanted: Vec<_> = calls.flat_map(|call| functions.of(&call)).collect();
        let mut jobs = BTreeMap::new();
        for function in wanted {
            if let Some((table, number)) = self.stubs.number(&function) {
                let name = stub(table, number);
                let part = Part { name: name.clone(), table, target: Some(function.name) };
                jobs.insert(name, (&DISPATCHER, part));
            }
        }
        jobs
    }

    /// Checks that the tier works: attaches its hook at the ends of all system calls, or a trampoline.
    pub(super) fn probe(&mut self) -> Result<(), AttachError> {
        match self.tier {
            Tier::Function => self.hook_function(&self.first_function()?),
            _ => self.hold(&DISPATCHER).map(|_| ()),
        }
    }

    fn first_function(&self) -> Result<Function, AttachError> {
        let found = self.functions.as_ref().map(|found| found.of(&syscalls::OPENAT)).unwrap_or_default();
        let none = AttachError::NoHook { program: DISPATCHER.name, hook: "__x64_sys_openat".to_owned() };
        found.into_iter().next().ok_or(none)
    }

    /// Attaches the dispatcher that runs the table's programs at the ends of these calls. With tier function it is
    /// attached to as many of the calls' functions as possible, at least to one.
    pub(super) fn hook_calls(&mut self, calls: &[Syscall]) -> Result<Attached, AttachError> {
        let Some(functions) = &self.functions else {
            self.hold(&DISPATCHER)?;
            return Ok(Attached { hooks: syscalls::hook_names(calls), ..Attached::default() });
        };
        let wanted: Vec<_> = calls.iter().flat_map(|call| functions.of(call)).collect();
        let names = calls.iter().map(|call| call.name).collect::<Vec<_>>().join(", ");
        let mut refused =
            AttachError::NoHook { program: DISPATCHER.name, hook: format!("at a function of {names}") };
        let mut found = Attached::default();
        for function in wanted {
            match self.hook_function(&function) {
                Ok(()) => found.hooks.push(format!("fexit {}", function.name)),
                Err(cause) => {
                    found.without.push(format!("calls of {} ({cause})", function.name));
                    refused = cause;
                }
            }
        }
        if found.hooks.is_empty() { Err(refused) } else { Ok(found) }
    }

    fn hook_function(&mut self, function: &Function) -> Result<(), AttachError> {
        if self.stubs.held.contains_key(&function.name) {
            return Ok(());
        }
        program::refuse_missing(DISPATCHER.name, self.tier, &function.name)?;
        let name = DISPATCHER.name;
        let no_room = AttachError::NoProgram { program: name };
        let (table, number) = self.stubs.number(function).ok_or(no_room)?;
        let pins = self.pins.clone();
        let held = match pins.as_ref().and_then(|pins| pins.link(name, &function.name)) {
            Some(link) => Held::pinned(function.name.clone(), link),
            None => {
                let part = Part { name: stub(table, number), table, target: Some(function.name.clone()) };
                let loaded = self.loaded_part(&DISPATCHER, &part)?;
                let hooks = vec![function.name.clone()];
                program::attach(loaded, &DISPATCHER, hooks, pins.as_ref())?.remove(0)
            }
        };
        self.stubs.held.insert(function.name.clone(), held);
        Ok(())
    }

    /// Detaches from functions whose calls have no program in the table any more.
    pub(super) fn leave_functions(&mut self) {
        let Some(functions) = &self.functions else { return };
        let needed = self.table.calls().flat_map(|call| functions.of(call)).map(|function| function.name);
        let needed = needed.collect();
        self.stubs.keep_only(&needed);
    }
}
