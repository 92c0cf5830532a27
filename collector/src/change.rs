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
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actors::{AskError, clock};
use futures::future::join_all;
use model::{Changes, Problem, SinkName, changed_keys};
use tokio::sync::watch;

use crate::collector::ApplyPending;
use crate::config::CollectorConfig;
use crate::filter::{Filters, FiltersConfig};
use crate::live_routing::PendingChange;
use crate::sink::probe::probe;
use crate::sinks::{self, CarriedOver, NAMES, RunningSink};
use crate::spawn::{CollectorHandle, Inner};

/// Keys of `[collector]` that can't change while the collector runs. The keys of `[collector.runtimes]` can't either.
const FIXED: [&str; 2] = ["id", "queue"];
/// After this time a collector that has not finished its batch is assumed to wait for a sink; sinks that leave are
/// then stopped at once, so that it can go on.
const PATIENCE: Duration = Duration::from_secs(2);
/// Delay before asking again a collector that crashed while it was asked.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// A valid configuration, ready to be applied.
pub struct Prepared {
    config: CollectorConfig,
    filters: FiltersConfig,
    /// The compiled filters, if they differ from those in force.
    compiled: Option<Filters>,
}

/// Lists what happens to each sink.
#[derive(Default)]
struct Plan {
    add: Vec<&'static str>,
    remove: Vec<RunningSink>,
    /// Sinks that move to another file; the successor need not wait for the old file.
    replace: Vec<RunningSink>,
    /// Sinks that keep their file and get other settings.
    restart: Vec<RunningSink>,
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
        let store = |config| sinks::file(NAMES[0], config, &self.inner.workdir);
        if self.inner.accounts.pinned().is_some() && store(&before) != store(config) {
            // The store's positions say how far the pinned rings were read.
            problems.push(Problem::needs_restart("collector.sqlite.path"));
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
        let (before, had) = {
            let mut present = self.inner.present();
            let before = std::mem::replace(&mut present.config, config.clone());
            (before, std::mem::replace(&mut present.filters, filters.clone()))
        };
        let plan = self.inner.plan(&before, &config);
        let changes = plan.changes(filter_changes(&had, &filters));
        let next = self.inner.build_next(&plan, &config, compiled);
        let Some(Next { pending, running, free }) = next else { return changes };
        self.apply_between_batches(pending, &plan).await;
        // Sinks are stopped only now, so that a concurrent shutdown still finds all sinks that may hold rows.
        let leaving = plan.leaving().cloned().collect::<Vec<_>>();
        stop(&leaving).await;
        free.send_replace(true);
        let gone = plan.remove.iter().chain(&plan.replace);
        gone.for_each(|sink| self.inner.accounts.forget(&sink.id));
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
        let leaving = plan.leaving().cloned().collect::<Vec<_>>();
        tokio::join!(applied, stop(&leaving));
    }
}

