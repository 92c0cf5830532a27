//! Other filters and sinks while rows flow.
//!
//! A sink that is new takes rows from one batch on; one that goes takes them up to there, writes all it has, and ends.
//! One whose settings are others is replaced: rows wait in its successor's queue until it has let go of its file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use actors::{AskError, clock};
use futures::future::join_all;
use model::{Changes, Problem, SinkName, changed_keys};
use tokio::sync::watch;

use crate::board::Arrangement;
use crate::collector::Rearrange;
use crate::config::CollectorConfig;
use crate::filter::{Filters, FiltersConfig};
use crate::sink::probe::probe;
use crate::sinks::{self, Legacy, NAMES, Seated};
use crate::spawn::{CollectorHandle, Inner};

/// Keys of `[collector]` that are its own and can't change while it runs; nor can those of `[collector.runtimes]`.
const FIXED: [&str; 2] = ["id", "queue"];
/// A collector that is still at one batch after this long is held up by a sink: one that goes must not hold it longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two questions to a collector that fell over the first.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// A valid configuration, ready to be applied.
pub struct Prepared {
    config: CollectorConfig,
    filters: FiltersConfig,
    /// Compiled, if they are others than before.
    compiled: Option<Filters>,
}

/// What becomes of each sink.
#[derive(Default)]
struct Plan {
    add: Vec<&'static str>,
    remove: Vec<Seated>,
    /// On another file: its successor need not wait.
    replace: Vec<Seated>,
    /// On the same file, with other settings.
    restart: Vec<Seated>,
}

impl CollectorHandle {
    /// Looks whether this configuration could be applied: compiles filters, looks whether files can be written. Touches
    /// nothing that runs, and makes no file.
    ///
    /// # Errors
    /// All that is wrong with it, and every setting that can't change while the agent runs.
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
            // It knows how far the rings are read that outlive the agent.
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

    /// Applies it: new filters and sinks from one batch on. Comes back when every sink that went has written all it had;
    /// a caller that does not wait for that cuts nothing short.
    pub async fn apply(&self, prepared: Prepared) -> Changes {
        let handle = self.clone();
        // It can only fail to be told what changed when the runtime shuts down.
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
        let next = self.inner.seat(&plan, &config, compiled);
        let Some(Next { arrangement, seated, free }) = next else { return changes };
        self.arrange(arrangement, &plan).await;
        // Only now, so that whoever stops everybody meanwhile finds those that may have rows.
        let leaving = plan.leaving().cloned().collect::<Vec<_>>();
        stop(&leaving).await;
        free.send_replace(true);
        let gone = plan.remove.iter().chain(&plan.replace);
        gone.for_each(|sink| self.inner.accounts.forget(&sink.id));
        self.inner.present().sinks = seated;
        changes
    }

    /// Has the collector take up what is to hold, between two batches. One that waits for room in a sink that goes waits
    /// no longer than that takes to end.
    async fn arrange(&self, next: Arrangement, plan: &Plan) {
        let asked = self.inner.board.put(next);
        let taken = async {
            while let Err(AskError::Fell { .. }) = self.collector.ask(Rearrange).await {
                clock::sleep(ASK_AGAIN).await;
            }
            tokio::select! {
                () = self.inner.board.taken(asked) => {}
                // It takes up nothing any more; rows go nowhere then.
                _ = self.collector.ended() => drop(self.inner.board.take_up(&self.inner.accounts)),
            }
        };
        tokio::pin!(taken);
        tokio::select! {
            () = &mut taken => return,
            () = clock::sleep(PATIENCE) => {}
        }
        let leaving = plan.leaving().cloned().collect::<Vec<_>>();
        tokio::join!(taken, stop(&leaving));
    }
}

/// Stops sinks that others outlive: they write what they have.
async fn stop(leaving: &[Seated]) {
    join_all(leaving.iter().map(|sink| {
        sink.handle.leaving.store(true, Relaxed);
        sink.handle.child.stop()
    }))
    .await;
}

/// What the new arrangement consists of.
struct Next {
    arrangement: Arrangement,
    seated: Vec<Seated>,
    /// To be set once the files of those that go are free.
    free: watch::Sender<bool>,
}

impl Plan {
    fn leaving(&self) -> impl Iterator<Item = &Seated> {
        self.remove.iter().chain(&self.replace).chain(&self.restart)
    }

