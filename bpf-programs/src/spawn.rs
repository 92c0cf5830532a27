//! Puts a host and a tracer under a supervisor.

use std::path::Path;
use std::sync::Arc;

use actors::{ChildRef, Placement, Spec, Supervisor};

use crate::config::EbpfConfig;
use crate::host::{EbpfHost, Handover, HostState};
use crate::loader::{Kernel, LoadError, Pins};
use crate::programs::tracers;
use crate::tracer::{EbpfTracer, Fixture, TracerState};

/// Puts a host under a supervisor.
pub(crate) fn spawn_host(supervisor: &Supervisor, handover: Arc<Handover>) -> ChildRef<EbpfHost, HostState> {
    // A thread of its own: what else the agent does must not keep the rings waiting.
    let spec = Spec { placement: placement(), ..Spec::new("ebpf") };
    supervisor.spawn(spec, move |link| EbpfHost::new(link, handover.clone()))
}

/// Tests run on a paused clock, which is one thread's.
fn placement() -> Placement {
    if cfg!(test) { Placement::Here } else { Placement::OwnThread }
}

/// Puts a tracer under a supervisor.
pub(crate) fn spawn_tracer(supervisor: &Supervisor, fixture: Fixture) -> ChildRef<EbpfTracer, TracerState> {
    let fixture = Arc::new(fixture);
    supervisor.spawn(Spec::new(fixture.tracer.name), move |link| EbpfTracer::new(link, fixture.clone()))
}

/// For [`crate::checks`]: the same object, loaded to try.
pub(crate) fn try_kernel(config: &EbpfConfig) -> Result<Kernel, LoadError> {
    Kernel::load(config, &tracers().collect::<Vec<_>>())
}

/// Lets go of everything that an agent on that work folder has pinned; says whether there was anything. Programs that
/// were still attached are detached. No agent may run there.
pub fn unpin(workdir: &Path) -> bool {
    Pins::of(workdir).remove_all()
}

/// Whether an agent on that work folder has pinned anything.
pub fn is_pinned(workdir: &Path) -> bool {
    !Pins::of(workdir).is_empty()
}
