//! Puts the host and its tracers under a supervisor: what bin calls.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actors::{ChildRef, Outbox, Placement, Spec, Supervisor, WhenFull};
use model::{Accounts, Batch, ProcessTable, TracerName};

use crate::config::{EbpfConfig, TracersConfig};
use crate::host::{EbpfHost, Handover, HostState, Seat, Source};
use crate::loader::{Kernel, LoadError};
use crate::programs::{Tracer, tracers};
use crate::tracer::{EbpfTracer, Fixture, TracerState};

/// All kernel tracers that are not disabled, and their host. Clones are the same.
#[derive(Clone)]
pub struct EbpfTracers {
    present: Arc<Mutex<Present>>,
}

/// Who is there now.
#[derive(Default)]
struct Present {
    host: Option<ChildRef<EbpfHost, HostState>>,
    tracers: Vec<TracerHandle>,
}

/// A kernel tracer at work.
#[derive(Clone)]
pub struct TracerHandle {
    /// Its own name, that of its config section.
    pub name: &'static str,
    /// The name its rows and its account are under.
    pub stored_as: TracerName,
    /// The actor: its status says whether it runs, its state what it is attached to.
    pub child: ChildRef<EbpfTracer, TracerState>,
}

impl EbpfTracers {
    /// The host, while there is a tracer that needs it: to be stopped first, alone. It ends when the rings are empty
    /// and all is handed to the tracers.
    pub fn host(&self) -> Option<ChildRef<EbpfHost, HostState>> {
        self.present().host.clone()
    }

    /// The tracers: to be stopped after the host. Each hands on what it has before it ends.
    pub fn tracers(&self) -> Vec<TracerHandle> {
        self.present().tracers.clone()
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts every enabled tracer, and the host if there is one. A tracer that can't run gives up, with
/// the cause in its status and what to do in its state; the rest runs.
///
/// # Panics
/// Outside an actix system.
pub fn spawn(
    supervisor: &Supervisor,
    config: &EbpfConfig,
    sections: &TracersConfig,
    accounts: &Accounts,
    processes: ProcessTable,
    collector: &Outbox<Batch>,
) -> EbpfTracers {
    let enabled: Vec<_> = tracers().filter(|tracer| !sections.of(tracer.name).disabled).collect();
    if config.disabled || enabled.is_empty() {
        return EbpfTracers { present: Arc::default() };
    }
    let (own, wanted) = (config.clone(), enabled.clone());
    let open = move || {
        let mut kernel = Kernel::load(&own, &wanted)?;
        kernel.attach_lifecycle();
        Ok(Box::new(kernel) as Box<dyn Source>)
    };
    let seat = |tracer: &'static Tracer| Seat::new(tracer, accounts.of(&sections.stored_as(tracer.name)));
    let seats = enabled.iter().map(|tracer| Arc::new(seat(tracer))).collect();
    let handover = Handover::new(seats, processes, config.look_interval.0, Box::new(open));
    let host = spawn_host(supervisor, handover);
    let tracers = enabled.into_iter().map(|tracer| TracerHandle {
        name: tracer.name,
        stored_as: sections.stored_as(tracer.name),
        child: spawn_tracer(supervisor, tracer, &host, config.queue, collector),
    });
    let present = Present { tracers: tracers.collect(), host: Some(host) };
    EbpfTracers { present: Arc::new(Mutex::new(present)) }
}

/// Puts a host under a supervisor.
pub(crate) fn spawn_host(supervisor: &Supervisor, handover: Handover) -> ChildRef<EbpfHost, HostState> {
    let handover = Arc::new(handover);
    // A thread of its own: what else the agent does must not keep the rings waiting.
    let spec = Spec { placement: placement(), ..Spec::new("ebpf") };
    supervisor.spawn(spec, move |link| EbpfHost::new(link, handover.clone()))
}

/// Tests run on a paused clock, which is one thread's.
fn placement() -> Placement {
    if cfg!(test) { Placement::Here } else { Placement::OwnThread }
}

/// Puts a tracer under a supervisor.
pub(crate) fn spawn_tracer(
    supervisor: &Supervisor,
    tracer: &'static Tracer,
    host: &ChildRef<EbpfHost, HostState>,
    queue: usize,
    collector: &Outbox<Batch>,
) -> ChildRef<EbpfTracer, TracerState> {
    let fixture = Arc::new(Fixture {
        tracer,
        host: host.clone(),
        queue: Outbox::channel(queue, WhenFull::Block),
        collector: collector.clone(),
        wanted: AtomicBool::new(true),
    });
    supervisor.spawn(Spec::new(tracer.name), move |link| EbpfTracer::new(link, fixture.clone()))
}

/// For [`crate::checks`]: the same object, loaded to try.
pub(crate) fn try_kernel() -> Result<Kernel, LoadError> {
    Kernel::load(&EbpfConfig::default(), &tracers().collect::<Vec<_>>())
}
