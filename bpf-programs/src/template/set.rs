//! All templates: started from a configuration, and changed to follow another one while the agent runs.
//!
//! A template is not touched if its section and its program's file are the same before and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use actors::{AskError, LoopRef, Outbox, Placement, Spec, Supervisor};
use futures::future::join_all;
use model::lock::lock;
use model::{Accounts, Batch, Changes, Problem, TracerName};

use super::config::{TemplateConfig, TemplatesConfig};
use super::host::{SetTemplateAttached, Shared, TemplateHost};
use super::validate::validate;

/// The path of the sections in the configuration.
const PREFIX: &str = "tracer.template.bpf";

/// All templates that are not disabled. Clones share them.
#[derive(Clone)]
pub struct Templates {
    inner: Arc<Inner>,
}

struct Inner {
    supervisor: Supervisor,
    accounts: Accounts,
    collector: Outbox<Batch>,
    present: Mutex<BTreeMap<String, Present>>,
    /// Serialises changes to the set of templates.
    changing: tokio::sync::Mutex<()>,
}

/// A template and what it was made from.
struct Present {
    handle: TemplateHandle,
    config: TemplateConfig,
    stamp: Stamp,
    wanted: Arc<AtomicBool>,
}

/// A running template.
#[derive(Clone)]
pub struct TemplateHandle {
    /// Name of its rows and of its account.
    pub stored_as: TracerName,
    /// The template's configuration section.
    pub section: String,
    /// The actor: its status says whether it runs, its state which hooks are attached.
    pub child: LoopRef<TemplateHost>,
    /// True if it was detached at run time.
    pub off: bool,
}

/// A valid configuration, ready to be applied.
#[derive(Debug)]
pub struct Prepared {
    wanted: TemplatesConfig,
}

/// Identifies the content of a file: another file under the same name is another program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Self {
        fs::metadata(path).map_or_else(
            |_| Self::default(),
            |file| Self { inode: file.ino(), size: file.size(), changed: (file.ctime(), file.ctime_nsec()) },
        )
    }
}

/// Starts every template that is not disabled. `config` must be valid ([`validate`]). A template that can't run
/// reports it in its status; the others run.
///
/// # Panics
/// Outside an actix system.
pub fn spawn(
    supervisor: &Supervisor,
    config: &TemplatesConfig,
    accounts: &Accounts,
    collector: &Outbox<Batch>,
) -> Templates {
    let templates = Templates {
        inner: Arc::new(Inner {
            supervisor: supervisor.clone(),
            accounts: accounts.clone(),
            collector: collector.clone(),
            present: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
        }),
    };
    for (section, config) in enabled(config) {
        templates.inner.start(&section, config);
    }
    templates
}

fn enabled(config: &TemplatesConfig) -> TemplatesConfig {
    config
        .iter()
        .filter(|(_, config)| !config.disabled)
        .map(|(name, it)| (name.clone(), it.clone()))
        .collect()
}

impl Templates {
    /// Returns the templates as they are now, by section.
    pub fn tracers(&self) -> Vec<TemplateHandle> {
        let off = |present: &Present| !present.wanted.load(Relaxed);
        let handle = |present: &Present| TemplateHandle { off: off(present), ..present.handle.clone() };
        self.inner.present().values().map(handle).collect()
    }

    /// Loads and attaches a template that was detached or given up.
    ///
    /// # Errors
    /// No template is stored under that name, or it can't run.
    pub async fn attach(&self, name: &TracerName) -> Result<(), String> {
        let _changing = self.inner.changing.lock().await;
        let child = self.child(name)?;
        // A template that was given up starts again with this request.
        child.revive();
        ask(&child, true).await
    }

    /// Detaches a template until it is attached again; returns after its records were passed on.
    ///
    /// # Errors
    /// No template is stored under that name, or it can't be detached.
    pub async fn detach(&self, name: &TracerName) -> Result<(), String> {
        let _changing = self.inner.changing.lock().await;
        ask(&self.child(name)?, false).await
    }

