//! Settings about a record: its struct, and the names and presentation of its fields.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The `rename` and `show` tables of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hints {
    /// New names, by field; nested fields by dotted path: `task.pid = "pid"` moves one to the top, `task.pid =
    /// "task.id"` renames it inside its struct.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Presentation by field; nested fields by dotted path. An array's elements have the array's path.
    #[serde(default)]
    pub show: BTreeMap<String, Show>,
}

/// Presentation of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Show {
    /// A number, whatever its name suggests.
    Number,
    /// `0x1f`; byte arrays as hex digits.
    Hex,
    /// Text up to the first NUL.
    Text,
    /// Text that is a path: shown the same.
    Path,
    /// Hex digits of the bytes as they lie in memory.
    Bytes,
    /// Four bytes in network order.
    Ipv4,
    /// Sixteen bytes in network order.
    Ipv6,
    /// A hardware address of six bytes.
    Mac,
    /// A number with its most significant byte first, such as a port or a length in a packet.
    BigEndian,
    /// A time on the boot clock (`bpf_ktime_get_boot_ns`), as local wall time.
    TimeNs,
    /// A time on the monotonic clock (`bpf_ktime_get_ns`), as local wall time.
    MonotonicNs,
    /// Moves a nested struct's fields into the outer one.
    Inline,
    /// Leaves padding and reserved bytes out.
    Hide,
}

impl Show {
    /// Returns the value as a configuration has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Hex => "hex",
            Self::Text => "text",
            Self::Path => "path",
            Self::Bytes => "bytes",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Mac => "mac",
            Self::BigEndian => "big_endian",
            Self::TimeNs => "time_ns",
            Self::MonotonicNs => "monotonic_ns",
            Self::Inline => "inline",
            Self::Hide => "hide",
        }
    }

    /// Describes the types that can be shown this way.
    pub(crate) fn fits(self) -> &'static str {
        match self {
            Self::Number => "whole numbers can",
            Self::Hex => "whole numbers, pointers and arrays of bytes can",
            Self::Text | Self::Path => "bytes and arrays of them can",
            Self::Bytes => "everything but a bit-field can",
            Self::Ipv4 => "four bytes can: a 32-bit integer, an array or struct of that size",
            Self::Ipv6 => "sixteen bytes can: an array or struct of that size",
            Self::Mac => "six bytes can: an array or struct of that size",
            Self::BigEndian => "integers of 16 bits and more can",
            Self::TimeNs | Self::MonotonicNs => "64-bit integers can",
            Self::Inline => "structs and unions can, outside of arrays",
            Self::Hide => "everything can",
        }
    }
}

/// Words in the name of a `*_ns` field that make it a duration instead of a time.
const LENGTHS: [&str; 39] = [
    "duration", "dur", "latency", "lat", "delta", "diff", "elapsed", "delay", "wait", "waited", "blocked",
    "spent", "cpu", "run", "runtime", "vruntime", "user", "system", "utime", "stime", "idle", "busy",
    "slice", "quota", "budget", "period", "interval", "timeout", "age", "ttl", "lag", "jitter", "rtt",
    "cost", "total", "sum", "avg", "min", "max",
];

/// Guesses the presentation of values from a typedef's name.
pub(crate) fn by_type_name(name: &str) -> Option<Show> {
    let name = name.strip_suffix("_t").unwrap_or(name);
    Some(match name {
        "ipv4" | "ipv4_addr" | "in_addr" => Show::Ipv4,
        "ipv6" | "ipv6_addr" | "in6_addr" => Show::Ipv6,
        "mac" | "mac_addr" | "macaddr" => Show::Mac,
        "__be16" | "__be32" | "__be64" => Show::BigEndian,
        "path" => Show::Path,
        _ if name.ends_with("_ns") || name == "ns" => moment(name)?,
        _ => return None,
    })
}

/// Guesses it from a field's name; a typedef's name has precedence.
pub(crate) fn by_field_name(name: &str) -> Option<Show> {
    let last = name.rsplit('_').next().unwrap_or(name);
    match last {
        "path" | "fname" | "filename" | "comm" | "cwd" | "exe" => Some(Show::Text),
        "ns" if name.len() > 3 => moment(name),
        _ => None,
    }
}

/// True if the name of a `__be32` is that of an address rather than of a number.
pub(crate) fn is_address(name: &str) -> bool {
    let last = name.rsplit('_').next().unwrap_or(name);
    ["addr", "saddr", "daddr", "ip", "ip4", "ipv4", "v4", "ip6", "ipv6", "v6"].contains(&last)
}

fn moment(name: &str) -> Option<Show> {
    let mut words = name.split('_');
    if words.clone().any(|word| LENGTHS.contains(&word)) {
        return None;
    }
    let monotonic = words.any(|word| ["mono", "monotonic", "ktime"].contains(&word));
    Some(if monotonic { Show::MonotonicNs } else { Show::TimeNs })
}

/// The `record` of a template: the struct or structs of a ring's records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum RecordChoice {
    /// A single struct: `record = "struct event"`.
    Named(String),
    /// Several, distinguished by a field at the same offset in all of them: `record = { kind = "type", 1 =
    /// "struct opened", EVENT_EXITED = "struct exited" }`.
    Kinds(Kinds),
}

/// Several structs, distinguished by a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Kinds {
    /// The field that distinguishes them.
    pub kind: String,
    /// The structs by that field's value: a number, or the name of an enum's constant.
    #[serde(flatten)]
    pub structs: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RecordChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoiceVisitor)
    }
}

/// Deserializes by hand, because an untagged enum's error would not say what is wrong.
struct ChoiceVisitor;

impl<'de> Visitor<'de> for ChoiceVisitor {
    type Value = RecordChoice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a struct's name, or a table { kind = \"field\", 1 = \"struct a\", 2 = \"struct b\" }")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(RecordChoice::Named(name.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kinds = Kinds::default();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if key == "kind" {
                kinds.kind = value;
            } else {
                kinds.structs.insert(key, value);
            }
        }
        if kinds.kind.is_empty() {
            return Err(serde::de::Error::missing_field("kind"));
        }
        Ok(RecordChoice::Kinds(kinds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_named_in_one_way() {
        let all = [
            Show::Number,
            Show::Hex,
            Show::Text,
            Show::Path,
            Show::Bytes,
            Show::Ipv4,
            Show::Ipv6,
            Show::Mac,
            Show::BigEndian,
            Show::TimeNs,
            Show::MonotonicNs,
            Show::Inline,
            Show::Hide,
        ];
        let docs = include_str!("../../../../docs/RECORDS.md");
        for show in all {
            assert_eq!(serde_json::to_value(show).unwrap(), show.as_str());
            assert!(docs.contains(&format!("`{}`", show.as_str())), "{show:?} is in the documentation");
        }
    }

    #[test]
    fn moments_and_lengths() {
        for name in ["start_ns", "ts_ns", "boot_time_ns", "at_ns"] {
            assert_eq!(by_field_name(name), Some(Show::TimeNs), "{name}");
        }
        for name in ["ktime_ns", "mono_ns", "start_mono_ns"] {
            assert_eq!(by_field_name(name), Some(Show::MonotonicNs), "{name}");
        }
        for name in
            ["duration_ns", "cpu_time_ns", "run_delay_ns", "max_latency_ns", "_ns", "ns", "dns", "columns"]
        {
            assert_eq!(by_field_name(name), None, "{name}");
        }
        assert_eq!(by_type_name("boot_ns_t"), Some(Show::TimeNs));
    }
}
