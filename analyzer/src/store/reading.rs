//! Turns SQLite's orders and conditions into an order of rows and a range of times, for all virtual tables.

use std::ffi::c_int;

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::vtab::{Filters, IndexConstraintOp, IndexInfo};

use store::Sought;

use super::scan::Order;

/// Number that SQLite gives the row id in conditions and orders.
const ROWID: c_int = -1;

/// Numbers of the columns that rows can be ordered and selected by.
pub(super) struct Numbers {
    pub(super) id: c_int,
    pub(super) time: Option<c_int>,
    pub(super) boot_ns: Option<c_int>,
}

/// How a statement reads a table.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// The order that SQLite relies on.
    pub(super) order: Option<Order>,
    /// Indexes of the conditions that are the beginning and the end of the times asked for. After [`Self::from_number`] only
    /// whether there is one.
    since: Option<usize>,
    until: Option<usize>,
}

impl Plan {
    /// Returns the plan for the orders and conditions that SQLite offers.
    pub(super) fn of(info: &IndexInfo, numbers: &Numbers) -> Self {
        let mut plan = Self { order: order(info, numbers), since: None, until: None };
        for (index, constraint) in info.constraints().enumerate().filter(|(_, one)| one.is_usable()) {
            if Some(constraint.column()) != numbers.time {
                continue;
            }
            match constraint.operator() {
                IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE
                | IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT => {
                    plan.since.get_or_insert(index);
                }
                IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE
                | IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT => {
                    plan.until.get_or_insert(index);
                }
                _ => {}
            }
        }
        plan
    }

    /// Asks SQLite for the bounds of the time as the first arguments; returns their number. SQLite tests each row again: here
    /// only whole batches are left out.
    pub(super) fn take(&self, info: &mut IndexInfo) -> c_int {
        let mut taken = 0;
        for index in self.since.into_iter().chain(self.until) {
            taken += 1;
            info.constraint_usage(index).set_argv_index(taken);
        }
        taken
    }

    pub(super) fn to_number(self) -> c_int {
        let order = self.order.unwrap_or_default();
        [self.since.is_some(), self.until.is_some(), order.by_time, order.is_reversed]
            .iter()
            .enumerate()
            .map(|(bit, is_set)| c_int::from(*is_set) << bit)
            .sum()
    }

    pub(super) fn from_number(number: c_int) -> Self {
        let is_set = |bit: c_int| number >> bit & 1 == 1;
        let order = Order { by_time: is_set(2), is_reversed: is_set(3) };
        Self { order: Some(order), since: is_set(0).then_some(0), until: is_set(1).then_some(0) }
    }

    /// Returns the number of arguments that are bounds of the time.
    pub(super) fn bound_count(self) -> usize {
        self.since.into_iter().chain(self.until).count()
    }

    /// Returns the bounds of the time among the arguments.
    pub(super) fn bounds(self, arguments: &Filters<'_>) -> (i64, i64) {
        let mut bounds = arguments.iter().map(|value| value.as_i64_or_null().ok().flatten());
        let mut bound = |is_there: bool, otherwise| {
            if is_there { bounds.next().flatten().unwrap_or(otherwise) } else { otherwise }
        };
        (bound(self.since.is_some(), i64::MIN), bound(self.until.is_some(), i64::MAX))
    }
}

/// A condition that a column equals a value, or one of a list of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Equal {
    /// Number of the column.
    pub(super) column: c_int,
    is_list: bool,
}

impl Equal {
    /// Asks SQLite for the values of such conditions on columns for which `wants` is true. They become the arguments after the first
    /// `taken` ones. SQLite tests each row again.
    pub(super) fn take(info: &mut IndexInfo, mut taken: c_int, wants: impl Fn(c_int) -> bool) -> Vec<Self> {
        let mut found = Vec::new();
        for (index, column) in equalities(info, wants) {
            let is_list = info.is_in_constraint(index).unwrap_or_default();
            // Otherwise each value of the list would be looked for in all rows.
            if is_list && !info.set_in_constraint(index, true).unwrap_or_default() {
                continue;
            }
            taken += 1;
            info.constraint_usage(index).set_argv_index(taken);
            found.push(Self { column, is_list });
        }
        found
    }

