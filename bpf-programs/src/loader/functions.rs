//! The hooks at the ends of system calls: one for all, or for tier function one per function.

use std::collections::{BTreeMap, BTreeSet};

use super::hooks::Programs;
use super::program::{self, Held, Job};
use super::trampolines::Trampoline;
use crate::catalog::DISPATCHER;
use crate::errors::AttachError;
use crate::kernel::Attached;
use crate::programs::{Hook, Program, Tracer};
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

    /// Checks that the tier works: attaches its hook at the ends of all system calls. With tier function the trampoline has shown
    /// that; it is kept until tracer `open` has attached its own.
    pub(super) fn probe(&mut self, trampoline: Option<Trampoline>) -> Result<(), AttachError> {
        match self.tier {
            Tier::Function => {
                self.trampoline = trampoline;
                Ok(())
            }
            Tier::Tracepoint | Tier::Kprobe => self.hold(&DISPATCHER).map(|_| ()),
        }
    }

    /// Attaches the dispatcher that runs the table's programs at the ends of these calls. With tier function it is
    /// attached to as many of the calls' functions as possible, at least to one.
    pub(super) fn hook_calls(&mut self, calls: &[Syscall]) -> Result<Attached, AttachError> {
        if self.functions.is_none() {
            self.hold(&DISPATCHER)?;
            return Ok(Attached { hooks: syscalls::hook_names(calls), ..Attached::default() });
        }
        self.at_functions(calls, Self::hook_function)
    }

    /// Loads a program and the stubs for its functions, without attaching them: with tier function, for `check`.
    pub(super) fn try_functions(&mut self, program: &'static Program) -> Result<Attached, AttachError> {
        for part in self.parts(program) {
            self.loaded_part(program, &part)?;
        }
        match program.hook {
            Hook::SyscallExits(..) => {
                let load = |programs: &mut Self, function: &Function| programs.stub_of(function).map(|_| ());
                self.at_functions(&self.chosen.calls(program), load)
            }
            _ => {
                let hooks = program.hook.names();
                for hook in &hooks {
                    program::refuse_missing(program.name, self.tier, hook)?;
                }
                Ok(Attached { hooks, ..Attached::default() })
            }
        }
    }

    /// Does something for each function of these calls; it has to succeed for one at least.
    fn at_functions(
        &mut self,
        calls: &[Syscall],
        hook: impl Fn(&mut Self, &Function) -> Result<(), AttachError>,
    ) -> Result<Attached, AttachError> {
        let known = self.functions.as_ref();
        let wanted: Vec<_> =
            calls.iter().flat_map(|call| known.map(|known| known.of(call)).unwrap_or_default()).collect();
        let names = calls.iter().map(|call| call.name).collect::<Vec<_>>().join(", ");
        let mut refused =
            AttachError::NoHook { program: DISPATCHER.name, hook: format!("at a function of {names}") };
        let mut found = Attached::default();
        for function in wanted {
            match hook(self, &function) {
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
        let name = DISPATCHER.name;
        let pins = self.pins.clone();
        let held = match pins.as_ref().and_then(|pins| pins.link(name, &function.name)) {
            Some(link) => Held::pinned(function.name.clone(), link, true),
            None => {
                let loaded = self.stub_of(function)?;
                let hooks = vec![function.name.clone()];
                program::attach(loaded, &DISPATCHER, hooks, pins.as_ref())?.remove(0)
            }
        };
        self.stubs.held.insert(function.name.clone(), held);
        Ok(())
    }

    /// Returns the function's stub, loading it if necessary.
    fn stub_of(&mut self, function: &Function) -> Result<&mut aya::programs::Program, AttachError> {
        program::refuse_missing(DISPATCHER.name, self.tier, &function.name)?;
        let no_room = AttachError::NoProgram { program: DISPATCHER.name };
        let (table, number) = self.stubs.number(function).ok_or(no_room)?;
        let part = Part { name: stub(table, number), table, target: Some(function.name.clone()) };
        self.loaded_part(&DISPATCHER, &part)
    }

    /// Detaches from functions whose calls have no program in the table any more.
    pub(super) fn leave_functions(&mut self) {
        let Some(functions) = &self.functions else { return };
        let needed = self.table.calls().flat_map(|call| functions.of(call)).map(|function| function.name);
        let needed = needed.collect();
        self.stubs.keep_only(&needed);
    }
}
