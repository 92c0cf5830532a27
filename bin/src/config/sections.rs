//! Composes the configuration from the sections, each of which is defined by its component.

use std::collections::BTreeMap;
use std::fmt;

use analyzer::Labels;
use bpf_programs::template::{self, TemplatesConfig};
use bpf_programs::{EbpfConfig, PinChoice, TracerConfig, TracersConfig};
use collector::config::CollectorConfig;
use collector::filter::{FiltersConfig, TracerNames};
use model::{MANIFEST, Problem, TracerName};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use server::ServerSettings;
use shell_monitor::config::{
    ShellConfig, ShellTemplate, SubprocessConfig, SubprocessTemplate, TemplateConfig, UnameConfig,
};
use store::settings::StoreSettings;

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// Settings of the host of all kernel tracers.
    pub(crate) ebpf: EbpfConfig,
    /// Settings common to all shell tracers.
    pub(crate) shell: ShellConfig,
    /// Settings common to all subprocess tracers.
    pub(crate) subprocess: SubprocessConfig,
    pub(crate) tracer: Tracers,
    pub(crate) filter: FiltersConfig,
    /// Settings of the collector and its sinks.
    pub(crate) collector: CollectorConfig,
    /// Settings of the store's size, age and readers.
    pub(crate) store: StoreSettings,
    /// Settings of the server, which is a process of its own.
    pub(crate) server: ServerSettings,
    /// Names of files and processes, for questions.
    pub(crate) label: Labels,
}

/// `[tracer.<name>]`: the kernel tracers in the catalog, `uname`, and templates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tracers {
    pub(crate) kernel: TracersConfig,
    pub(crate) uname: UnameConfig,
    pub(crate) template: Templates,
}

/// `[tracer.template]`: tracers that a user adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Templates {
    /// Disables all of them.
    pub(crate) disabled: bool,
    /// Shell tracers, by name.
    pub(crate) sh: BTreeMap<String, ShellTemplate>,
    /// Subprocess tracers, by name.
    pub(crate) sp: BTreeMap<String, SubprocessTemplate>,
    /// eBPF programs, by name.
    pub(crate) bpf: TemplatesConfig,
}

const UNAME: &str = "uname";
const TEMPLATE: &str = "template";
/// The section of eBPF templates.
const BPF: &str = "tracer.template.bpf";

impl Config {
    /// Returns all problems that the types of the settings do not rule out.
    pub(crate) fn validate(&self) -> Vec<Problem> {
        let mut problems = self.ebpf.validate("ebpf");
        problems.extend(self.tracer.kernel.validate("tracer"));
        problems.extend(self.shell_monitor().validate());
        problems.extend(template::validate(&self.tracer.template.bpf, BPF));
        problems.extend(self.names_taken());
        problems.extend(self.filter.validate("filter"));
        problems.extend(self.collector.validate("collector"));
        problems.extend(self.store.validate("store"));
        problems.extend(self.server.validate("server"));
        problems.extend(self.label.validate("label"));
        if self.ebpf.pin == PinChoice::Always && self.collector.store().is_none() {
            let message = "needs a store, which records how far the rings are stored: enable collector.store or collector.sqlite";
            problems.push(Problem::new("ebpf.pin", message));
        }
        problems
    }

    /// Returns settings that are valid, but most likely not meant as they are.
    pub(crate) fn warnings(&self) -> Vec<Problem> {
        self.filter.warnings("filter", &self.tracer_names())
    }

    /// Returns the names that rows are stored under, disabled tracers' too.
    fn tracer_names(&self) -> TracerNames {
        let kernel = self.tracer.kernel.0.keys().map(|name| self.tracer.kernel.stored_as(name).to_string());
        let built_in = kernel.chain(["loss", MANIFEST].map(str::to_owned));
        let own = self.shell_monitor();
        let shells = own.shells().into_iter().map(|shell| shell.name.to_string());
        let children = own.subprocesses().into_iter().map(|child| child.name.to_string());
        let bpf = self.tracer.template.bpf.iter().map(|(name, config)| config.stored_as(name).to_string());
        TracerNames { built_in: built_in.collect(), templates: shells.chain(children).chain(bpf).collect() }
    }

