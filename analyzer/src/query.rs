//! A query to the store, as data.

mod columns;
mod matching;
mod plan;
mod sql;

pub use matching::Undecided;
pub(crate) use matching::{Matching, Tally};
pub(crate) use sql::quote;

use std::str::FromStr;

use expression::Expression;

use crate::Error;

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
    /// Only rows not before this `dt`, as text that [`crate::when::parse`] returns.
    pub since: Option<String>,
    /// Only rows not after this `dt`, as text.
    pub until: Option<String>,
    /// The columns to show, in this order.
    pub columns: Vec<String>,
    /// Columns to order by. Rows that are equal in them are ordered by `dt`, then as they are stored.
    pub order_by: Vec<String>,
    /// Reverses the order: newest first.
    pub desc: bool,
    /// Returns rows that are equal in all columns shown only once.
    pub distinct: bool,
    /// Skips this many rows, counted over all tables.
    pub start: u64,
    /// Returns at most this many rows, counted over all tables; 0 is no limit.
    pub limit: u64,
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
            narrow: true,
        }
    }
}

/// A condition: a column equals a value, or is null.
///
/// ```
/// use analyzer::Condition;
/// assert_eq!("comm=a=b".parse::<Condition>()?, Condition::equal("comm", "a=b"));
/// assert_eq!("fname=null".parse::<Condition>()?, Condition::null("fname"));
/// # Ok::<(), analyzer::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Name of the column or field.
    pub column: String,
    /// The value it must equal; `None` if it must be null or absent.
    pub value: Option<String>,
}

impl Condition {
    /// Returns the condition that `column` equals `value`: as a number if the column or field holds one, else as text.
    pub fn equal(column: &str, value: &str) -> Self {
        Self { column: column.to_owned(), value: Some(value.to_owned()) }
    }

    /// Returns the condition that `column` is null.
    pub fn null(column: &str) -> Self {
        Self { column: column.to_owned(), value: None }
    }
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('=') {
            Some((column, "null")) if !column.trim().is_empty() => Ok(Self::null(column.trim())),
            Some((column, value)) if !column.trim().is_empty() => Ok(Self::equal(column.trim(), value)),
            _ => Err(Error::BadCondition { found: text.to_owned() }),
        }
    }
}

/// Returns the columns that are shown if a query names none, in order.
pub(crate) fn tracking_names() -> impl Iterator<Item = String> {
    columns::tracking().into_iter().map(|(name, _)| name)
}
