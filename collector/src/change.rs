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
//!              the change is applied                      `free` is set
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actors::{AskError, clock};
use futures::future::join_all;
use model::{Changes, Problem, changed_keys};
use tokio::sync::watch;

use crate::collector::ApplyPending;
use crate::config::{CollectorConfig, SinkConfig};
use crate::filter::{Filters, FiltersConfig};
use crate::live_routing::PendingChange;
use crate::sink::probe::probe;
use crate::sinks::{self, ASK_AGAIN, RunningSink};
use crate::spawn::{CollectorHandle, Inner};

/// Keys of `[collector]` that can't change while the collector runs. The keys of `[collector.runtimes]` can't either.
const FIXED: [&str; 2] = ["id", "queue"];
/// After this time a collector that has not finished its batch is assumed to wait for a sink; sinks that leave are
/// then stopped at once, so that it can go on.
const PATIENCE: Duration = Duration::from_secs(2);

/// A valid configuration, ready to be applied.
pub struct Prepared {
    config: CollectorConfig,
    filters: FiltersConfig,
    /// The compiled filters, if they differ from those in force.
    compiled: Option<Filters>,
}

/// Lists what happens to each sink.
struct Plan {
    /// The sinks of the new configuration, in its order.
    next: Vec<Successor>,
    /// Sinks of the present configuration that the new one does not have.
    remove: Vec<RunningSink>,
    /// Sinks that no configuration names.
    others: Vec<RunningSink>,
}

/// A sink of the new configuration.
struct Successor {
    config: SinkConfig,
    /// The running sink of the same name.
    before: Option<RunningSink>,
    step: Step,
}

/// Way from the running sinks to one of the new configuration.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    /// A sink is added.
    Add,
    /// A sink moves to another target; the successor need not wait for the old one.
    Replace,
    /// A sink keeps its target and gets other settings.
    Restart,
    /// A sink stays as it is.
    Keep,
}

impl CollectorHandle {
    /// Checks whether this configuration could be applied: compiles the filters, and probes whether the files can be
    /// written. Changes nothing that runs, and creates no file.
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
        if self.inner.accounts.pinned().is_some()
            && let Some(store) = before.store()
            && before.store_file(&self.inner.workdir) != config.store_file(&self.inner.workdir)
        {
            // The store's positions say how far the pinned rings were read.
            problems.push(Problem::needs_restart(format!("collector.{}.path", store.name())));
        }
        let compiled = if had == *filters { Ok(None) } else { Filters::compile(filters, "filter").map(Some) };
        match compiled {
            Ok(compiled) if problems.is_empty() => {
                Ok(Prepared { config: config.clone(), filters: filters.clone(), compiled })
            }
            Ok(_) => Err(problems),
            Err(wrong) => {
                problems.extend(wrong);
                Err(problems)
            }
        }
    }

    /// Applies the configuration: new filters and sinks from the next batch on. Returns when every sink that left has
    /// written all its rows. If the caller drops the future, the change is completed all the same.
    pub async fn apply(&self, prepared: Prepared) -> Changes {
        let handle = self.clone();
        // This fails only when the runtime shuts down; then nobody needs the list of changes.
        actix::spawn(async move { handle.change(prepared).await }).await.unwrap_or_default()
    }

    async fn change(&self, prepared: Prepared) -> Changes {
        let _changing = self.inner.changing.lock().await;
        let Prepared { config, filters, compiled } = prepared;
        let had = {
            let mut present = self.inner.present();
            present.config = config.clone();
            std::mem::replace(&mut present.filters, filters.clone())
        };
        let plan = self.inner.plan(&config);
        let changes = plan.changes(filter_changes(&had, &filters));
        let next = self.inner.build_next(&plan, &config, compiled);
        let Some(Next { pending, running, free }) = next else { return changes };
        let ended = pending.leave.clone();
        self.apply_between_batches(pending, &plan).await;
        // Sinks are stopped only now, so that a concurrent shutdown still finds all sinks that may hold rows.
        stop(&plan).await;
        free.send_replace(true);
        ended.iter().for_each(|sink| self.inner.accounts.forget(sink));
        self.inner.present().sinks = running;
        changes
    }

    /// Makes the collector apply the change between two batches. If the collector waits for room in the queue of a
    /// sink that leaves, that sink is stopped, which ends the wait.
    async fn apply_between_batches(&self, next: PendingChange, plan: &Plan) {
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
        tokio::join!(applied, stop(plan));
    }
}

/// Stops the sinks that leave; each writes what it has.
async fn stop(plan: &Plan) {
    join_all(plan.leaving().map(|sink| {
        sink.handle.leaving.store(true, Relaxed);
        sink.handle.child.stop()
    }))
    .await;
}

