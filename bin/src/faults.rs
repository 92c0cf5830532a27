//! Makes actors of the running agent panic on command, so that tests can check that the supervisor restarts them. Only
//! with the feature `fault-injection`.

use actors::{ActorLoop, AnyChild as _, InjectPanic, LoopRef};
use bpf_programs::EbpfTracers;
use bpf_programs::template::Templates;
use collector::CollectorHandle;

/// Handles of the actors that can be made to panic.
pub(crate) struct Faults {
    ebpf: EbpfTracers,
    templates: Templates,
    collector: CollectorHandle,
}

impl Faults {
    /// Covers kernel tracers, eBPF templates, the collector and the sinks, by their names in `status`.
    pub(crate) fn new(ebpf: &EbpfTracers, templates: &Templates, collector: &CollectorHandle) -> Self {
        Self { ebpf: ebpf.clone(), templates: templates.clone(), collector: collector.clone() }
    }

    /// Makes the actor of that name panic, or returns an error if there is none. `clock:SECONDS` instead sets the agent's wall
    /// clock forward, or back.
    pub(crate) async fn inject(&self, actor: &str) -> Result<(), String> {
        if let Some(seconds) = actor.strip_prefix("clock:").and_then(|seconds| seconds.parse().ok()) {
            actors::clock::shift(seconds);
        } else if actor == self.collector.collector.name() {
            inject(&self.collector.collector).await;
        } else if let Some(tracer) = self.ebpf.tracers().iter().find(|tracer| tracer.name == actor) {
            inject(&tracer.child).await;
        } else if let Some(tracer) = self.templates.tracers().iter().find(|it| it.child.name() == actor) {
            inject(&tracer.child).await;
        } else if let Some(sink) = self.collector.sinks().iter().find(|sink| sink.child.name() == actor) {
            inject(&sink.child).await;
        } else {
            return Err(format!("no actor {actor:?} that can be made to panic"));
        }
        Ok(())
    }
}

async fn inject<L: ActorLoop>(child: &LoopRef<L>) {
    // An actor that has ended can't panic.
    drop(child.ask(InjectPanic).await);
}
