//! All sections together. Each belongs to its component; this file only says where it stands.

use std::fmt;

use bpf_programs::config::{EbpfConfig, TracerConfig, TracersConfig};
use collector::config::CollectorConfig;
use collector::filter::FiltersConfig;
use model::Problem;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shell_monitor::config::{ShellConfig, SubprocessConfig, TemplateConfig, UnameConfig};

/// The whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The host of all kernel tracers.
    pub(crate) ebpf: EbpfConfig,
    /// The host of shell tracers.
    pub(crate) shell: ShellConfig,
    /// The host of subprocess tracers.
    pub(crate) subprocess: SubprocessConfig,
    /// Tracers.
    pub(crate) tracer: Tracers,
    /// Filters.
    pub(crate) filter: FiltersConfig,
    /// The collector and its sinks.
    pub(crate) collector: CollectorConfig,
}

/// `[tracer.<name>]`: the kernel tracers in the catalog, `uname`, and templates.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tracers {
    pub(crate) kernel: TracersConfig,
    pub(crate) uname: UnameConfig,
    pub(crate) template: TemplateConfig,
}

const UNAME: &str = "uname";
const TEMPLATE: &str = "template";

impl Config {
    /// Everything wrong with it that its types don't rule out.
    pub(crate) fn validate(&self) -> Vec<Problem> {
        let mut problems = self.ebpf.validate("ebpf");
        problems.extend(self.tracer.kernel.validate("tracer"));
        problems.extend(self.shell_monitor().validate());
        problems.extend(self.filter.validate("filter"));
        problems.extend(self.collector.validate("collector"));
        problems
    }

    /// The sections of shell and subprocess tracers, as their crate wants them.
    pub(crate) fn shell_monitor(&self) -> shell_monitor::Config {
        shell_monitor::Config {
            shell: self.shell.clone(),
            uname: self.tracer.uname.clone(),
            subprocess: self.subprocess.clone(),
            template: self.tracer.template.clone(),
        }
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
                // In serde's own words, which the loader reads.
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