    /// Returns the sections of shell and subprocess tracers in the form that their crate expects.
    pub(crate) fn shell_monitor(&self) -> shell_monitor::Config {
        shell_monitor::Config {
            shell: self.shell.clone(),
            uname: self.tracer.uname.clone(),
            subprocess: self.subprocess.clone(),
            template: TemplateConfig {
                disabled: self.tracer.template.disabled,
                sh: self.tracer.template.sh.clone(),
                sp: self.tracer.template.sp.clone(),
            },
        }
    }

    /// Returns the eBPF templates that are enabled.
    pub(crate) fn bpf_templates(&self) -> TemplatesConfig {
        let enabled = |config: &template::TemplateConfig| !config.disabled && !self.tracer.template.disabled;
        let all = self.tracer.template.bpf.iter().filter(|(_, config)| enabled(config));
        all.map(|(name, config)| (name.clone(), config.clone())).collect()
    }

    /// Returns a problem for each eBPF template that has the name of another tracer: their rows and accounts could
    /// not be distinguished.
    fn names_taken(&self) -> Vec<Problem> {
        let kernel = self.tracer.kernel.0.keys();
        let mut taken: BTreeMap<TracerName, String> =
            kernel.map(|name| (self.tracer.kernel.stored_as(name), format!("tracer.{name}"))).collect();
        taken.extend(
            ["loss", MANIFEST].map(|name| (TracerName::new(name), "the agent's own rows".to_owned())),
        );
        let own = self.shell_monitor();
        taken.extend(own.shells().into_iter().map(|shell| (shell.name, shell.section)));
        taken.extend(own.subprocesses().into_iter().map(|child| (child.name, child.section)));
        let problem = |(section, config): (&String, &template::TemplateConfig)| {
            let name = config.stored_as(section);
            let other = taken.get(&name).filter(|_| !config.disabled)?;
            let message = format!("tracer name \"{name}\" is already that of {other}");
            Some(Problem::new(format!("{BPF}.{section}.name"), message))
        };
        self.tracer.template.bpf.iter().filter_map(problem).collect()
    }
}

impl Serialize for Tracers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, section) in &self.kernel.0 {
            map.serialize_entry(name, section)?;
        }
        map.serialize_entry(UNAME, &self.uname)?;
        map.serialize_entry(TEMPLATE, &self.template)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tracers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TracersVisitor)
    }
}

struct TracersVisitor;

impl<'de> Visitor<'de> for TracersVisitor {
    type Value = Tracers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section for each tracer")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tracers, A::Error> {
        let mut tracers = Tracers::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == UNAME {
                tracers.uname = map.next_value()?;
            } else if name == TEMPLATE {
                tracers.template = map.next_value()?;
            } else if let Some(kernel) = tracers.kernel.0.get_mut(&name) {
                let section: TracerConfig = map.next_value()?;
                let name = if section.name.is_empty() { name } else { section.name };
                *kernel = TracerConfig { name, ..section };
            } else {
                let known: Vec<String> = tracers.kernel.0.keys().map(|known| format!("`{known}`")).collect();
                let known = known.join(", ");
                // serde's wording, which `words` parses.
                let message =
                    format!("unknown field `{name}`, expected one of {known}, `{UNAME}`, `{TEMPLATE}`");
                return Err(A::Error::custom(message));
            }
        }
        Ok(tracers)
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::from_toml;
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let defaults = Config::default();
        assert_eq!(defaults.validate(), []);
        let text = toml::to_string(&defaults).unwrap();
        assert_eq!(from_toml(&text), Ok(defaults));
    }

    #[test]
    fn a_kernel_tracers_section_keeps_its_name() {
        let config = from_toml("[tracer.open]\ndisabled = true").unwrap();
        assert_eq!(config.tracer.kernel.of("open").name, "open");
        assert!(config.tracer.kernel.of("open").disabled && !config.tracer.kernel.of("exec").disabled);
    }
}
