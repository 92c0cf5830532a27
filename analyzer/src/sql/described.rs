//! The description of a table or view.

use model::schema::{COLUMNS, Column};

/// Names of the views.
pub(super) const VIEWS: [&str; 4] = ["events", "files", "losses", "processes"];

/// A table or view that SQL can ask.
#[derive(Clone, Debug)]
pub(super) struct Described {
    /// Name in SQL.
    pub(super) name: String,
    /// A sentence about its rows.
    pub(super) about: String,
    /// The tracer whose rows it has; `None` for a view over several.
    pub(super) tracer: Option<String>,
    /// Names, types and sentences of its columns.
    pub(super) columns: Vec<(String, String, String)>,
    /// The statement whose rows are all rows with the columns of [`COLUMNS`], as the view `events` has them.
    pub(super) events: Option<String>,
    /// Whether it has rows in this store.
    pub(super) has_rows: bool,
}

impl Described {
    /// Returns the names of its columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, ..)| name.as_str())
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.names().any(|name| name == column)
    }
}

/// Returns the columns of `events` after tracer, collector and number.
pub(super) fn event_columns() -> impl Iterator<Item = Column> {
    let (mut first, mut last): (Vec<Column>, Vec<Column>) =
        COLUMNS.iter().copied().partition(|column| *column == Column::Time);
    last.sort_by_key(|column| *column == Column::Extended);
    first.append(&mut last);
    first.into_iter()
}
