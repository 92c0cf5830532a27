//! The names that an expression can use, and their types.

use super::kind::Kind;
use super::source::Column;
use super::time::Localize;
use model::WallTime;
use model::schema::{FIELDS, FieldKind};

/// Name of the object with all fields that have no column.
pub(super) const EXTENDED: &str = "extended";

/// Settings for compiling an expression. The names are always those of [`model::Tracking`] and of built-in tracers' fields.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Converts a moment to local time; by default, local time is UTC.
    pub localize: Localize,
    /// True if the rows come from a store, which has no [`Column::Ancestors`].
    pub stored: bool,
}

impl Default for Schema {
    fn default() -> Self {
        Self { localize: WallTime, stored: false }
    }
}

pub(super) fn field(name: &str) -> Option<Kind> {
    let (_, kind) = FIELDS.iter().find(|(known, _)| *known == name)?;
    Some(match kind {
        FieldKind::Bool => Kind::Bool,
        FieldKind::Integer => Kind::Int,
        FieldKind::Text => Kind::Text,
        FieldKind::Texts => Kind::texts(),
    })
}

pub(super) fn names<'a>() -> impl Iterator<Item = &'a str> {
    let columns = Column::ALL.iter().map(|column| column.name());
    columns.chain(FIELDS.iter().map(|(name, _)| *name)).chain([EXTENDED])
}

/// Returns the known name that is most similar to `name`.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    known.min_by_key(|known| strsim::damerau_levenshtein(known, name)).unwrap_or_default()
}
