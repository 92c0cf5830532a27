//! Tests whether the kernel attaches programs to functions, which tier function needs.
//!
//! The test attaches a program that does nothing. If it used the tier's own object, a start would take two seconds longer on
//! a kernel that refuses: the verifier checks all programs before the first one is attached.

use aya::programs::FExit;
use aya::programs::fexit::FExitLink;
use aya::{Btf, EbpfLoader};

use super::program;
use crate::catalog;
use crate::errors::{AttachError, of_object, of_program};
use crate::tier::Tier;

const NAME: &str = "nothing";
/// A function that tracer `open` uses, too, so that the function keeps its trampoline after the test in most cases.
const FUNCTION: &str = "do_filp_open";

/// A trampoline at a function. As long as it is kept, other programs are attached to that function and detached from it
/// without a grace period.
pub(super) struct Trampoline(#[expect(dead_code, reason = "it keeps the program attached")] FExitLink);

impl Trampoline {
    /// Attaches the program, which `loader` loads; returns `None` for tiers that need no trampolines.
    ///
    /// # Errors
    /// Fails if the kernel has no trampolines, or does not let this process use them.
    pub(super) fn of(
        tier: Tier,
        loader: &mut EbpfLoader<'_>,
        types: &Btf,
    ) -> Result<Option<Self>, AttachError> {
        if tier == Tier::Function { Self::new(loader, types).map(Some) } else { Ok(None) }
    }

    fn new(loader: &mut EbpfLoader<'_>, types: &Btf) -> Result<Self, AttachError> {
        program::refuse_missing(NAME, Tier::Function, FUNCTION)?;
        let loaded = loader.load(catalog::NOTHING);
        let mut ebpf = loaded.map_err(|cause| AttachError::Load { source: Box::new(of_object(cause)) })?;
        let program = ebpf.program_mut(NAME).ok_or(AttachError::NoProgram { program: NAME })?;
        let program: &mut FExit = program.try_into().map_err(|_| AttachError::NoProgram { program: NAME })?;
        program.load(FUNCTION, types).map_err(|cause| of_program("load program", NAME, cause))?;
        let attached = program.attach().and_then(|id| program.take_link(id));
        attached.map(Self).map_err(|cause| of_program("attach program", NAME, cause))
    }
}
