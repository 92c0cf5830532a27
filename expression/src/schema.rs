//! The names that an expression can use, and their types.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::WallTime;
use model::schema::{ArrowType, Column, FIELDS, Field};

use super::kind::Kind;
use super::time::Localize;

/// Name of the object with all fields that have no column.
pub(super) const EXTENDED: &str = "extended";

/// The labels that the function `label` knows.
#[derive(Clone, Debug, Default)]
pub enum Labels {
    /// There are none.
    #[default]
    None,
    /// They are not known yet: every name is accepted, and no row has it. The expression is compiled again when they are known.
    Unknown,
    /// The alternatives of each label, as expressions: a row has the label if one of them holds.
    Known(Arc<BTreeMap<String, Vec<String>>>),
}

/// Settings for compiling an expression. The names are always those of [`model::Tracking`] and of built-in tracers' fields.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Converts a moment to local time; by default, local time is UTC.
    pub localize: Localize,
    /// True if the rows come from a store, which has no [`Column::Ancestors`].
    pub stored: bool,
    /// The labels that the function `label` knows.
    pub labels: Labels,
}

impl Default for Schema {
    fn default() -> Self {
        Self { localize: WallTime, stored: false, labels: Labels::None }
    }
}

/// Returns the column of that name, if an expression can name it.
pub(super) fn column(name: &str) -> Option<(Column, Kind)> {
    let column = Column::named(name).filter(|column| *column != Column::Extended)?;
    let kind = match column.arrow() {
        ArrowType::LocalTime | ArrowType::TimestampUtc => Kind::Time,
        other => kind(other),
    };
    Some((column, kind))
}

/// Returns the type of a field that a built-in tracer writes.
pub(super) fn field(name: &str) -> Option<Kind> {
    Field::named(name).map(|field| kind(field.arrow))
}

/// Returns the type of a value in JSON, where points in time are text.
fn kind(arrow: ArrowType) -> Kind {
    match arrow {
        ArrowType::Bool => Kind::Bool,
        ArrowType::Utf8 | ArrowType::Binary | ArrowType::LocalTime | ArrowType::TimestampUtc => Kind::Text,
        ArrowType::List(of) => Kind::List(Box::new(kind(*of))),
        ArrowType::Struct => Kind::Object,
        ArrowType::Int32
        | ArrowType::Int64
        | ArrowType::UInt8
        | ArrowType::UInt16
        | ArrowType::UInt32
        | ArrowType::UInt64 => Kind::Int,
    }
}

pub(super) fn names<'a>() -> impl Iterator<Item = &'a str> {
    let columns = Column::ALL.iter().map(|column| column.name()).filter(|name| *name != EXTENDED);
    columns.chain(FIELDS.iter().map(|field| field.name)).chain([EXTENDED])
}

/// Returns the known name that is most similar to `name`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.min_by_key(|known| strsim::damerau_levenshtein(known, name)).unwrap_or_default()
}
