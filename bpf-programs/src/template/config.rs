//! The sections `[tracer.template.bpf.<name>]`: tracers that are somebody's own eBPF program.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use model::TracerName;
use model::units::Size;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::layout::{Hints, RecordChoice, Show};

/// The longest wait for records, where a template says nothing else.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// All templates, by the name of their section.
pub type TemplatesConfig = BTreeMap<String, TemplateConfig>;

/// `[tracer.template.bpf.<name>]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateConfig {
    /// The program: an object (`.bpf.o`), or its source (`.bpf.c`), which is compiled when it is loaded.
    pub program: String,
    /// Do not run it.
    pub disabled: bool,
    /// The name its rows are stored under; its section's, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where its programs are attached; where their sections say (`SEC("tracepoint/…")`), if not said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attach: Vec<HookConfig>,
    /// What its records come through; what kind of map there is, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll: Option<Poll>,
    /// The longest wait for records.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poll_timeout_ms: Option<u64>,
    /// The map its records come through; the only one of that kind, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// The size of that map, for each CPU if it is a perf buffer; as the object has it, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Size>,
    /// The records' struct, or several and the field that tells them apart; the only one that can be, if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordChoice>,
    /// Read-only variables of the object, set before it is loaded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub constants: BTreeMap<String, Value>,
    /// Fields that are stored under another name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rename: BTreeMap<String, String>,
    /// Fields that are shown another way than their type says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub show: BTreeMap<String, Show>,
    /// More arguments for the compiler: `-DX=1`, `-I/folder`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cflags: Vec<String>,
}

impl TemplateConfig {
    /// What it says about the fields of its records.
    pub(super) fn hints(&self) -> Hints {
        Hints { rename: self.rename.clone(), show: self.show.clone() }
    }

    /// The name its rows are stored under, given its section's.
    pub fn stored_as(&self, section: &str) -> TracerName {
        TracerName::new(self.name.as_deref().unwrap_or(section))
    }

    /// The longest wait for records.
    pub fn poll_timeout(&self) -> Duration {
        self.poll_timeout_ms.map_or(POLL_TIMEOUT, Duration::from_millis)
    }
}

/// What records come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Poll {
    /// One ring for all CPUs (`BPF_MAP_TYPE_RINGBUF`).
    RingBuffer,
    /// One buffer for each CPU (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`).
    PerfBuffer,
}

impl fmt::Display for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RingBuffer => "ring_buffer",
            Self::PerfBuffer => "perf_buffer",
        })
    }
}

/// One of `attach`: a hook and the program that belongs there. Which keys it has depends on its type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookConfig {
    /// What kind of hook.
    #[serde(rename = "type")]
    pub kind: HookType,
    /// A tracepoint's folder below `events` in tracefs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A tracepoint's name; several are tried in order.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub name: Names,
    /// A function's name; several are tried in order.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub function: Names,
    /// The file a user function is in: a path, or a library's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Where in that file, in place of a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Only in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Samples a second, on each CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<u64>,
    /// The program's function in the object; may be left out when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The tracer can do without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Kinds of hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookType {
    /// A tracepoint, with the fields that tracefs describes.
    Tracepoint,
    /// A tracepoint, with its raw arguments.
    RawTracepoint,
    /// A tracepoint, with its typed arguments.
    BtfTracepoint,
    /// The entry of almost any kernel function.
    Kprobe,
    /// Its return.
    Kretprobe,
    /// The entry of a kernel function, with its typed arguments.
    Fentry,
    /// Its return, with arguments and result.
    Fexit,
    /// A hook of the security framework.
    Lsm,
    /// A function of a program or library.
    Uprobe,
    /// Its return.
    Uretprobe,
    /// The clock, so many times a second.
    PerfEvent,
}

impl fmt::Display for HookType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A name, or several in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl Names {
    /// None was said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Names, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(names)).map(Names)
            }
        }
        deserializer.deserialize_any(NamesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_read_as_it_is_written() {
        let text = r#"{"program": "a.bpf.c", "poll": "perf_buffer", "record": {"kind": "kind", "1": "one", "2": "two"},
            "attach": [{"type": "kprobe", "function": ["a", "b"], "optional": true},
                       {"type": "perf_event", "frequency": 99, "program": "tick"}],
            "constants": {"min": 3, "name": "x"}, "buffer": "64KiB"}"#;
        let config: TemplateConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.attach[0].function, Names(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!((config.poll, config.poll_timeout()), (Some(Poll::PerfBuffer), POLL_TIMEOUT));
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TemplateConfig>(&written).unwrap(), config);
        assert!(!written.contains("null"), "{written}");
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for text in [r#"{"programm": "x"}"#, r#"{"attach": [{"type": "tracepoint", "nam": "x"}]}"#] {
            assert!(serde_json::from_str::<TemplateConfig>(text).is_err(), "{text}");
        }
    }
}
