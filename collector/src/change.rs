//! Applies changed filters and sinks while rows flow.
//!
//! Every change takes effect between two batches (see [`crate::live_routing`]). A new sink receives all rows from the
//! next batch on. A removed sink receives rows up to that batch, writes everything it has, and stops. A sink whose
//! settings changed is replaced by a successor. If both use the same file, the successor only queues rows until the
//! old sink has closed the file, so that no row is lost, doubled or out of order:
//!
//! ```text
//!              batch n   │  batch n + 1, …
//!   old sink   takes it  │  writes what it has, closes the file │
//!   new sink             │  queues rows                         │  writes them
//!                        ▲                                      ▲
//!              the change is applied                  the old sink has ended
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actors::{AskError, Member, Prepared, Step, clock};
use model::{Change, Problem, SinkId, Subject, What, changed_keys};

use crate::collector::ApplyPending;
use crate::config::{CollectorConfig, SinkConfig};
use crate::filter::{Filters, FiltersConfig};
use crate::live_routing::PendingChange;
use crate::sink::probe::probe;
use crate::sinks::{ASK_AGAIN, Sinks};
use crate::spawn::{CollectorHandle, Inner};

/// Keys of `[collector]` that can't change while the collector runs. The keys of `[collector.runtimes]` can't either.
const FIXED: [&str; 2] = ["id", "queue"];
/// After this time a collector that has not finished its batch is assumed to wait for a sink; sinks that leave are
/// then stopped at once, so that it can go on.
const PATIENCE: Duration = Duration::from_secs(2);

impl CollectorHandle {
    /// Checks whether this configuration could be applied: compiles the filters, and probes whether the files can be
    /// written. Touches nothing that runs, and creates no file. The change applies new filters and sinks from the next
    /// batch on; it is complete when every sink that left has written all its rows.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, and every setting that can't change while the agent runs.
    pub fn prepare(
        &self,
        config: &CollectorConfig,
        filters: &FiltersConfig,
    ) -> Result<Prepared, Vec<Problem>> {
        let (before, had) = {
            let present = self.inner.present();
            (present.config.clone(), present.filters.clone())
        };
        let mut problems = config.validate("collector");
        let fixed = changed_keys(&before, config)
            .into_iter()
            .filter(|key| FIXED.contains(&key.as_str()) || key.starts_with("runtimes."));
        problems.extend(fixed.map(|key| Problem::needs_restart(format!("collector.{key}"))));
        if config.sinks().is_empty() {
            problems.push(Problem::new("collector", "no sink is enabled: nothing could be stored"));
        }
        problems.extend(self.inner.files_in_trouble(&before, config));
        let compiled = if had == *filters { Ok(None) } else { Filters::compile(filters, "filter").map(Some) };
        let compiled = compiled.unwrap_or_else(|wrong| {
            problems.extend(wrong);
            None
        });
        let (handle, config, filters) = (self.clone(), config.clone(), filters.clone());
        self.inner.sinks.prepare(problems, |_| handle.change(config, filters, compiled))
    }

