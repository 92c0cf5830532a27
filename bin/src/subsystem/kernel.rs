//! The built-in kernel tracers and the eBPF actor that hosts them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::{AnyChild, Prepared};
use bpf_programs::{EbpfTracers, KernelSettings, TracerState};
use futures::future::BoxFuture;
use model::{Period, Problem, Pushdown, TracerName};

use super::{Group, Named, Subsystem, Tracer, TracerKind};
use crate::config::Config;

/// Longest interval between polls of the rings while live lines are shown on a terminal.
const WATCHED_POLL_INTERVAL: Period = Period(Duration::from_millis(50));

/// Properties of this run that the configuration does not have.
#[derive(Clone, Copy)]
pub(crate) struct KernelOptions {
    /// True if live lines are shown on a terminal.
    pub(crate) watched: bool,
    /// True if rows of tracer `manifest` are stored by this agent.
    pub(crate) manifest: bool,
}

/// The subsystem of the built-in kernel tracers.
pub(crate) struct Kernel {
    pub(crate) tracers: EbpfTracers,
    pub(crate) options: KernelOptions,
}

impl KernelOptions {
    /// Returns the settings of the kernel tracers in a configuration, adapted to a watched terminal and with the filters
    /// that can run in the kernel.
    pub(crate) fn settings(self, config: &Config) -> KernelSettings {
        let mut ebpf = config.ebpf.clone();
        if self.watched {
            ebpf.poll_interval = ebpf.poll_interval.min(WATCHED_POLL_INTERVAL);
        }
        let mut pushed = config.filter.pushdown();
        if !ebpf.pushdown {
            pushed = Pushdown { system: pushed.system.without_filters(), ..Pushdown::default() };
        }
        // Relative to any folder: it only matters whether it is the same.
        let store = config.collector.store_file(Path::new("."));
        KernelSettings {
            ebpf,
            sections: config.tracer.kernel.clone(),
            pushed,
            manifest: self.manifest,
            store,
        }
    }
}

impl Subsystem for Kernel {
    fn tracers(&self) -> Vec<Tracer> {
        let (host, strict) = (self.tracers.host(), self.tracers.is_strict());
        let tracer = |tracer: bpf_programs::TracerHandle| {
            let TracerState { attached, without, .. } = tracer.child.state();
            Tracer {
                stored_as: tracer.stored_as,
                section: section(tracer.name),
                kind: TracerKind::Ebpf,
                attached,
                lacks: without,
                off: tracer.off,
                child: Arc::new(tracer.child),
                host: host.clone().filter(|_| !tracer.off),
                strict,
            }
        };
        self.tracers.tracers().into_iter().map(tracer).collect()
    }

    fn children(&self) -> Vec<(Group, Arc<dyn AnyChild>)> {
        let mut children: Vec<(Group, Arc<dyn AnyChild>)> = Vec::new();
        children.extend(self.tracers.host().map(|host| (Group::Sources, host)));
        let tracers = self.tracers.tracers().into_iter();
        children.extend(tracers.map(|tracer| (Group::Tracers, Arc::new(tracer.child) as _)));
        children
    }

    fn prepare(&self, config: &Config) -> Result<Prepared, Vec<Problem>> {
        self.tracers.prepare(self.options.settings(config))
    }

    fn switchable(&self) -> Vec<Named> {
        let all = self.tracers.catalog().into_iter();
        all.map(|(name, stored_as)| Named { stored_as, section: section(name) }).collect()
    }

    fn set_enabled(&self, name: TracerName, on: bool) -> BoxFuture<'static, Result<bool, String>> {
        let tracers = self.tracers.clone();
        Box::pin(async move { tracers.set_enabled(&name, on).await.map_err(|cause| cause.to_string()) })
    }
}

fn section(name: &str) -> String {
    format!("tracer.{name}")
}
