//! Reads how many runs of the attached programs the kernel has skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use aya::programs::loaded_programs;

use super::hooks::{Programs, keeps_table};
use super::program;
use crate::catalog::{DISPATCHER, LIFECYCLE, tracers};
use crate::kernel::Misses;
use crate::programs::Tracer;
use crate::trampoline::Functions;
use crate::wire::COUNT_LIFECYCLE;

/// Name of the count in a program's file in `/proc/self/fdinfo`.
const MISSES: &str = "recursion_misses:";

/// Programs that are skipped together, and make records of the same kinds.
#[derive(Clone, Copy)]
enum Runs<'a> {
    /// The program of this name.
    Program(&'static str),
    /// The programs in the table for the calls of this function; `None`: for all calls.
    Table(Option<&'a str>),
}

impl Programs {
    /// Returns the attached programs that the kernel has skipped, with the slots of their records. Programs in the table are
    /// skipped together with the one at whose hook they run.
    pub(super) fn skipped(&self, of: Option<&Tracer>) -> Vec<Misses> {
        let mut left = of.map_or_else(|| self.attached(), |tracer| self.attached_for(tracer));
        let mut found = Vec::new();
        for (_, loaded) in self.ebpf.programs() {
            if left.is_empty() {
                break;
            }
            if let Some(id) = program::id(loaded)
                && let Some(runs) = left.remove(&id)
            {
                found.extend(
                    loaded.fd().ok().and_then(|fd| misses(fd.as_fd())).map(|count| (id, count, runs)),
                );
            }
        }
        // Programs that an earlier agent loaded: finding them takes a right that an agent may lack.
        let others = (!left.is_empty()).then(loaded_programs).into_iter().flatten();
        for info in others.flatten() {
            if let Some(runs) = left.remove(&info.id()) {
                let count = info.fd().ok().and_then(|fd| misses(fd.as_fd()));
                found.extend(count.map(|count| (info.id(), count, runs)));
            }
        }
        let found = found.into_iter().filter(|(_, count, _)| *count > 0);
        let found =
            found.map(|(program, count, runs)| Misses { program, count, slots: self.slots_of_runs(runs) });
        found.filter(|misses| !misses.slots.is_empty()).collect()
    }

    /// Returns the ids of the attached programs.
    fn attached(&self) -> BTreeMap<u32, Runs<'_>> {
        let of_programs = self.held.iter().flat_map(|(name, held)| {
            let runs = if *name == DISPATCHER.name { Runs::Table(None) } else { Runs::Program(name) };
            held.iter().map(move |held| (held, runs))
        });
        let of_functions = self.stubs.held.iter().map(|(function, held)| (held, Runs::Table(Some(function))));
        of_programs.chain(of_functions).filter_map(|(held, runs)| Some((held.program?, runs))).collect()
    }

    /// Returns the ids of the programs that are attached for a tracer.
    fn attached_for(&self, tracer: &Tracer) -> BTreeMap<u32, Runs<'_>> {
        let programs = self.chosen.programs(tracer);
        let calls: Vec<_> = programs.iter().flat_map(|program| self.chosen.calls(program)).collect();
        let of_calls = |functions: &Functions| calls.iter().flat_map(|call| functions.of(call)).collect();
        let functions: Vec<_> = self.functions.as_ref().map(of_calls).unwrap_or_default();
        let mut attached = self.attached();
        attached.retain(|_, runs| match runs {
            Runs::Program(name) => programs.iter().any(|program| program.name == *name),
            Runs::Table(None) => !calls.is_empty(),
            Runs::Table(Some(name)) => functions.iter().any(|function| function.name == *name),
        });
        attached
    }

    fn slots_of_runs(&self, runs: Runs<'_>) -> Vec<u32> {
        let function = match runs {
            Runs::Program(name) => return self.slots_of(&[name]),
            Runs::Table(function) => function,
        };
        let runs_at = |call: &_| match (function, &self.functions) {
            (Some(name), Some(functions)) => functions.of(call).iter().any(|found| found.name == name),
            _ => true,
        };
        let programs = self.table.programs().filter(|(_, calls)| calls.iter().any(runs_at));
        self.slots_of(&programs.map(|(name, _)| name).collect::<Vec<_>>())
    }

    /// Returns the slots of the tracers for which these programs are attached, and that of the process table.
    fn slots_of(&self, programs: &[&str]) -> Vec<u32> {
        let users = self.users.iter().filter(|(program, _)| programs.contains(program));
        let users: BTreeSet<&str> = users.map(|(_, tracer)| *tracer).collect();
        let kinds = tracers().filter(|tracer| users.contains(tracer.name)).map(|tracer| tracer.kind as u32);
        let keepers = tracers().filter(|tracer| keeps_table(tracer));
        let of_table = keepers.flat_map(|tracer| self.chosen.programs(tracer)).chain(LIFECYCLE);
        let feeds_table = of_table.into_iter().any(|program| programs.contains(&program.name));
        kinds.chain(feeds_table.then_some(COUNT_LIFECYCLE)).collect()
    }
}

/// Reads the number of runs of a program that were skipped.
fn misses(program: BorrowedFd<'_>) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", program.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix(MISSES))?.trim().parse().ok()
}
