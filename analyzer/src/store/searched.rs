//! Paths and fields by which rows of a columnar store are searched. The virtual table has a hidden column for each. The condition
//! that this column equals a value, or one of a list, is true for all rows whose path or field has such a value. It is also true for
//! some other rows: those in which the store can't decide it.

use std::sync::OnceLock;

use expression::is_path;
use model::schema::{ArrowType, COLUMNS, FIELDS};
use rusqlite::types::Value;
use store::{Condition, Sought};

/// Field that a row has if a path of it is in doubt.
pub(super) const DOUBT: &str = "path_incomplete";

/// A path or a field by which rows are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Searched {
    name: &'static str,
    is_text: bool,
    is_field: bool,
}

impl Searched {
    /// Returns all of them, in the order of the hidden columns.
    pub(super) fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<Searched>> = OnceLock::new();
        ALL.get_or_init(|| {
            let paths = COLUMNS.iter().map(|column| column.name()).filter(|name| is_path(name));
            let paths = paths.map(|name| Self { name, is_text: true, is_field: false });
            let fields = FIELDS.iter().filter_map(|field| {
                let is_text = field.arrow == ArrowType::Utf8;
                (is_text || field.arrow.is_number()).then_some(Self {
                    name: field.name,
                    is_text,
                    is_field: true,
                })
            });
            paths.chain(fields).collect()
        })
    }

    /// Returns the path or field of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::all().iter().copied().find(|searched| searched.name == name)
    }

    /// Returns the name of the hidden column.
    pub(crate) fn column(self) -> String {
        format!("sought_{}", self.name)
    }

    /// Returns whether rows are searched by this value.
    pub(crate) fn is_by(self, value: &Value) -> bool {
        if self.is_text { matches!(value, Value::Text(_)) } else { matches!(value, Value::Integer(_)) }
    }

    /// Returns the condition that the path or field has one of these values.
    pub(super) fn condition(self, values: Vec<Sought>) -> Condition {
        let or_has = is_path(self.name).then_some(DOUBT);
        Condition { is_field: self.is_field, or_has, ..Condition::new(self.name, values) }
    }
}
