//! The loaded programs and the hooks they are attached to. For programs at the ends of system calls see
//! `functions.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use aya::{Btf, Ebpf};

use super::pins::Pins;
use super::program::{self, Held};
use super::sizes::kernel_types;
use super::stubs::{Found, Stubs};
use super::table::Table;
use super::trampolines::Trampoline;
use crate::by_function::Chosen;
use crate::catalog::{DISPATCHER, LIFECYCLE, PROCESSES, tracers};
use crate::errors::AttachError;
use crate::kernel::{Attached, Hooks, Misses};
use crate::ledger::SWEEP;
use crate::programs::{Hook, Program, Tracer};
use crate::syscalls::Stage;
use crate::tier::Tier;
use crate::tracers::{udp, uring, uring_unposted};
use crate::trampoline::{Functions, Part};
use crate::wire::{Kind, Ring};

/// The object's programs. Dropping it detaches those without a pinned link.
pub(crate) struct Programs {
    pub(crate) ebpf: Ebpf,
    /// Programs the verifier has accepted.
    loaded: BTreeSet<String>,
    pub(crate) tier: Tier,
    /// Why `auto` did not take a tier that it prefers.
    pub(crate) passed_over: Option<String>,
    /// For tier function: the functions of system calls in this kernel.
    pub(super) functions: Option<Functions>,
    /// The tracers that are attached to other functions.
    pub(super) chosen: Chosen,
    pub(super) stubs: Stubs,
    /// The trampoline that showed that tier function works.
    pub(super) trampoline: Option<Trampoline>,
    /// Attached hooks, by program.
    pub(super) held: BTreeMap<&'static str, Vec<Held>>,
    /// Programs by system call, reached by tail call from the one hook for all calls.
    pub(super) table: Table,
    /// Pairs of program and tracer that uses it: a program stays attached while it has a user.
    pub(super) users: BTreeSet<(&'static str, &'static str)>,
    /// The directory in which links are pinned, if they outlive the agent.
    pub(super) pins: Option<Pins>,
}

impl Programs {
    /// Takes the programs of an object, none of which is loaded yet.
    pub(super) fn new(tier: Tier, table: Table, ebpf: Ebpf, found: Found) -> Self {
        Self {
            ebpf,
            loaded: BTreeSet::new(),
            tier,
            passed_over: None,
            functions: found.functions,
            chosen: found.chosen,
            stubs: Stubs::default(),
            trampoline: None,
            held: BTreeMap::new(),
            table,
            users: BTreeSet::new(),
            pins: None,
        }
    }

