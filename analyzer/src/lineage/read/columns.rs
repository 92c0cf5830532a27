//! Values of columns in a batch.

use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use store::BatchRows;
use store::typed::{Value, Values};

/// The values of one column.
pub(super) struct Column(Values);

impl Column {
    pub(super) fn of(rows: &BatchRows, name: &str) -> Self {
        Self(Values::of(rows, name))
    }

    /// Returns a number; the exact one, also of unsigned numbers that no signed one holds.
    pub(super) fn number(&self, row: usize) -> Option<u64> {
        if let Values::UInt64(array) = &self.0 {
            return array.is_valid(row).then(|| array.value(row));
        }
        self.signed(row).map(i64::cast_unsigned)
    }

    /// Returns a signed number, or a point in time.
    pub(super) fn signed(&self, row: usize) -> Option<i64> {
        match self.0.value(row) {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn text(&self, row: usize) -> Option<&str> {
        match &self.0 {
            Values::Text(array) if array.is_valid(row) => Some(array.value(row)),
            _ => None,
        }
    }

    /// Calls `visit` with each text of a list.
    pub(super) fn texts(&self, row: usize, visit: &mut dyn FnMut(&str)) {
        if let Values::Texts(array) = &self.0
            && array.is_valid(row)
        {
            array.value(row).as_string::<i32>().iter().flatten().for_each(visit);
        }
    }

    /// Returns whether a list has a text.
    pub(super) fn has(&self, row: usize, wanted: &str) -> bool {
        let mut is_there = false;
        self.texts(row, &mut |text| is_there |= text == wanted);
        is_there
    }
}

/// Reads columns by their names.
macro_rules! columns {
    ($name:ident { $($column:ident),+ $(,)? }) => {
        struct $name { $($column: Column,)+ }

        impl $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($column)),+];

            fn of(rows: &store::BatchRows) -> Self {
                Self { $($column: Column::of(rows, stringify!($column)),)+ }
            }
        }
    };
}
pub(super) use columns;
