//! Some rows of one tracer with the values of a few columns, whatever kind of file they come from.

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use store::Selection;
use store::typed::{Value, Values};

/// The rows and columns that are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    /// Tracer of the rows.
    pub(crate) tracer: &'a str,
    /// Names of the columns and fields, in the order in which [`Chunk`] has them.
    pub(crate) columns: &'a [&'static str],
    /// Selects rows. Conditions leave out what need not be read: rows that do not fulfil them may come, too.
    pub(crate) selection: &'a Selection,
}

/// Some rows of one tracer.
#[derive(Debug)]
pub(crate) struct Chunk<'a> {
    collector_id: &'a str,
    columns: Vec<Values>,
    rows: usize,
}

impl<'a> Chunk<'a> {
    pub(super) fn new(collector_id: &'a str, columns: Vec<Values>, rows: usize) -> Self {
        Self { collector_id, columns, rows }
    }

    /// Returns the collector that wrote the rows.
    pub(crate) fn collector_id(&self) -> &'a str {
        self.collector_id
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Returns a whole number, a truth value as 0 or 1, or a point in time in nanoseconds; `None` if the row has none.
    #[inline]
    pub(crate) fn int(&self, row: usize, column: usize) -> Option<i64> {
        match self.columns.get(column)?.value(row) {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    /// Returns a number that is not negative, exact.
    #[inline]
    pub(crate) fn uint(&self, row: usize, column: usize) -> Option<u64> {
        match self.columns.get(column)? {
            Values::UInt64(array) => array.is_valid(row).then(|| array.value(row)),
            other => match other.value(row) {
                Value::Int(number) => u64::try_from(number).ok(),
                _ => None,
            },
        }
    }

    /// Returns a text.
    #[inline]
    pub(crate) fn text(&self, row: usize, column: usize) -> Option<&str> {
        match self.columns.get(column)? {
            Values::Text(array) if array.is_valid(row) => Some(array.value(row)),
            _ => None,
        }
    }

    /// Returns the texts of a list; none if the row has no list.
    pub(crate) fn texts(&self, row: usize, column: usize) -> impl Iterator<Item = &str> {
        let list = match self.columns.get(column) {
            Some(Values::Texts(array)) if array.is_valid(row) => Some(array),
            _ => None,
        };
        list.into_iter().flat_map(move |array| {
            let (from, to) = (array.value_offsets()[row], array.value_offsets()[row + 1]);
            let texts = array.values().as_string::<i32>();
            (from as usize..to as usize).map(|index| texts.value(index))
        })
    }
}