    /// Loads all programs in parallel: each takes the verifier 20 to 80 ms on one thread. A program that is refused is
    /// tried again, and the error reported, when its tracer is attached.
    pub(super) fn load(&mut self, wanted: &[&'static Tracer], btf: &Btf, needed: impl Fn(&Program) -> bool) {
        let flows = wanted.iter().any(|tracer| tracer.kind == Kind::Udp).then_some(&udp::SWEEP);
        let has_requests = wanted.iter().any(|tracer| tracer.programs.contains(&uring::SUBMIT));
        let requests = has_requests.then_some(&uring_unposted::SWEEP);
        let sweeps = [&PROCESSES, &SWEEP].into_iter().chain(flows).chain(requests);
        let programs = self.programs_of(wanted).into_iter().chain(sweeps);
        let programs: BTreeSet<&'static Program> = programs.filter(|program| needed(program)).collect();
        let parts =
            programs.iter().flat_map(|program| self.parts(program).into_iter().map(|part| (*program, part)));
        let mut jobs: BTreeMap<String, program::Job> =
            parts.map(|(program, part)| (part.name.clone(), (program, part))).collect();
        jobs.extend(self.stubs_of(&programs));
        let found = self.ebpf.programs_mut();
        let jobs = found.filter_map(|(name, loaded)| Some((jobs.remove(name)?, loaded)));
        self.loaded = program::load_all(jobs.collect(), btf);
    }

    /// Returns the programs of these tracers and those that every agent needs, except iterators.
    pub(super) fn programs_of(&self, wanted: &[&'static Tracer]) -> Vec<&'static Program> {
        let keepers = tracers().filter(|tracer| keeps_table(tracer));
        let of_tracers =
            keepers.chain(wanted.iter().copied()).flat_map(|tracer| self.chosen.programs(tracer));
        of_tracers.chain(LIFECYCLE).chain([&DISPATCHER]).collect()
    }

    /// Returns a program that the verifier has accepted, loading it if necessary.
    fn loaded(&mut self, program: &'static Program) -> Result<&mut aya::programs::Program, AttachError> {
        let part = self.parts(program).pop().unwrap_or_else(|| Part::whole(program));
        self.loaded_part(program, &part)
    }

    pub(super) fn loaded_part(
        &mut self,
        program: &'static Program,
        part: &Part,
    ) -> Result<&mut aya::programs::Program, AttachError> {
        let found = self.ebpf.program_mut(&part.name);
        let found = found.ok_or(AttachError::NoProgram { program: program.name })?;
        if !self.loaded.contains(&part.name) {
            let btf = kernel_types().map_err(|_| AttachError::NoBtf { program: program.name })?;
            program::load(found, program, part.target.as_deref(), &btf)?;
            self.loaded.insert(part.name.clone());
        }
        Ok(found)
    }

    /// Attaches the programs that feed the process table. One that can't be attached is logged here, and is reported
    /// again, as an error, when a tracer that needs it is attached. Returns the parts of the process table that are missing.
    pub(crate) fn attach_lifecycle(&mut self) -> Vec<String> {
        let mut lacks = Vec::new();
        let keepers = tracers().filter(|tracer| keeps_table(tracer));
        let keepers: Vec<_> = keepers.flat_map(|tracer| self.chosen.programs(tracer)).collect();
        for program in LIFECYCLE.iter().chain(keepers) {
            if let Err(cause) = self.attach_program(program) {
                let missing = program.without.unwrap_or("processes in the process table");
                tracing::warn!(program = program.name, %cause, missing, "process table is incomplete");
                lacks.push(format!("{missing} ({cause})"));
            }
        }
        lacks
    }

    fn attach_program(&mut self, program: &'static Program) -> Result<Attached, AttachError> {
        match program.hook {
            Hook::SyscallExits(stage, _) => self.enter(program, stage),
            Hook::NewBtfTracepoint(_) => match self.hold(program) {
                Err(AttachError::NoHook { .. }) => Ok(Attached::default()),
                held => Ok(Attached { hooks: held?, ..Attached::default() }),
            },
            _ => Ok(Attached { hooks: self.hold(program)?, ..Attached::default() }),
        }
    }

    /// Attaches a program to its own hooks, except those with a pinned link.
    pub(super) fn hold(&mut self, program: &'static Program) -> Result<Vec<String>, AttachError> {
        if !self.held.contains_key(program.name) {
            let mut held = Vec::new();
            let mut missing = Vec::new();
            let at_function = matches!(program.hook, Hook::Function(_));
            for hook in program.hook.names() {
                program::refuse_missing(program.name, self.tier, &hook)?;
                match self.pins.as_ref().and_then(|pins| pins.link(program.name, &hook)) {
                    Some(link) => held.push(Held::pinned(hook, link, at_function)),
                    None => missing.push(hook),
                }
            }
            if !missing.is_empty() {
                let pins = self.pins.clone();
                held.extend(program::attach(self.loaded(program)?, program, missing, pins.as_ref())?);
            }
            self.held.insert(program.name, held);
        }
        Ok(self.held[program.name].iter().map(|held| held.hook.clone()).collect())
    }

    /// Puts a program into the table, and then attaches the dispatcher that calls it.
    fn enter(&mut self, program: &'static Program, stage: Stage) -> Result<Attached, AttachError> {
        let calls = self.chosen.calls(program);
        if !self.table.has(program.name) {
            let parts = self.parts(program);
            for part in &parts {
                self.loaded_part(program, part)?;
            }
            let found = parts.iter().filter_map(|part| Some((part.table, self.ebpf.program(&part.name)?)));
            self.table.enter(program.name, &found.collect::<Vec<_>>(), stage, calls.clone())?;
        }
        self.hook_calls(&calls).inspect_err(|_| self.table.leave(program.name))
    }

    /// Attaches a tracer's programs without enabling the tracer, so nothing is recorded; for `check`. Programs at functions
    /// are only loaded: that they can be attached is known already, and to detach each takes a grace period of all tasks.
    pub(crate) fn try_attach(
        &mut self,
        tracer: &Tracer,
    ) -> Vec<(&'static Program, Result<Attached, AttachError>)> {
        let programs = self.chosen.programs(tracer).into_iter();
        programs.map(|program| (program, self.try_program(program))).collect()
    }

    fn try_program(&mut self, program: &'static Program) -> Result<Attached, AttachError> {
        let at_functions = matches!(program.hook, Hook::Function(_) | Hook::SyscallExits(..));
        if self.trampoline.is_none() || !at_functions {
            return self.attach_program(program);
        }
        self.try_functions(program)
    }
}

impl Hooks for Programs {
    fn attach(&mut self, tracer: &'static Tracer) -> Result<Attached, AttachError> {
        let mut attached =
            Attached { tier: self.tier.number(), unseen: self.unseen(tracer), ..Attached::default() };
        attached.without.extend(self.chosen.lacks(tracer));
        for program in self.chosen.programs(tracer) {
            self.users.insert((program.name, tracer.name));
            match (self.attach_program(program), program.without) {
                (Ok(found), _) => {
                    attached.hooks.extend(found.hooks);
                    attached.without.extend(found.without);
                }
                (Err(cause), Some(without)) => attached.without.push(format!("{without} ({cause})")),
                (Err(cause), None) => return Err(cause),
            }
        }
        if tracer.kind == Kind::Open {
            self.trampoline = None;
        }
        Ok(attached)
    }

    fn detach(&mut self, tracer: &'static Tracer) {
        if keeps_table(tracer) {
            return;
        }
        for program in self.chosen.programs(tracer) {
            self.users.remove(&(program.name, tracer.name));
            if self.users.iter().any(|(name, _)| *name == program.name) {
                continue;
            }
            self.table.leave(program.name);
            self.held.remove(program.name).into_iter().flatten().for_each(Held::detach);
        }
        self.leave_functions();
        if self.table.is_empty() {
            self.held.remove(DISPATCHER.name).into_iter().flatten().for_each(Held::detach);
        }
    }

    fn close(&mut self) {
        std::mem::take(&mut self.held).into_values().flatten().for_each(Held::detach);
        self.table.clear();
        self.leave_functions();
    }

    fn unpin(&mut self) {
        for held in self.held.values_mut() {
            *held = std::mem::take(held).into_iter().filter_map(Held::unpin).collect();
        }
        let stubs = std::mem::take(&mut self.stubs.held).into_iter();
        self.stubs.held = stubs.filter_map(|(function, held)| Some((function, held.unpin()?))).collect();
        if let Some(pins) = self.pins.take() {
            pins.remove_all();
        }
    }

    fn misses(&self, of: Option<&Tracer>) -> Vec<Misses> {
        self.skipped(of)
    }

    fn iterate(&mut self, program: &'static Program) -> Result<Vec<u8>, AttachError> {
        let mut file = program::iterate(self.loaded(program)?, program)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| AttachError::Iterate { source })?;
        Ok(bytes)
    }
}

/// Returns whether the tracer's programs feed the process table and stay attached even if the tracer is disabled.
pub(super) fn keeps_table(tracer: &Tracer) -> bool {
    tracer.kind.ring() == Ring::Lifecycle
}