    async fn change(
        self,
        config: CollectorConfig,
        filters: FiltersConfig,
        compiled: Option<Filters>,
    ) -> Vec<Change> {
        let Inner { sinks, accounts, .. } = &*self.inner;
        let (after, had) = (config.sinks(), {
            let mut present = self.inner.present();
            present.config = config;
            std::mem::replace(&mut present.filters, filters.clone())
        });
        let mut steps = sinks.plan(after);
        let mut changes = sink_changes(&steps, sinks.kind());
        changes.extend(filter_changes(&had, &filters));
        let mut pending = PendingChange { filters: compiled.map(Arc::new), ..PendingChange::default() };
        if steps.iter().any(|step| step.what.is_some()) {
            sinks.start(&mut steps);
            let ids =
                |member: &Option<Member<Sinks>>| Some(member.as_ref()?.child.as_ref()?.route.sink.clone());
            let before: Vec<SinkId> = steps.iter().filter_map(|step| ids(&step.before)).collect();
            let after: Vec<SinkId> = steps.iter().filter_map(|step| ids(&step.after)).collect();
            pending.join = after.iter().filter(|id| !before.contains(id)).cloned().collect();
            pending.leave = before.into_iter().filter(|id| !after.contains(id)).collect();
            let running = steps.iter().filter_map(|step| step.after.as_ref()?.child.as_ref());
            pending.routes = Some(running.chain(&self.inner.host).map(|sink| sink.route.clone()).collect());
        } else if pending.filters.is_none() {
            return changes;
        }
        let ended = pending.leave.clone();
        self.apply_between_batches(pending, &steps).await;
        // Sinks are stopped only now, so that a concurrent shutdown still finds all sinks that may hold rows.
        sinks.stop(&steps).await;
        ended.iter().for_each(|sink| accounts.forget(sink));
        sinks.finish(&steps);
        changes
    }

    /// Makes the collector apply the change between two batches. If the collector waits for room in the queue of a
    /// sink that leaves, that sink is stopped, which ends the wait.
    async fn apply_between_batches(&self, next: PendingChange, steps: &[Step<Sinks>]) {
        let asked = self.inner.routing.put(next);
        let applied = async {
            while let Err(AskError::Exited { .. }) = self.collector.ask(ApplyPending).await {
                clock::sleep(ASK_AGAIN).await;
            }
            tokio::select! {
                () = self.inner.routing.applied(asked) => {}
                // The collector applies nothing any more; it sends no rows either.
                _ = self.collector.ended() => drop(self.inner.routing.apply_pending(&self.inner.accounts)),
            }
        };
        tokio::pin!(applied);
        tokio::select! {
            () = &mut applied => return,
            () = clock::sleep(PATIENCE) => {}
        }
        tokio::join!(applied, self.inner.sinks.stop(steps));
    }
}

/// Returns the changes to sinks; those that move to another target before those that keep theirs.
fn sink_changes(steps: &[Step<Sinks>], sinks: &Sinks) -> Vec<Change> {
    let stays = |step: &&Step<Sinks>| match (&step.before, &step.after) {
        (Some(before), Some(after)) => sinks.have_one_target(&before.settings, &after.settings),
        _ => false,
    };
    let (staying, moving): (Vec<_>, Vec<_>) = steps.iter().partition(stays);
    moving.into_iter().chain(staying).filter_map(Step::change).collect()
}

impl Inner {
    /// Returns a problem for each file that a sink would newly use and can't write.
    fn files_in_trouble(&self, before: &CollectorConfig, after: &CollectorConfig) -> Vec<Problem> {
        let used: Vec<_> =
            before.sinks().iter().map(|sink| (sink.name(), sink.target(&self.workdir))).collect();
        let trouble = |sink: &SinkConfig| {
            let (name, target) = (sink.name(), sink.target(&self.workdir));
            let file = target.file().filter(|_| !used.contains(&(name.clone(), target.clone())))?;
            let cause = probe(file).err()?;
            let message = format!("{} can't be written: {cause}", file.display());
            Some(Problem::new(format!("collector.{name}.path"), message))
        };
        after.sinks().iter().filter_map(trouble).collect()
    }
}

/// Compares the enabled filters, by name.
fn filter_changes(before: &FiltersConfig, after: &FiltersConfig) -> Vec<Change> {
    let on = |config: &FiltersConfig, name: &String| config.0.get(name).filter(|it| !it.disabled).cloned();
    let names: BTreeSet<&String> = before.0.keys().chain(after.0.keys()).collect();
    let change = |name: &String| {
        let what = match (on(before, name), on(after, name)) {
            (None, Some(_)) => What::Added,
            (Some(_), None) => What::Removed,
            (before, after) if before != after => What::Changed,
            _ => return None,
        };
        Some(Change::new(what, Subject::Filter(name.clone())))
    };
    names.into_iter().filter_map(change).collect()
}