/// Stops the sinks that leave; each writes what it has.
async fn stop(leaving: &[RunningSink]) {
    join_all(leaving.iter().map(|sink| {
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
    fn leaving(&self) -> impl Iterator<Item = &RunningSink> {
        self.remove.iter().chain(&self.replace).chain(&self.restart)
    }

    fn changes(&self, filters: Changes) -> Changes {
        let label = |name: &str| format!("sink {name}");
        let of =
            |sinks: &[RunningSink]| sinks.iter().map(|sink| label(sink.name.as_str())).collect::<Vec<_>>();
        let mut changes = Changes {
            added: self.add.iter().map(|name| label(name)).collect(),
            removed: of(&self.remove),
            restarted: [of(&self.replace), of(&self.restart)].concat(),
            changed: Vec::new(),
        };
        changes.merge(filters);
        changes
    }
}

impl Inner {
    fn plan(&self, before: &CollectorConfig, after: &CollectorConfig) -> Plan {
        let mut plan = Plan::default();
        let present = self.present();
        for name in NAMES {
            let running = present.sinks.iter().find(|sink| sink.name.as_str() == name).cloned();
            let same_file =
                sinks::file(name, before, &self.workdir) == sinks::file(name, after, &self.workdir);
            match (running, sinks::is_on(name, after)) {
                (None, true) => plan.add.push(name),
                (Some(running), false) => plan.remove.push(running),
                (Some(_), true) if sinks::is_same(name, before, after) => {}
                (Some(running), true) if same_file => plan.restart.push(running),
                (Some(running), true) => plan.replace.push(running),
                (None, false) => {}
            }
        }
        plan
    }

    /// Starts the new sinks, and builds the change for the collector; `None` if nothing changes.
    fn build_next(&self, plan: &Plan, config: &CollectorConfig, filters: Option<Filters>) -> Option<Next> {
        let mut pending = PendingChange { filters: filters.map(Arc::new), ..PendingChange::default() };
        let (free, until_free) = watch::channel(false);
        let mut running: BTreeMap<usize, RunningSink> = BTreeMap::new();
        let present = self.present().sinks.clone();
        let index =
            |name: &SinkName| NAMES.iter().position(|known| *known == name.as_str()).unwrap_or(NAMES.len());
        let untouched = present.iter().filter(|sink| !plan.leaving().any(|gone| gone.name == sink.name));
        running.extend(untouched.map(|sink| (index(&sink.name), sink.clone())));
        for (name, before) in plan
            .add
            .iter()
            .map(|name| (SinkName::new(name), None))
            .chain(plan.replace.iter().map(|sink| (sink.name.clone(), None)))
            .chain(plan.restart.iter().map(|sink| (sink.name.clone(), Some(sink))))
        {
            let waits = if before.is_some() { until_free.clone() } else { watch::channel(true).1 };
            let sink = self.make(&name, config, before, waits);
            if before.is_none() {
                pending.join.push((sink.id.clone(), name.as_str() == NAMES[0]));
            }
            running.insert(index(&name), sink);
        }
        pending.leave = plan.remove.iter().chain(&plan.replace).map(|sink| sink.id.clone()).collect();
        let running: Vec<RunningSink> = running.into_values().collect();
        let sinks_change = !plan.add.is_empty() || plan.leaving().next().is_some();
        if sinks_change {
            pending.routes = Some(running.iter().map(|sink| sink.route.clone()).collect());
            // Sinks that leave stay listed until they have ended, so that a shutdown finds all sinks that may hold
            // rows.
            self.present().sinks = running.iter().chain(plan.leaving()).cloned().collect();
        }
        (sinks_change || pending.filters.is_some()).then_some(Next { pending, running, free })
    }

    /// Starts a sink of the configuration. A sink that replaces `before` takes over its id and state.
    fn make(
        &self,
        name: &SinkName,
        config: &CollectorConfig,
        before: Option<&RunningSink>,
        free: watch::Receiver<bool>,
    ) -> RunningSink {
        let id = before.map_or_else(|| self.accounts.new_sink_id(name), |before| before.id.clone());
        let carried_over = before.map_or_else(CarriedOver::default, |before| before.carried_over.clone());
        let (spec, carried_over) = sinks::spec(name.as_str(), config, &self.workdir, carried_over);
        self.start(id, spec, carried_over, free)
    }

    /// Returns a problem for each file that a sink would newly use and can't write.
    fn files_in_trouble(&self, before: &CollectorConfig, after: &CollectorConfig) -> Vec<Problem> {
        let on = NAMES.iter().filter(|name| sinks::is_on(name, after));
        let new = |name: &&&str| {
            let file = |config| sinks::file(name, config, &self.workdir);
            !sinks::is_on(name, before) || file(before) != file(after)
        };
        let trouble = |name: &&str| {
            let file = sinks::file(name, after, &self.workdir)?;
            let cause = probe(&file).err()?;
            Some(unwritable(name, &file, &cause))
        };
        on.filter(new).filter_map(trouble).collect()
    }
}

fn unwritable(name: &str, file: &Path, cause: &std::io::Error) -> Problem {
    Problem::new(format!("collector.{name}.path"), format!("{} can't be written: {cause}", file.display()))
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
