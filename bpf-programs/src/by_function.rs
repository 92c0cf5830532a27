//! Programs at functions that work on the kernel's own objects. With tier `function` these programs record calls that the
//! other tiers record at the ends of the calls. If the kernel lacks one of a tracer's functions, the tracer has hooks at the
//! ends of its calls only.

use std::collections::{BTreeMap, BTreeSet};

use crate::programs::{ByFunction, Function, Hook, Program, Tracer};
use crate::syscalls::{Stage, Syscall};
use crate::tracers;
use crate::trampoline::Functions;
use crate::wire::Kind;

/// All sets of programs at functions, by tracer.
const ALL: &[&ByFunction] = &[
    &tracers::open::BY_FUNCTION,
    &tracers::unlink::BY_FUNCTION,
    &tracers::rename::BY_FUNCTION,
    &tracers::mkdir::BY_FUNCTION,
    &tracers::link::BY_FUNCTION,
    &tracers::attr::BY_FUNCTION,
    &tracers::truncate::BY_FUNCTION,
    &tracers::exec::BY_FUNCTION,
    &tracers::usage::BY_FUNCTION,
    &tracers::usage::TRANSFERS,
    &tracers::udp::BY_FUNCTION,
    &tracers::udp::QUESTIONS,
    &tracers::udp::OTHERS,
    &tracers::udp::RECEIVED,
    &tracers::udp::ANSWERS,
    &tracers::udp::RECEIVED_OTHERS,
    &tracers::uring_unposted::CONNECT,
    &tracers::uring_unposted::ACCEPT,
    &tracers::uring_unposted::BIND,
    &tracers::uring_unposted::CLOSE,
    &tracers::uring_unposted::UDP,
    &tracers::uring_unposted::DNS,
    &tracers::uring_unposted::TRUNCATE,
    &tracers::uring_unposted::ATTR,
    &tracers::uring_unposted::USAGE,
];

/// Returns whether a program is attached to a function of this name.
pub(crate) fn is_used(name: &str) -> bool {
    let hooks = ALL.iter().flat_map(|set| set.programs).map(|program| program.hook);
    hooks.into_iter().any(|hook| matches!(hook, Hook::Function(function) if function.names.contains(&name)))
}

/// The tracers whose functions this kernel has.
#[derive(Default)]
pub(crate) struct Chosen {
    sets: Vec<&'static ByFunction>,
    /// Functions that are missing, by kind of the tracer that needs them.
    missing: BTreeMap<Kind, Vec<String>>,
    /// Programs that their tracer does not need, and whose functions are missing.
    absent: BTreeSet<&'static str>,
    /// Constants of the object, and their values.
    pub(crate) positions: BTreeMap<&'static str, u8>,
}

impl Chosen {
    /// Finds all functions and positions. `is_missing` says whether a function is to be ignored.
    pub(crate) fn of(functions: Option<&Functions>, is_missing: impl Fn(&str) -> bool) -> Self {
        let mut chosen = Self::default();
        let Some(functions) = functions else { return chosen };
        for set in ALL {
            let mut missing = Vec::new();
            for program in set.programs {
                let Hook::Function(function) = program.hook else { continue };
                let found = functions.first_of(function.names).filter(|(name, _)| !is_missing(name));
                let Some((name, parameters)) = found else {
                    if program.without.is_some() {
                        chosen.absent.insert(program.name);
                        continue;
                    }
                    missing.extend(function.names.first().map(|name| (*name).to_owned()));
                    continue;
                };
                if let Some(result) = function.result {
                    chosen.positions.insert(result, parameters.len() as u8);
                }
                for (constant, parameter) in function.parameters {
                    let wanted = parameter.trim_start_matches('?');
                    let at = parameters.iter().position(|known| known == wanted);
                    if at.is_none() && wanted == *parameter {
                        missing.push(format!("{parameter} of {name}"));
                    }
                    chosen.positions.insert(constant, at.map_or(Function::NONE, |at| at as u8));
                }
            }
            missing.dedup();
            if missing.is_empty() {
                chosen.sets.push(set);
            } else {
                chosen.missing.insert(set.kind, missing);
            }
        }
        chosen
    }

