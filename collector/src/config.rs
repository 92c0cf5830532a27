//! Settings of the write side (`[collector]`), and the list of all sinks. The settings of each sink are in its own
//! folder, those of filters in `filter/config.rs`.

use std::path::{Path, PathBuf};

use model::schema::table_part;
use model::{Problem, Role, SinkName};
use serde::{Deserialize, Serialize};

use crate::checks::Checks;
pub use crate::enrich::runtime::RuntimesConfig;
pub use crate::filter::FiltersConfig;
use crate::sink::jsonl::JsonlConfig;
use crate::sink::kind::{SinkKind, Target};
use crate::sink::memory::MemoryConfig;
use crate::sink::sqlite::SqliteConfig;
use crate::sink::store::StoreConfig;

/// Defines the sections of `[collector]`, with one for each sink, and [`SinkConfig`].
macro_rules! sinks {
    ($($(#[$doc:meta])* $name:ident: $Kind:ident($Settings:ty),)+) => {
        /// Settings of the write side (`[collector]`).
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct CollectorConfig {
            /// Id that rows are stored under; empty: the machine's host name.
            pub id: String,
            /// Number of batches (of up to 1,024 records) that may wait for the collector. Sources wait when the queue
            /// is full.
            pub queue: u32,
            $($(#[$doc])* pub $name: $Settings,)+
            /// Container runtimes to ask for names and images of containers.
            pub runtimes: RuntimesConfig,
        }

        impl Default for CollectorConfig {
            fn default() -> Self {
                Self {
                    id: String::new(),
                    queue: 8,
                    $($name: <$Settings>::default(),)+
                    runtimes: RuntimesConfig::default(),
                }
            }
        }

        /// Settings of one sink, of whatever kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum SinkConfig {
            $($(#[$doc])* $Kind($Settings),)+
        }

        impl SinkConfig {
            /// Names of all sinks: those of their sections and of their actors.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// Returns the sink's name.
            pub fn name(&self) -> SinkName {
                SinkName::new(match self {
                    $(Self::$Kind(_) => stringify!($name),)+
                })
            }

            /// Returns the operations of this kind of sink.
            pub(crate) fn kind(&self) -> &dyn SinkKind {
                match self {
                    $(Self::$Kind(settings) => settings,)+
                }
            }

            /// Returns whether the sink is switched off.
            fn is_disabled(&self) -> bool {
                match self {
                    $(Self::$Kind(settings) => settings.disabled,)+
                }
            }
        }

        impl CollectorConfig {
            /// Returns the settings of all sinks, including disabled ones.
            fn all_sinks(&self) -> Vec<SinkConfig> {
                vec![$(SinkConfig::$Kind(self.$name.clone())),+]
            }

            /// Disables every sink.
            pub fn disable_sinks(&mut self) {
                $(self.$name.disabled = true;)+
            }
        }
    };
}

// All sinks, in the order in which rows are offered to them.
sinks! {
    /// Settings of the columnar store.
    store: Store(StoreConfig),
    /// Settings of the SQLite store.
    sqlite: Sqlite(SqliteConfig),
    /// Settings of the memory sink, which keeps the last rows.
    memory: Memory(MemoryConfig),
    /// Settings of the JSON lines file.
    jsonl: Jsonl(JsonlConfig),
}

impl SinkConfig {
    /// Returns the destination of the sink's rows.
    pub(crate) fn target(&self, workdir: &Path) -> Target {
        self.kind().target(workdir)
    }
}

impl CollectorConfig {
    /// Returns the id that rows are stored under: the configured one, or the machine's host name. Characters that a
    /// table name can't contain are replaced by `_`.
    pub fn collector_id(&self) -> String {
        if !self.id.is_empty() {
            return table_part(&self.id);
        }
        let host =
            nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        if host.is_empty() { "unknown".to_owned() } else { table_part(&host) }
    }

    /// Returns the enabled sinks. If both stores are enabled, the one with duetector's schema is an additional output.
    pub fn sinks(&self) -> Vec<SinkConfig> {
        let mut all = self.all_sinks();
        for sink in &mut all {
            if let SinkConfig::Sqlite(settings) = sink {
                settings.is_copy = !self.store.disabled;
            }
        }
        all.into_iter().filter(|sink| !sink.is_disabled()).collect()
    }

    /// Returns the enabled sink with the role of the store.
    pub fn store(&self) -> Option<SinkConfig> {
        self.sinks().into_iter().find(|sink| sink.kind().role() == Role::Store)
    }

    /// Returns the store's file, if a store is enabled that writes one.
    pub fn store_file(&self, workdir: &Path) -> Option<PathBuf> {
        Some(self.store()?.target(workdir).file()?.to_owned())
    }

    /// Returns the file of the other kind of store than the one with the role of the store.
    pub(crate) fn other_store(&self, workdir: &Path) -> PathBuf {
        match self.store() {
            Some(SinkConfig::Sqlite(_)) => self.store.file(workdir),
            _ => self.sqlite.file(workdir),
        }
    }

    /// Returns the files that are read together: that of the columnar store, and that with duetector's schema. A file that is
    /// not there is left out; without any, the one that the enabled store would write is returned.
    pub fn files_to_read(&self, workdir: &Path) -> Vec<PathBuf> {
        let mut files = vec![self.store.file(workdir), self.sqlite.file(workdir)];
        files.retain(|file| file.exists());
        files.dedup();
        if files.is_empty() {
            files.push(self.store_file(workdir).unwrap_or_else(|| self.store.file(workdir)));
        }
        files
    }

    /// Returns everything that is wrong with the settings.
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut checks = Checks::of(prefix);
        if self.id.contains([':', '@']) || self.id.contains(char::is_control) {
            let cause = "can't be part of a table's name: expected no `:`, `@` or control characters";
            checks = checks.problem("id", format!("{:?} {cause}", self.id));
        }
        let (store, sqlite) = (self.store.file(Path::new("")), self.sqlite.file(Path::new("")));
        if !self.store.disabled && !self.sqlite.disabled && store == sqlite {
            let cause = "is also the file of collector.store: the two have different tables, so each needs one of its own";
            checks = checks.problem("sqlite.path", format!("{:?} {cause}", self.sqlite.path));
        }
        let mut problems = checks.positive("queue", self.queue).problems();
        for sink in self.all_sinks() {
            problems.extend(sink.kind().validate(&format!("{prefix}.{}", sink.name())));
        }
        problems.extend(Checks::of(prefix).interval("runtimes.timeout", self.runtimes.timeout).problems());
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::Period;

    use super::*;

    #[test]
    fn the_store_comes_first_and_ids_fit_into_a_table_name() {
        let mut config = CollectorConfig { id: "Host:a@b".into(), ..CollectorConfig::default() };
        assert_eq!(config.collector_id(), "Host_a_b");
        let names =
            |config: &CollectorConfig| config.sinks().iter().map(SinkConfig::name).collect::<Vec<_>>();
        assert_eq!(names(&config), ["store".into()]);
        config.jsonl.disabled = false;
        config.memory.disabled = false;
        assert_eq!(names(&config), ["store".into(), "memory".into(), "jsonl".into()]);
        assert_eq!(config.store(), Some(SinkConfig::Store(config.store.clone())));
        assert_eq!(config.validate("collector").len(), 1);
    }

    #[test]
    fn one_store_keeps_the_accounts_and_both_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (workdir, mut config) = (folder.path(), CollectorConfig::default());
        let named = |name: &str| workdir.join(name);
        let (plain, columnar) = (named("duetector-dbcollector.sqlite3"), named("store.sqlite3"));
        let roles = |config: &CollectorConfig| {
            config.sinks().iter().map(|sink| (sink.name(), sink.kind().role())).collect::<Vec<_>>()
        };
        assert_eq!(roles(&config), [("store".into(), Role::Store)]);
        assert_eq!(config.files_to_read(workdir), std::slice::from_ref(&columnar));
        std::fs::write(&plain, "").unwrap();
        assert_eq!(config.files_to_read(workdir), std::slice::from_ref(&plain), "only what is there");
        std::fs::write(&columnar, "").unwrap();
        assert_eq!(config.files_to_read(workdir), [columnar.clone(), plain.clone()]);
        config.sqlite.disabled = false;
        assert_eq!(roles(&config), [("store".into(), Role::Store), ("sqlite".into(), Role::Copy)]);
        assert_eq!((config.validate("collector"), config.other_store(workdir)), (vec![], plain));
        config.sqlite.path = "store.sqlite3".into();
        let problems = config.validate("collector");
        assert_eq!(problems.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), ["collector.sqlite.path"]);
        config.store.disabled = true;
        assert_eq!(roles(&config), [("sqlite".into(), Role::Store)]);
        assert_eq!((config.validate("collector"), config.other_store(workdir)), (vec![], columnar));
    }

    #[test]
    fn settings_that_make_no_sense_are_all_named() {
        let mut config = CollectorConfig::default();
        assert_eq!(config.validate("collector"), []);
        config.sqlite.batch = 0;
        config.jsonl.flush_interval = Period(Duration::ZERO);
        let keys: Vec<String> = config.validate("collector").into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["collector.sqlite.batch", "collector.jsonl.flush_interval"]);
    }
}
