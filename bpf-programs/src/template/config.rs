//! The sections `[tracer.template.bpf.<name>]`: tracers that are a user's own eBPF programs.

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

/// Default of `poll_timeout_ms`.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// All templates, by the name of their section.
pub type TemplatesConfig = BTreeMap<String, TemplateConfig>;

/// A section `[tracer.template.bpf.<name>]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplateConfig {
    /// The program: an object (`.bpf.o`), or its source (`.bpf.c`), which is compiled when it is loaded.
    pub program: String,
    /// True to leave the template out.
    pub disabled: bool,
    /// Name that its rows are stored under; default: the section's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hooks of its programs; default: those that their sections name (`SEC("tracepoint/…")`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) attach: Vec<HookConfig>,
    /// Kind of map that records come through; default: the kind that the object has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) poll: Option<Poll>,
    /// Longest wait for records, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) poll_timeout_ms: Option<u64>,
    /// Map that records come through; default: the only one of that kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) map: Option<String>,
    /// Size of that map, for a perf buffer on each CPU; default: as in the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buffer: Option<Size>,
    /// The records' struct, or several and the field that distinguishes them; default: the only one that the
    /// object declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<RecordChoice>,
    /// Values of read-only variables of the object, set before it is loaded.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) constants: BTreeMap<String, Value>,
    /// New names of fields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) rename: BTreeMap<String, String>,
    /// Ways to show fields that differ from those that their types suggest.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) show: BTreeMap<String, Show>,
    /// Additional arguments for the compiler: `-DX=1`, `-I/folder`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) cflags: Vec<String>,
}

impl TemplateConfig {
    /// Returns the settings about fields of records.
    pub(super) fn hints(&self) -> Hints {
        Hints { rename: self.rename.clone(), show: self.show.clone() }
    }

    /// Returns the name that rows are stored under; `section` is the section's.
    pub fn stored_as(&self, section: &str) -> TracerName {
        TracerName::new(self.name.as_deref().unwrap_or(section))
    }

    /// Returns the longest wait for records.
    pub(crate) fn poll_timeout(&self) -> Duration {
        self.poll_timeout_ms.map_or(POLL_TIMEOUT, Duration::from_millis)
    }
}

/// Kinds of maps that records come through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Poll {
    /// A single ring for all CPUs (`BPF_MAP_TYPE_RINGBUF`).
    RingBuffer,
    /// A buffer for each CPU (`BPF_MAP_TYPE_PERF_EVENT_ARRAY`).
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

/// An entry of `attach`: a hook and its program. The keys depend on the type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookConfig {
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
    /// The file of a user function: a path, or a library's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// An offset in that file, instead of a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Limits the hook to this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Samples a second, on each CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency: Option<u64>,
    /// The program's function in the object; may be left out if only one fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// True if the tracer can run without this hook.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

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
    /// The return of a kernel function.
    Kretprobe,
    /// The entry of a kernel function, with its typed arguments.
    Fentry,
    /// The return of a kernel function, with arguments and result.
    Fexit,
    /// A hook of the security framework.
    Lsm,
    /// A function of a program or library.
    Uprobe,
    /// The return of a function of a program or library.
    Uretprobe,
    /// A clock that fires at `frequency` on each CPU.
    PerfEvent,
}

impl fmt::Display for HookType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A name, or several in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(pub Vec<String>);

impl Names {
    /// True if no name was given.
    pub(crate) fn is_empty(&self) -> bool {
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