    /// Returns the kinds whose calls are recorded at functions, one bit for each kind.
    pub(crate) fn kinds(&self) -> u64 {
        let whole = self.sets.iter().filter(|set| !set.calls.is_empty());
        whole.fold(0, |bits, set| bits | 1 << set.kind as u32)
    }

    /// Returns the programs of a tracer: those at functions, and of the others those that still have calls to record.
    pub(crate) fn programs(&self, tracer: &Tracer) -> Vec<&'static Program> {
        let at_functions =
            self.sets.iter().filter(|set| set.kind == tracer.kind).flat_map(|set| set.programs);
        let at_functions = at_functions.filter(|program| !self.absent.contains(program.name));
        let has_calls = |program: &&Program| program.calls().is_empty() || !self.calls(program).is_empty();
        at_functions.chain(tracer.programs.iter().filter(has_calls)).collect()
    }

    /// Returns the calls at whose ends the program runs: those that no program at functions records. Functions may
    /// record a call's event and not the bytes that it transfers, or the reverse.
    pub(crate) fn calls(&self, program: &Program) -> Vec<Syscall> {
        let adds_bytes = matches!(program.hook, Hook::SyscallExits(Stage::Ledger, _));
        let of_stage = |set: &ByFunction| (set.kind == Kind::Usage) == adds_bytes;
        let is_recorded =
            |call: &Syscall| self.sets.iter().any(|set| of_stage(set) && set.calls.contains(call));
        program.calls().iter().filter(|call| !is_recorded(call)).copied().collect()
    }

    /// Returns whether programs at functions record the call.
    pub(crate) fn is_recorded(&self, call: &Syscall) -> bool {
        self.sets.iter().any(|set| set.calls.contains(call))
    }

    /// Describes the functions that the kernel lacks for this tracer.
    pub(crate) fn lacks(&self, tracer: &Tracer) -> Option<String> {
        let missing = self.missing.get(&tracer.kind)?.join(", ");
        Some(format!("what the kernel itself works with: this kernel has no function {missing}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tracers;
    use crate::prototypes::made_of;

    /// Makes type information with all functions that have programs, each with the parameters that these need.
    fn like_a_kernels() -> Vec<u8> {
        let mut all =
            BTreeMap::from([("__x64_sys_openat", vec!["regs"]), ("__arm64_sys_openat", vec!["regs"])]);
        for program in ALL.iter().flat_map(|set| set.programs) {
            let Hook::Function(function) = program.hook else { continue };
            let parameters = all.entry(function.names[0]).or_default();
            for (_, parameter) in function.parameters {
                let parameter = parameter.trim_start_matches('?');
                if !parameters.contains(&parameter) {
                    parameters.push(parameter);
                }
            }
        }
        let listed: Vec<_> = all.iter().map(|(name, parameters)| (*name, parameters.as_slice())).collect();
        made_of(&listed)
    }

    #[test]
    fn a_missing_function_leaves_a_tracer_with_the_ends_of_its_calls() {
        let functions = Functions::parse(&like_a_kernels(), is_used).unwrap();
        let open = tracers().find(|tracer| tracer.kind == Kind::Open).unwrap();
        let all = Chosen::of(Some(&functions), |_| false);
        assert_eq!(all.lacks(open), None);
        assert!(all.kinds() & 1 << Kind::Open as u32 != 0);
        assert_eq!(all.positions["installed_file"], 1);
        let ends = &open.programs[0];
        assert_eq!(all.calls(ends).iter().map(|call| call.name).collect::<Vec<_>>(), ["open_by_handle_at"]);
        let names =
            |chosen: &Chosen| chosen.programs(open).iter().map(|found| found.name).collect::<Vec<_>>();
        assert!(names(&all).contains(&"uring_open_ends") && all.positions["uring_open_result"] == 2);
        let calls_only = Chosen::of(Some(&functions), |name| name == "io_openat2");
        assert_eq!(calls_only.lacks(open), None, "calls are still recorded at functions");
        assert!(!names(&calls_only).contains(&"uring_open_ends"));
        assert!(!calls_only.positions.contains_key("uring_open_result"));
        let without = Chosen::of(Some(&functions), |name| name == "fd_install");
        assert!(without.lacks(open).unwrap().ends_with("no function fd_install"));
        assert_eq!(without.calls(ends), ends.calls());
        assert!(without.programs(open).iter().all(|program| !matches!(program.hook, Hook::Function(_))));
    }
}