    fn child(&self, name: &TracerName) -> Result<LoopRef<TemplateHost>, String> {
        let present = self.inner.present();
        let found = present.values().find(|present| present.handle.stored_as == *name);
        found.map(|present| present.handle.child.clone()).ok_or_else(|| format!("no template tracer {name}"))
    }

    /// Checks whether `config` could be applied. Running templates are not touched.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub fn prepare(&self, config: &TemplatesConfig) -> Result<Prepared, Vec<Problem>> {
        let problems = validate(config, PREFIX);
        if problems.is_empty() { Ok(Prepared { wanted: enabled(config) }) } else { Err(problems) }
    }

    /// Removes, restarts and adds what differs. Returns when all that was removed has ended and its records
    /// were passed on.
    pub async fn apply(&self, prepared: Prepared) -> Changes {
        let inner = self.inner.clone();
        // A task of its own: a caller that stops waiting must not leave the change half done.
        actix::spawn(async move { inner.apply(prepared.wanted).await }).await.unwrap_or_default()
    }
}

async fn ask(child: &LoopRef<TemplateHost>, attached: bool) -> Result<(), String> {
    match child.ask(SetTemplateAttached(attached)).await {
        Ok(answer) => answer,
        // A template that does not run is detached.
        Err(AskError::Ended { .. }) if !attached => Ok(()),
        Err(cause) => Err(cause.to_string()),
    }
}

impl Inner {
    fn present(&self) -> MutexGuard<'_, BTreeMap<String, Present>> {
        lock(&self.present)
    }

    async fn apply(&self, mut wanted: TemplatesConfig) -> Changes {
        let _changing = self.changing.lock().await;
        let mut changes = Changes::default();
        let gone: Vec<Present> = {
            let mut present = self.present();
            let is_same = |section: &String, present: &Present| {
                wanted.get(section).is_some_and(|config| {
                    *config == present.config && Stamp::of(Path::new(&config.program)) == present.stamp
                })
            };
            let (same, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
                std::mem::take(&mut *present).into_iter().partition(|(section, it)| is_same(section, it));
            *present = same;
            wanted.retain(|section, _| !present.contains_key(section));
            drop(present);
            for (section, gone) in &gone {
                let list =
                    if wanted.contains_key(section) { &mut changes.restarted } else { &mut changes.removed };
                list.push(format!("tracer {}", gone.handle.stored_as));
            }
            let new = wanted.iter().filter(|(section, _)| !gone.contains_key(*section));
            changes.added = new.map(|(section, it)| format!("tracer {}", it.stored_as(section))).collect();
            gone.into_values().collect()
        };
        join_all(gone.iter().map(|present| present.handle.child.stop())).await;
        for (section, config) in wanted {
            self.start(&section, config);
        }
        changes
    }

    fn start(&self, section: &str, config: TemplateConfig) {
        let stored_as = config.stored_as(section);
        let program = PathBuf::from(&config.program);
        let stamp = Stamp::of(&program);
        let wanted = Arc::new(AtomicBool::new(true));
        let shared = Arc::new(Shared {
            name: stored_as.to_string(),
            program,
            config: config.clone(),
            account: self.accounts.of(&stored_as),
            collector: self.collector.clone(),
            wanted: wanted.clone(),
            work: Mutex::default(),
        });
        // A thread of its own: the verifier may take seconds, and must not delay other tracers.
        let spec =
            Spec { placement: Placement::OwnThread, revivable: true, ..Spec::new(stored_as.to_string()) };
        let child = self.supervisor.spawn_loop(spec, move |link| TemplateHost::new(link, shared.clone()));
        let handle = TemplateHandle { stored_as, section: format!("{PREFIX}.{section}"), child, off: false };
        self.present().insert(section.to_owned(), Present { handle, config, stamp, wanted });
    }
}