/// A prepared change, and the sinks that run after it.
struct Next {
    pending: PendingChange,
    running: Vec<RunningSink>,
    /// Set to true once the sinks that leave have closed their files.
    free: watch::Sender<bool>,
}

impl Plan {
    /// Returns the running sinks that a step concerns.
    fn running(&self, step: Step) -> impl Iterator<Item = &RunningSink> {
        self.next.iter().filter(move |sink| sink.step == step).filter_map(|sink| sink.before.as_ref())
    }

    /// Returns the sinks that end: removed ones, and those that move to another target.
    fn ending(&self) -> impl Iterator<Item = &RunningSink> {
        self.remove.iter().chain(self.running(Step::Replace))
    }

    /// Returns the sinks that are stopped, including those with a successor on the same target.
    fn leaving(&self) -> impl Iterator<Item = &RunningSink> {
        self.ending().chain(self.running(Step::Restart))
    }

    /// Returns whether any sink is started or stopped.
    fn changes_sinks(&self) -> bool {
        !self.remove.is_empty() || self.next.iter().any(|sink| sink.step != Step::Keep)
    }

    fn changes(&self, filters: Changes) -> Changes {
        let label = |sink: &RunningSink| format!("sink {}", sink.handle.name);
        let added = self.next.iter().filter(|sink| sink.step == Step::Add);
        let mut changes = Changes {
            added: added.map(|sink| format!("sink {}", sink.config.name())).collect(),
            removed: self.remove.iter().map(label).collect(),
            restarted: self.leaving().skip(self.remove.len()).map(label).collect(),
            changed: Vec::new(),
        };
        changes.merge(filters);
        changes
    }
}

impl Inner {
    fn plan(&self, after: &CollectorConfig) -> Plan {
        let mut left = self.present().sinks.clone();
        let next = after.sinks().into_iter().map(|config| {
            let same =
                |running: &RunningSink| running.config.is_some() && running.handle.name == config.name();
            let before = left.iter().position(same).map(|at| left.remove(at));
            let target = |config: &SinkConfig| config.target(&self.workdir);
            let step = match before.as_ref().and_then(|before| before.config.as_ref()) {
                None => Step::Add,
                Some(before) if *before == config => Step::Keep,
                Some(before) if target(before) == target(&config) => Step::Restart,
                Some(_) => Step::Replace,
            };
            Successor { config, before, step }
        });
        let next = next.collect();
        let (remove, others) = left.into_iter().partition(|sink| sink.config.is_some());
        Plan { next, remove, others }
    }

    /// Starts the new sinks, and builds the change for the collector; `None` if nothing changes.
    fn build_next(&self, plan: &Plan, config: &CollectorConfig, filters: Option<Filters>) -> Option<Next> {
        let (free, until_free) = watch::channel(false);
        let mut pending = PendingChange { filters: filters.map(Arc::new), ..PendingChange::default() };
        let mut running = Vec::new();
        for Successor { config: sink, before, step } in &plan.next {
            if *step == Step::Keep {
                running.extend(before.clone());
                continue;
            }
            let before = before.as_ref().filter(|_| *step == Step::Restart);
            let free = if before.is_some() { until_free.clone() } else { watch::channel(true).1 };
            let (id, spec) = self.describe(sink, config, before);
            if before.is_none() {
                pending.join.push(id.clone());
            }
            let sink = Some(sink.clone());
            running.push(sinks::start(&self.supervisor, sink, id, spec, &self.accounts, free));
        }
        running.extend(plan.others.iter().cloned());
        pending.leave = plan.ending().map(|sink| sink.route.sink.clone()).collect();
        if plan.changes_sinks() {
            pending.routes = Some(running.iter().map(|sink| sink.route.clone()).collect());
            // Sinks that leave stay listed until they have ended, so that a shutdown finds all sinks that may hold
            // rows.
            self.present().sinks = running.iter().chain(plan.leaving()).cloned().collect();
        }
        (plan.changes_sinks() || pending.filters.is_some()).then_some(Next { pending, running, free })
    }

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
fn filter_changes(before: &FiltersConfig, after: &FiltersConfig) -> Changes {
    let on = |config: &FiltersConfig| -> BTreeMap<String, crate::FilterConfig> {
        config.0.iter().filter(|(_, it)| !it.disabled).map(|(name, it)| (name.clone(), it.clone())).collect()
    };
    let (before, after) = (on(before), on(after));
    let label = |name: &String| format!("filter {name}");
    let differs = |name: &&String| before.get(*name).is_some_and(|old| Some(old) != after.get(*name));
    Changes {
        added: after.keys().filter(|name| !before.contains_key(*name)).map(label).collect(),
        removed: before.keys().filter(|name| !after.contains_key(*name)).map(label).collect(),
        restarted: Vec::new(),
        changed: after.keys().filter(differs).map(label).collect(),
    }
}
