//! Reasons why bytes can't become fields: problems of an object's types, and of one record.

use thiserror::Error;

/// Limit of structs or fields that an error names before it says how many more there are.
const NAMED: usize = 24;

/// Reason why an object's records can't be decoded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Not an eBPF object.
    #[error("read BPF object: {why}")]
    NoObject {
        /// The reason in words.
        why: String,
    },
    /// Compiled without `-g`.
    #[error("read BPF object: it has no type information (section .BTF); compile it with `clang -g`")]
    NoBtf,
    /// The type information is damaged or hostile.
    #[error("read type information of BPF object: {what}")]
    Malformed {
        /// Describes what is wrong.
        what: &'static str,
    },
    /// No struct has the name.
    #[error("find {name} in the object's types: it is not among them; {}; {DECLARE}", there_are(known))]
    NoSuchRecord {
        name: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// Several structs have the name.
    #[error("find {name} in the object's types: {count} different types have that name; give each its own")]
    Ambiguous { name: String, count: usize },
    /// No name was given, and the object declares no record.
    #[error(
        "find the record's struct: the object does not declare one; {}; {DECLARE}, or name one with `record`",
        there_are(known)
    )]
    NoCandidate {
        /// Names that exist.
        known: Vec<String>,
    },
    /// No name was given, and the object declares several records.
    #[error(
        "find the record's struct: the object declares several: {}; name one with `record`",
        listed(candidates)
    )]
    ManyCandidates { candidates: Vec<String> },
    /// A field's type can't be decoded.
    #[error("read the fields of {record}: field {field} ({of}): {why}")]
    Undecodable {
        record: String,
        /// The field's dotted path.
        field: String,
        /// The field's type in C.
        of: String,
        /// The reason for the refusal.
        why: String,
    },
    /// The struct as a whole can't be a record.
    #[error("read the fields of {record}: {why}")]
    Record {
        record: String,
        /// The reason for the refusal.
        why: String,
    },
    /// A hint names a field that does not exist.
    #[error("{hint}.\"{field}\": {record} has no such field; it has {}", listed(known))]
    NoSuchField {
        /// `show`, `rename` or `record.kind`.
        hint: &'static str,
        field: String,
        record: String,
        /// Names that exist.
        known: Vec<String>,
    },
    /// A field's type can't be shown as a hint asks.
    #[error("show.\"{field}\": {of} can't be shown as {show}; {fits}")]
    BadShow {
        /// The field's dotted path.
        field: String,
        /// The field's type in C.
        of: String,
        show: &'static str,
        /// Types that can be shown that way.
        fits: &'static str,
    },
    /// A field can't have its new name.
    #[error("rename.\"{field}\" = \"{to}\": {why}")]
    BadRename {
        /// The field's dotted path.
        field: String,
        /// The requested name.
        to: String,
        /// The reason for the refusal.
        why: String,
    },
    /// A field has a column's name and can't fill the column.
    #[error(
        "read the fields of {record}: field {field} ({of}) can't fill the column {column}, which holds {expected}; give it another name with `rename`"
    )]
    Column {
        record: String,
        /// The field's dotted path.
        field: String,
        /// The field's type in C.
        of: String,
        column: &'static str,
        /// The column's content.
        expected: &'static str,
    },
    /// A table of kinds does not fit the structs.
    #[error("record.\"{key}\": {why}")]
    Kind {
        key: String,
        /// The reason for the refusal.
        why: String,
    },
}

/// Explains how to declare a record to clang.
const DECLARE: &str = "a struct that is used only through a local pointer is not among an object's types: write \
                       `__type(value, struct event)` in the ring's map, or declare a global \
                       `const struct event *unused __attribute__((unused));`";

fn there_are(known: &[String]) -> String {
    if known.is_empty() {
        "the object has no named structs".to_owned()
    } else {
        format!("the object has {}", listed(known))
    }
}

fn listed(names: &[String]) -> String {
    match names.get(..NAMED) {
        Some(first) if first.len() < names.len() => {
            format!("{} and {} more", first.join(", "), names.len() - first.len())
        }
        _ => names.join(", "),
    }
}

/// Why one record can't be decoded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// Fewer bytes than the struct has.
    #[error("decode {record}: the record has {found} bytes, but the struct has {expected}")]
    Short {
        record: String,
        /// Names that exist.
        found: usize,
        /// Bytes that the struct has.
        expected: usize,
    },
    /// The record is of a kind that the configuration does not name.
    #[error("decode record: its field {field} is {value}, which `record` in the configuration does not list")]
    UnknownKind {
        /// The field that distinguishes kinds.
        field: String,
        /// The field's value.
        value: String,
    },
}
