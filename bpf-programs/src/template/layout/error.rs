//! Why bytes can't become fields: of a whole object's types, and of one record.

use thiserror::Error;

/// Structs or fields that are named in an error before it says how many more there are.
const NAMED: usize = 24;

/// Why an object's records can't be decoded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Not an eBPF object.
    #[error("read BPF object: {why}")]
    NoObject {
        /// What it is instead.
        why: String,
    },
    /// Compiled without `-g`.
    #[error("read BPF object: it has no type information (section .BTF); compile it with `clang -g`")]
    NoBtf,
    /// Broken, or hostile.
    #[error("read type information of BPF object: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// A name that no struct has.
    #[error("find {name} in the object's types: there is none; {}; {DECLARE}", there_are(known))]
    NoSuchRecord {
        /// As asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A name that several structs have.
    #[error("find {name} in the object's types: there are {count} different ones of that name; rename one")]
    Ambiguous {
        /// As asked for.
        name: String,
        /// How many.
        count: usize,
    },
    /// No name was given, and nothing in the object tells.
    #[error(
        "find the record's struct: the object does not tell which it is; {}; {DECLARE}, or name one with `record`",
        there_are(known)
    )]
    NoCandidate {
        /// What there is.
        known: Vec<String>,
    },
    /// No name was given, and several could be meant.
    #[error(
        "find the record's struct: the object declares several: {}; name one with `record`",
        listed(candidates)
    )]
    ManyCandidates {
        /// Which.
        candidates: Vec<String>,
    },
    /// A type that bytes can't be read as.
    #[error("lay out {record}: field {field} ({of}): {why}")]
    Undecodable {
        /// The struct.
        record: String,
        /// The field's dotted path.
        field: String,
        /// Its type in C.
        of: String,
        /// What is the matter with it.
        why: String,
    },
    /// The struct as a whole can't be a record.
    #[error("lay out {record}: {why}")]
    Record {
        /// The struct.
        record: String,
        /// What is the matter with it.
        why: String,
    },
    /// A hint for a field that is not there.
    #[error("{hint}.\"{field}\": {record} has no such field; it has {}", listed(known))]
    NoSuchField {
        /// `show`, `rename` or `record.kind`.
        hint: &'static str,
        /// As asked for.
        field: String,
        /// The struct or structs.
        record: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A hint that the field's type can't follow.
    #[error("show.\"{field}\": {of} can't be shown as {show}; {fits}")]
    BadShow {
        /// The field's dotted path.
        field: String,
        /// Its type in C.
        of: String,
        /// As asked for.
        show: &'static str,
        /// What can be shown so.
        fits: &'static str,
    },
    /// A new name that can't be given.
    #[error("rename.\"{field}\" = \"{to}\": {why}")]
    BadRename {
        /// The field's dotted path.
        field: String,
        /// Its new name.
        to: String,
        /// What is the matter with it.
        why: String,
    },
    /// A column's name on a field that can't fill it.
    #[error(
        "lay out {record}: field {field} ({of}) can't fill the column {column}, which holds {expected}; give it another name with `rename`"
    )]
    Column {
        /// The struct.
        record: String,
        /// The field's dotted path.
        field: String,
        /// Its type in C.
        of: String,
        /// The column.
        column: &'static str,
        /// What that holds.
        expected: &'static str,
    },
    /// A table of kinds that does not fit the structs.
    #[error("record.\"{key}\": {why}")]
    Kind {
        /// The entry.
        key: String,
        /// What is the matter with it.
        why: String,
    },
}

/// What clang needs to be told.
const DECLARE: &str = "a struct that is used only through a local pointer is not among an object's types: say \
                       `__type(value, struct event)` in the ring's map, or declare a global \
                       `const struct event *unused __attribute__((unused));`";

fn there_are(known: &[String]) -> String {
    if known.is_empty() { "it has no named structs".to_owned() } else { format!("it has {}", listed(known)) }
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
pub enum DecodeError {
    /// Fewer bytes than the struct has.
    #[error("decode {record}: {found} bytes, {expected} needed")]
    Short {
        /// The struct.
        record: String,
        /// What there is.
        found: usize,
        /// What there must be.
        expected: usize,
    },
    /// Of a kind that nothing was said about.
    #[error("decode record: its field {field} is {value}, which `record` does not name")]
    UnknownKind {
        /// The field that tells.
        field: String,
        /// Its value.
        value: String,
    },
}
