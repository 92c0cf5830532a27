//! The functions that tier function hooks, and the stub of each.

use std::collections::{BTreeMap, BTreeSet};

use super::program::{self, Held};
use crate::by_function::{self, Chosen};
use crate::tier::Tier;
use crate::trampoline::{Function, Functions, STUBS};

/// The functions that trampolines may be attached to, for tier function.
#[derive(Default)]
pub(super) struct Found {
    pub(super) functions: Option<Functions>,
    pub(super) chosen: Chosen,
}

impl Found {
    /// Finds the functions in the running kernel.
    pub(super) fn of(tier: Tier) -> Self {
        if tier != Tier::Function {
            return Self::default();
        }
        let functions = Functions::of_this_kernel(by_function::is_used).unwrap_or_else(|cause| {
            tracing::error!(%cause, "reading the kernel's functions failed");
            Functions::default()
        });
        let chosen = Chosen::of(Some(&functions), |name| program::is_missing(tier, name));
        Self { functions: Some(functions), chosen }
    }
}

/// Functions that are hooked, and the stub of each.
#[derive(Default)]
pub(super) struct Stubs {
    numbers: BTreeMap<String, (usize, usize)>,
    pub(super) held: BTreeMap<String, Held>,
    taken: [usize; 2],
}

impl Stubs {
    /// Returns the function's stub: the one it had before, or the next free one.
    pub(super) fn number(&mut self, function: &Function) -> Option<(usize, usize)> {
        if let Some(known) = self.numbers.get(&function.name) {
            return Some(*known);
        }
        let next = &mut self.taken[function.table];
        let number = (function.table, *next);
        (*next < STUBS).then(|| {
            *next += 1;
            self.numbers.insert(function.name.clone(), number);
            number
        })
    }

    /// Detaches from all functions except `needed`.
    pub(super) fn keep_only(&mut self, needed: &BTreeSet<String>) {
        let (kept, gone) =
            std::mem::take(&mut self.held).into_iter().partition(|(function, _)| needed.contains(function));
        self.held = kept;
        let gone: BTreeMap<String, Held> = gone;
        gone.into_values().for_each(Held::detach);
    }
}
