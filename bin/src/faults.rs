//! Makes actors of the running agent panic on command, so that tests can see them come back. Only with the
//! feature `fault-injection`.

use actix::Handler;
use actors::{Child, ChildRef, State};
use bpf_programs::EbpfTracers;
use collector::CollectorHandle;
use futures::future::BoxFuture;

type Inject = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// How to hit whom.
pub(crate) struct Faults {
    targets: Vec<(String, Inject)>,
}

impl Faults {
    /// Kernel tracers, the collector and the sinks, by the names `status` gives them.
    pub(crate) fn new(ebpf: Option<&EbpfTracers>, collector: &CollectorHandle) -> Self {
        let mut targets: Vec<(String, Inject)> = Vec::new();
        for tracer in ebpf.iter().flat_map(|ebpf| &ebpf.tracers) {
            targets.push((tracer.name.to_owned(), inject(&tracer.child, bpf_programs::InjectPanic)));
        }
        targets.push(("collector".to_owned(), inject(&collector.collector, collector::InjectPanic)));
        for sink in &collector.sinks {
            let sink = sink.clone();
            let name = sink.child.name().to_owned();
            targets.push((name, Box::new(move || sink.inject_panic())));
        }
        Self { targets }
    }

    /// Makes the actor of that name panic.
    pub(crate) async fn inject(&self, actor: &str) -> Result<(), String> {
        let target = self.targets.iter().find(|(name, _)| name == actor);
        let (_, inject) = target.ok_or_else(|| format!("no actor {actor:?} that can be made to panic"))?;
        inject().await;
        Ok(())
    }
}

fn inject<A, S, M>(child: &ChildRef<A, S>, message: M) -> Inject
where
    A: Child + Handler<M>,
    A::Context: actix::dev::ToEnvelope<A, M>,
    S: State,
    M: actix::Message<Result = ()> + Copy + Send + Sync + 'static,
{
    let child = child.clone();
    Box::new(move || {
        let child = child.clone();
        // It falls while answering: that is the point.
        Box::pin(async move { drop(child.ask(message).await) })
    })
}