    /// Returns the conditions as a text that [`Self::read`] understands.
    pub(super) fn to_text(found: &[Self]) -> String {
        let one = |one: &Self| format!(",{}{}", if one.is_list { "+" } else { "" }, one.column);
        found.iter().map(one).collect()
    }

    /// Returns the conditions of such a text with their values, which are the arguments from `first` on. A condition is left out if
    /// rows can't be looked for by one of its values.
    pub(super) fn read<'a>(
        texts: impl Iterator<Item = &'a str>,
        arguments: &Filters<'_>,
        first: usize,
    ) -> rusqlite::Result<Vec<(c_int, Vec<Sought>)>> {
        let mut conditions = Vec::new();
        for (text, index) in texts.zip(first..arguments.len()) {
            let is_list = text.starts_with('+');
            let Ok(column) = text.trim_start_matches('+').parse() else { continue };
            let values = if is_list { list(arguments, index)? } else { one(arguments, index) };
            conditions.extend(values.map(|values| (column, values)));
        }
        Ok(conditions)
    }
}

fn one(arguments: &Filters<'_>, index: usize) -> Option<Vec<Sought>> {
    match arguments.iter().nth(index) {
        // Nothing equals it.
        Some(ValueRef::Null) | None => Some(Vec::new()),
        Some(value) => sought(value).map(|value| vec![value]),
    }
}

/// Returns the values of a list; `None` if rows can't be looked for by one of them.
fn list(arguments: &Filters<'_>, index: usize) -> rusqlite::Result<Option<Vec<Sought>>> {
    let (mut found, mut values) = (Vec::new(), arguments.in_values(index)?);
    while let Some(value) = values.next()? {
        match sought(value) {
            Some(value) => found.push(value),
            None if matches!(value, ValueRef::Null) => {}
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Returns the conditions that a column equals a value, and the numbers of the columns, of those for which `wants` is true.
fn equalities(info: &IndexInfo, wants: impl Fn(c_int) -> bool) -> Vec<(usize, c_int)> {
    let constraints = info.constraints().enumerate().filter(|(_, constraint)| {
        constraint.is_usable()
            && constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ
            && wants(constraint.column())
    });
    // With other collations, different texts can be equal.
    let fits = |index: usize| info.collation(index).is_ok_and(|name| name == "BINARY");
    let constraints = constraints.map(|(index, constraint)| (index, constraint.column()));
    constraints.filter(|(index, _)| fits(*index)).collect()
}

/// Returns a value that rows are looked for by; `None` if no batch is left out for it.
fn sought(value: ValueRef<'_>) -> Option<Sought> {
    match value {
        ValueRef::Integer(number) => Some(Sought::Int(number)),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(|text| Sought::Text(text.to_owned())),
        ValueRef::Blob(bytes) => Some(Sought::Bytes(bytes.to_owned())),
        ValueRef::Null | ValueRef::Real(_) => None,
    }
}

/// Returns the order asked for, if rows can be read in it; the natural one, if none is asked for.
fn order(info: &IndexInfo, numbers: &Numbers) -> Option<Order> {
    let asked: Vec<(c_int, bool)> = info.order_bys().map(|by| (by.column(), by.is_order_by_desc())).collect();
    let is_reversed = asked.first().is_some_and(|(_, is_reversed)| *is_reversed);
    if asked.iter().any(|(_, other)| *other != is_reversed) {
        return None;
    }
    let is_id = |number: c_int| number == numbers.id || number == ROWID;
    let by_time = match asked.as_slice() {
        [] => false,
        [(number, _)] if is_id(*number) => false,
        [(number, _), rest @ ..] if Some(*number) == numbers.time => match rest {
            [] => true,
            [(number, _), rest @ ..] if Some(*number) == numbers.boot_ns => match rest {
                [] => true,
                [(number, _)] if is_id(*number) => true,
                _ => return None,
            },
            _ => return None,
        },
        _ => return None,
    };
    Some(Order { by_time, is_reversed })
}

/// Returns an error of the store as SQLite passes it on.
pub(super) fn of_sqlite(error: store::Error) -> rusqlite::Error {
    match error {
        store::Error::Sqlite(error) => error,
        other => rusqlite::Error::ModuleError(full_text(&other)),
    }
}

/// Returns an error with its causes.
fn full_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
