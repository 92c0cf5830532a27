//! Starts host and tracers under a supervisor, and removes pins.

use std::path::Path;
use std::sync::Arc;

use actors::{LoopRef, Placement, Spec, Supervisor};

use crate::catalog::tracers;
use crate::config::EbpfConfig;
use crate::errors::LoadError;
use crate::host::{EbpfHost, Handover};
use crate::loader::{Loaded, MANY_LINKS, Pins, links_being_detached};
use crate::tracer::{EbpfTracer, Shared};

/// Starts a host under a supervisor.
pub(crate) fn spawn_host(supervisor: &Supervisor, handover: Arc<Handover>) -> LoopRef<EbpfHost> {
    // On a thread of its own, so that nothing else in the agent delays reading the rings.
    let spec = Spec { placement: placement(), ..Spec::new("ebpf") };
    supervisor.spawn_loop(spec, move |link| EbpfHost::new(link, handover.clone()))
}

/// Returns the host's thread: its own, except in tests, where the paused clock belongs to one thread.
fn placement() -> Placement {
    if cfg!(test) { Placement::Here } else { Placement::OwnThread }
}

/// Starts a tracer under a supervisor.
pub(crate) fn spawn_tracer(supervisor: &Supervisor, shared: Shared) -> LoopRef<EbpfTracer> {
    let shared = Arc::new(shared);
    supervisor.spawn_loop(Spec::new(shared.tracer.name), move |link| EbpfTracer::new(link, shared.clone()))
}

/// Loads the object with the programs of all tracers, for [`crate::checks`].
pub(crate) fn try_kernel(config: &EbpfConfig) -> Result<Loaded, LoadError> {
    Loaded::load(config, &tracers().collect::<Vec<_>>(), None)
}

/// Removes everything that an agent with this work directory has pinned, detaching programs that are still attached;
/// returns whether there was anything that no running agent uses.
pub fn unpin(workdir: &Path) -> bool {
    Pins::find(workdir).filter(Pins::claim).inspect(Pins::remove_all).is_some()
}

/// Leaves it to another process to call [`unpin`] for this work directory, and to close this process's links, if that may
/// take longer than a stop may take; returns whether it did.
pub fn leave_many_links(workdir: &Path) -> bool {
    let many = links_being_detached() > MANY_LINKS || Pins::find(workdir).is_some_and(|pins| pins.are_many());
    if many {
        Pins::end_claims();
    }
    many
}
