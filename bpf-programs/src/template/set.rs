//! All templates: started from a configuration, and changed to follow another one while the agent runs.
//!
//! A template is not touched if its section and its program's file are the same before and after.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use actors::{
    AnyChild, AskError, ChildKind, ChildSet, LoopRef, Member, Outbox, Placement, Prepared, Spec, Supervisor,
};
use model::{Accounts, Batch, Problem, Subject, TracerName};

use super::config::{TemplateConfig, TemplatesConfig};
use super::host::{SetTemplateAttached, Shared, TemplateHost};
use super::validate::validate;

/// The path of the sections in the configuration.
const PREFIX: &str = "tracer.template.bpf";

/// All templates that are not disabled. Clones share them.
#[derive(Clone)]
pub struct Templates {
    set: ChildSet<Kind>,
}

struct Kind {
    supervisor: Supervisor,
    accounts: Accounts,
    collector: Outbox<Batch>,
}

/// Everything a template is made from.
#[derive(Clone, Debug, PartialEq)]
struct TemplateSettings {
    section: String,
    config: TemplateConfig,
    stamp: Stamp,
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
    let (supervisor, accounts, collector) = (supervisor.clone(), accounts.clone(), collector.clone());
    let kind = Kind { supervisor, accounts, collector };
    Templates { set: ChildSet::start_all(kind, enabled(config)) }
}

fn enabled(config: &TemplatesConfig) -> Vec<TemplateSettings> {
    let enabled = config.iter().filter(|(_, config)| !config.disabled);
    let settings = |(section, config): (&String, &TemplateConfig)| TemplateSettings {
        section: section.clone(),
        config: config.clone(),
        stamp: Stamp::of(Path::new(&config.program)),
    };
    enabled.map(settings).collect()
}

impl Templates {
    /// Returns the templates as they are now, by section.
    pub fn tracers(&self) -> Vec<TemplateHandle> {
        let members = self.set.members().into_iter();
        members.filter_map(|it| Some(TemplateHandle { off: it.is_off(), ..it.child? })).collect()
    }

    /// Loads and attaches a template that was detached or given up, or detaches it until it is attached again or its
    /// section changes. Returns after its records were passed on; false if it was in that state already.
    ///
    /// # Errors
    /// No template is stored under that name, or it can't run, or can't be detached.
    pub async fn set_enabled(&self, name: &TracerName, on: bool) -> Result<bool, String> {
        let members = self.set.members();
        let found = members.iter().find(|it| it.settings.stored_as() == *name);
        let unknown = || format!("no template tracer {name}");
        let key = found.map(|it| it.settings.section.clone()).ok_or_else(unknown)?;
        self.set.set_enabled(key, on).await.ok_or_else(unknown)?
    }

    /// Checks whether `config` could be applied. Running templates are not touched. The change then removes, restarts and
    /// adds what differs; it is complete when all that was removed has ended and its records were passed on.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub fn prepare(&self, config: &TemplatesConfig) -> Result<Prepared, Vec<Problem>> {
        let settings = enabled(config);
        self.set.prepare(validate(config, PREFIX), |set| async move { set.apply(settings).await })
    }
}

impl TemplateSettings {
    fn stored_as(&self) -> TracerName {
        self.config.stored_as(&self.section)
    }
}

impl ChildKind for Kind {
    type Key = String;
    type Settings = TemplateSettings;
    type Child = TemplateHandle;
    type Error = String;
    const KEEPS_ACTOR: bool = true;

    fn key(settings: &TemplateSettings) -> String {
        settings.section.clone()
    }

    fn subject(settings: &TemplateSettings, before: Option<&TemplateSettings>) -> Subject {
        Subject::Tracer(before.unwrap_or(settings).stored_as())
    }

    fn actor(child: &TemplateHandle) -> &dyn AnyChild {
        &child.child
    }

    fn start(&self, settings: &TemplateSettings, _: Option<&Member<Self>>) -> TemplateHandle {
        let stored_as = settings.stored_as();
        let shared = Arc::new(Shared {
            name: stored_as.to_string(),
            program: PathBuf::from(&settings.config.program),
            config: settings.config.clone(),
            account: self.accounts.of(&stored_as),
            collector: self.collector.clone(),
            wanted: AtomicBool::new(true),
            work: Mutex::default(),
        });
        // A thread of its own: the verifier may take seconds, and must not delay other tracers.
        let spec =
            Spec { placement: Placement::OwnThread, revivable: true, ..Spec::new(stored_as.to_string()) };
        let child = self.supervisor.spawn_loop(spec, move |link| TemplateHost::new(link, shared.clone()));
        TemplateHandle { stored_as, section: format!("{PREFIX}.{}", settings.section), child, off: false }
    }

    async fn follow(&self, template: &TemplateHandle, on: bool) -> Result<(), String> {
        if on {
            // A template that was given up starts again with this request.
            template.child.revive();
        }
        match template.child.ask(SetTemplateAttached(on)).await {
            Ok(answer) => answer,
            // A template that does not run is detached.
            Err(AskError::Ended { .. }) if !on => Ok(()),
            Err(cause) => Err(cause.to_string()),
        }
    }
}
