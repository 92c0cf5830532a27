//! A question to the store, as data.

mod columns;
mod matching;
mod plan;
mod sql;

pub(crate) use columns::nearest;
pub use matching::Undecided;
pub(crate) use matching::{Matching, Tally};
pub(crate) use sql::quote;

use std::str::FromStr;

use model::expression::Expression;

use crate::Error;

/// Rows shown when nobody says how many.
pub const DEFAULT_LIMIT: u64 = 20;

/// Which rows, which of their columns, in which order. Empty lists mean "all".
///
/// A column is one of [`model::schema::COLUMNS`], `tracer`, `collector_id`, `id`, or a field of `extended`:
/// `extended.flags`, or `flags` alone where no column has that name and some row has the field.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Only these tracers, by the names they are stored under.
    pub tracers: Vec<String>,
    /// Only rows of this collector.
    pub collector_id: Option<String>,
    /// All of these hold.
    pub wheres: Vec<Condition>,
    /// All of these hold, too.
    pub expressions: Vec<Expression>,
    /// Not before: `dt` text, as [`crate::when::parse`] makes it.
    pub since: Option<String>,
    /// Not after: `dt` text.
    pub until: Option<String>,
    /// Only these columns, in this order.
    pub columns: Vec<String>,
    /// Ordered by these; rows alike in them, and all rows if there are none, by `dt`, then as stored.
    pub order_by: Vec<String>,
    /// The order turned round: newest first.
    pub desc: bool,
    /// Rows alike in all columns shown are one.
    pub distinct: bool,
    /// Leaves out the first so many, of all tables together.
    pub start: u64,
    /// Ends after so many, of all tables together; 0 is no limit.
    pub limit: u64,
    /// Let the store narrow rows down by itself before it asks expressions about them. Changes nothing but the time
    /// it takes.
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

/// A column equals a value, or is null.
///
/// ```
/// use analyzer::Condition;
/// assert_eq!("comm=a=b".parse::<Condition>()?, Condition::equal("comm", "a=b"));
/// assert_eq!("fname=null".parse::<Condition>()?, Condition::null("fname"));
/// # Ok::<(), analyzer::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// What it equals; `None`: it is null, or not there.
    pub value: Option<String>,
}

impl Condition {
    /// `column` equals `value`: as a number where the column or field is one, else as text.
    pub fn equal(column: &str, value: &str) -> Self {
        Self { column: column.to_owned(), value: Some(value.to_owned()) }
    }

    /// `column` is null.
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

/// The columns of a question that names none, in order.
pub(crate) fn tracking_names() -> impl Iterator<Item = String> {
    columns::tracking().into_iter().map(|(name, _)| name)
}
