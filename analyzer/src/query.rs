//! A query to the store, as data.

mod columns;
mod condition;
mod matching;
mod parts;
mod plan;
mod sql;

pub(crate) use columns::Names;
pub use condition::{Condition, Where};
pub use matching::Undecided;
pub(crate) use matching::{Matching, Tally};
pub(crate) use sql::lacks_times;

use expression::Expression;

/// Number of rows in an answer unless the query sets another limit.
pub const DEFAULT_LIMIT: u64 = 20;

/// A query: rows to select, columns to show, order. An empty list selects all.
///
/// A column is one of [`model::schema::COLUMNS`], `tracer`, `collector_id`, `id`, or a field of `extended`:
/// `extended.flags`, or `flags` alone where no column has that name and some row has the field.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Only rows of these tracers, by the names they are stored under.
    pub tracers: Vec<String>,
    /// Only rows that this collector wrote.
    pub collector_id: Option<String>,
    /// Conditions; all must be true of a row.
    pub wheres: Vec<Condition>,
    /// Expressions; all must be true of a row.
    pub expressions: Vec<Expression>,
    /// Only rows not before this `time`, which [`crate::when::since`] returns.
    pub since: Option<i64>,
    /// Only rows not after this `time`, which [`crate::when::until`] returns.
    pub until: Option<i64>,
    /// The columns to show, in this order.
    pub columns: Vec<String>,
    /// Columns to order by. Rows that are equal in them are ordered by `time` and the boot clock, then by tracer, collector and the order in
    /// which they are stored, so that no two rows are equal: `start` and `limit` divide any answer into the same pages.
    pub order_by: Vec<String>,
    /// Reverses the order: newest first.
    pub desc: bool,
    /// Returns rows that are equal in all columns shown only once.
    pub distinct: bool,
    /// Skips this many rows, counted over all tables.
    pub start: u64,
    /// Returns at most this many rows, counted over all tables; 0 is no limit.
    pub limit: u64,
    /// Takes names of fields that no row has; rows that come later may have them.
    pub any_field: bool,
    /// Lets SQLite test single columns before it evaluates expressions. The answer is the same; it comes sooner.
    pub narrow: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            tracers: Vec::new(),
            collector_id: None,
            wheres: Vec::new(),
            expressions: Vec::new(),
            since: None,
            until: None,
            columns: Vec::new(),
            order_by: Vec::new(),
            desc: false,
            distinct: false,
            start: 0,
            limit: DEFAULT_LIMIT,
            any_field: false,
            narrow: true,
        }
    }
}

impl Query {
    /// Adds a condition or an expression, which must be true of a row, too.
    pub fn add(&mut self, wanted: Where) {
        match wanted {
            Where::Equal(condition) => self.wheres.push(condition),
            Where::Expression(expression) => self.expressions.push(expression),
        }
    }
}

/// Returns the columns that are shown if a query names none, in order.
pub(crate) fn tracking_names() -> impl Iterator<Item = String> {
    columns::tracking().into_iter().map(|(name, _)| name)
}