    fn changes(&self, filters: Changes) -> Changes {
        let told = |name: &str| format!("sink {name}");
        let of = |sinks: &[Seated]| sinks.iter().map(|sink| told(sink.name.as_str())).collect::<Vec<_>>();
        let mut changes = Changes {
            added: self.add.iter().map(|name| told(name)).collect(),
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
            let seated = present.sinks.iter().find(|sink| sink.name.as_str() == name).cloned();
            let same_file =
                sinks::file(name, before, &self.workdir) == sinks::file(name, after, &self.workdir);
            match (seated, sinks::is_on(name, after)) {
                (None, true) => plan.add.push(name),
                (Some(seated), false) => plan.remove.push(seated),
                (Some(_), true) if sinks::is_same(name, before, after) => {}
                (Some(seated), true) if same_file => plan.restart.push(seated),
                (Some(seated), true) => plan.replace.push(seated),
                (None, false) => {}
            }
        }
        plan
    }

    /// Makes the sinks that come, and what the collector is to go by; `None` if everything stays.
    fn seat(&self, plan: &Plan, config: &CollectorConfig, filters: Option<Filters>) -> Option<Next> {
        let mut arrangement = Arrangement { filters: filters.map(Arc::new), ..Arrangement::default() };
        let (free, until_free) = watch::channel(false);
        let mut seated: BTreeMap<usize, Seated> = BTreeMap::new();
        let present = self.present().sinks.clone();
        let place =
            |name: &SinkName| NAMES.iter().position(|known| *known == name.as_str()).unwrap_or(NAMES.len());
        let untouched = present.iter().filter(|sink| !plan.leaving().any(|gone| gone.name == sink.name));
        seated.extend(untouched.map(|sink| (place(&sink.name), sink.clone())));
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
                arrangement.join.push((sink.id.clone(), name.as_str() == NAMES[0]));
            }
            seated.insert(place(&name), sink);
        }
        arrangement.leave = plan.remove.iter().chain(&plan.replace).map(|sink| sink.id.clone()).collect();
        let seated: Vec<Seated> = seated.into_values().collect();
        let sinks_change = !plan.add.is_empty() || plan.leaving().next().is_some();
        if sinks_change {
            arrangement.routes = Some(seated.iter().map(|sink| sink.route.clone()).collect());
            // Everybody who may have rows is in sight until those that go have ended.
            self.present().sinks = seated.iter().chain(plan.leaving()).cloned().collect();
        }
        (sinks_change || arrangement.filters.is_some()).then_some(Next { arrangement, seated, free })
    }

    /// Starts a sink of the configuration; in the place of `before`, with what that leaves.
    fn make(
        &self,
        name: &SinkName,
        config: &CollectorConfig,
        before: Option<&Seated>,
        free: watch::Receiver<bool>,
    ) -> Seated {
        let id = before.map_or_else(|| self.accounts.new_sink_id(name), |before| before.id.clone());
        let legacy = before.map_or_else(Legacy::default, |before| before.legacy.clone());
        let (blueprint, legacy) = sinks::blueprint(name.as_str(), config, &self.workdir, legacy);
        self.start(id, blueprint, legacy, free)
    }

    /// Files that sinks could not write which they do not write now.
    fn files_in_trouble(&self, before: &CollectorConfig, after: &CollectorConfig) -> Vec<Problem> {
        let on = NAMES.iter().filter(|name| sinks::is_on(name, after));
        let new = |name: &&&str| {
            let file = |config| sinks::file(name, config, &self.workdir);
            !sinks::is_on(name, before) || file(before) != file(after)
        };
        let trouble = |name: &&str| {
            let file = sinks::file(name, after, &self.workdir)?;
            let cause = probe(&file).err()?;
            Some(told(name, &file, &cause))
        };
        on.filter(new).filter_map(trouble).collect()
    }
}

fn told(name: &str, file: &Path, cause: &std::io::Error) -> Problem {
    Problem::new(format!("collector.{name}.path"), format!("{} can't be written: {cause}", file.display()))
}

/// Filters that are on, by name.
fn filter_changes(before: &FiltersConfig, after: &FiltersConfig) -> Changes {
    let on = |config: &FiltersConfig| -> BTreeMap<String, crate::FilterConfig> {
        config.0.iter().filter(|(_, it)| !it.disabled).map(|(name, it)| (name.clone(), it.clone())).collect()
    };
    let (before, after) = (on(before), on(after));
    let told = |name: &String| format!("filter {name}");
    let differs = |name: &&String| before.get(*name).is_some_and(|old| Some(old) != after.get(*name));
    Changes {
        added: after.keys().filter(|name| !before.contains_key(*name)).map(told).collect(),
        removed: before.keys().filter(|name| !after.contains_key(*name)).map(told).collect(),
        restarted: Vec::new(),
        changed: after.keys().filter(differs).map(told).collect(),
    }
}
