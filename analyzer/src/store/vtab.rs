//! A table of SQL whose rows are those of a stream of a columnar store: a virtual table of SQLite, read-only. It has the
//! columns of a table of duetector's layout, so that queries are the same for both.
//!
//! SQLite calls it from C, and rusqlite's traits for it are unsafe to implement. Everything else is in [`super::scan`].

#![expect(unsafe_code, reason = "the traits of virtual tables are unsafe to implement")]

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::{CStr, CString, c_int};
use std::rc::Rc;

use model::schema::{COLUMNS, Column};
use rusqlite::types::Null;
use rusqlite::vtab::{
    Context, Filters, IndexConstraintOp, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab,
    sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use store::{Cell, Reader};

use super::scan::{Damaged, Found, Order, Scan, Wanted};

/// Number of the column `id`; those of [`COLUMNS`] follow.
const ID: c_int = 0;
/// Number that SQLite gives the row id in constraints and orders.
const ROWID: c_int = -1;

/// Adds a table of this name to the connection, which has the rows of a stream. The name is valid on this connection only.
pub(super) fn add_table(connection: &Connection, name: &str, stream: i64, damaged: Damaged) -> Result<()> {
    const MODULE: Module<'_, StreamTable> = Module::eponymous_only_module();
    connection.create_module(name, &MODULE, Some((stream, damaged)))
}

/// The table, as SQLite sees it.
#[repr(C)]
struct StreamTable {
    /// SQLite's own part, which must be first.
    base: sqlite3_vtab,
    source: Rc<Source>,
}

/// Where the table's rows come from.
struct Source {
    /// The connection that the table is part of, so that all that one statement reads is of one moment.
    connection: Connection,
    reader: Reader,
    stream: i64,
    /// Where batches that can't be read are noted.
    damaged: Damaged,
}

// SAFETY: the struct is `repr(C)`, and SQLite's part is its first field.
unsafe impl<'vtab> VTab<'vtab> for StreamTable {
    type Aux = (i64, Damaged);
    type Cursor = StreamCursor;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        // SAFETY: SQLite drops the table before it closes the connection, which this handle does not own.
        let connection = unsafe { Connection::from_handle(db.handle())? };
        let (stream, damaged) = aux.cloned().unwrap_or_default();
        let source = Rc::new(Source { connection, reader: Reader::default(), stream, damaged });
        let columns: Vec<String> = COLUMNS.iter().map(declaration).collect();
        let sql = format!("CREATE TABLE x (id INTEGER, {})", columns.join(", "));
        let sql = CString::new(sql).map_err(|_| Error::InvalidQuery)?;
        Ok((sql.into(), Self { base: sqlite3_vtab::default(), source }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let mut plan = Plan { order: order(info), is_since: false, is_until: false };
        let mut taken = Vec::new();
        for (index, constraint) in info.constraints().enumerate().filter(|(_, one)| one.is_usable()) {
            if column(constraint.column()) != Some(Column::Time) {
                continue;
            }
            match constraint.operator() {
                IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GE
                | IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_GT
                    if !plan.is_since =>
                {
                    plan.is_since = true;
                    taken.push((index, 1));
                }
                IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LE
                | IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_LT
                    if !plan.is_until =>
                {
                    plan.is_until = true;
                    taken.push((index, 2));
                }
                _ => {}
            }
        }
        // The arguments are in order: first the beginning, then the end.
        taken.sort_by_key(|(_, kind)| *kind);
        for ((index, _), number) in taken.iter().zip(1..) {
            // SQLite tests each row again: here only whole batches are left out.
            info.constraint_usage(*index).set_argv_index(number);
        }
        info.set_order_by_consumed(plan.order.is_some());
        info.set_estimated_cost(1e7 / f64::from(1 + 3 * i32::from(!taken.is_empty())));
        let used = info.col_used();
        info.set_idx_num(plan.to_number());
        info.set_idx_str(&used.to_string());
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<StreamCursor> {
        Ok(StreamCursor {
            base: sqlite3_vtab_cursor::default(),
            source: self.source.clone(),
            scan: None,
            found: None,
            extended: OnceCell::new(),
        })
    }
}

fn declaration(column: &Column) -> String {
    use model::schema::ColumnKind;
    let kind = match column.kind() {
        ColumnKind::Integer | ColumnKind::Time => "INTEGER",
        ColumnKind::Text | ColumnKind::DateTime | ColumnKind::Json => "TEXT",
    };
    format!("{} {kind}", column.name())
}

fn column(number: c_int) -> Option<Column> {
    COLUMNS.get(usize::try_from(number - 1).ok()?).copied()
}

/// How a statement reads the table.
#[derive(Clone, Copy)]
struct Plan {
    /// The order that SQLite relies on.
    order: Option<Order>,
    is_since: bool,
    is_until: bool,
}

impl Plan {
    fn to_number(self) -> c_int {
        let order = self.order.unwrap_or_default();
        [self.is_since, self.is_until, order.by_time, order.is_reversed]
            .iter()
            .enumerate()
            .map(|(bit, is_set)| c_int::from(*is_set) << bit)
            .sum()
    }

    fn from_number(number: c_int) -> Self {
        let is_set = |bit: c_int| number >> bit & 1 == 1;
        let order = Order { by_time: is_set(2), is_reversed: is_set(3) };
        Self { order: Some(order), is_since: is_set(0), is_until: is_set(1) }
    }
}

/// Returns the order asked for, if rows can be read in it; the natural one, if none is asked for.
fn order(info: &IndexInfo) -> Option<Order> {
    let asked: Vec<(c_int, bool)> = info.order_bys().map(|by| (by.column(), by.is_order_by_desc())).collect();
    let is_reversed = asked.first().is_some_and(|(_, is_reversed)| *is_reversed);
    if asked.iter().any(|(_, other)| *other != is_reversed) {
        return None;
    }
    let is_id = |number: c_int| number == ID || number == ROWID;
    let by_time = match asked.as_slice() {
        [] => false,
        [(number, _)] if is_id(*number) => false,
        [(number, _), rest @ ..] if column(*number) == Some(Column::Time) => match rest {
            [] => true,
            [(number, _), rest @ ..] if column(*number) == Some(Column::BootNs) => match rest {
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

/// A scan of the table, as SQLite sees it.
#[repr(C)]
struct StreamCursor {
    /// SQLite's own part, which must be first.
    base: sqlite3_vtab_cursor,
    source: Rc<Source>,
    scan: Option<Scan>,
    found: Option<Found>,
    /// The row's fields as JSON, once asked for.
    extended: OnceCell<String>,
}

// SAFETY: the struct is `repr(C)`, and SQLite's part is its first field.
unsafe impl VTabCursor for StreamCursor {
    fn filter(&mut self, number: c_int, used: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        let plan = Plan::from_number(number);
        let mut bounds = arguments.iter().map(|value| value.as_i64_or_null().ok().flatten());
        let mut bound = |is_there: bool, otherwise| {
            if is_there { bounds.next().flatten().unwrap_or(otherwise) } else { otherwise }
        };
        let (since, until) = (bound(plan.is_since, i64::MIN), bound(plan.is_until, i64::MAX));
        let used: u64 = used.and_then(|used| used.parse().ok()).unwrap_or(u64::MAX);
        let columns = COLUMNS.iter().enumerate().filter(|(index, _)| used >> (index + 1) & 1 == 1);
        let columns = columns.map(|(_, column)| *column).collect();
        let wanted = Wanted { order: plan.order.unwrap_or_default(), since, until, columns };
        let Source { connection, reader, stream, .. } = &*self.source;
        self.scan = Some(Scan::begin(connection, reader, *stream, wanted)?);
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        let Source { connection, reader, damaged, .. } = &*self.source;
        self.extended = OnceCell::new();
        let Some(scan) = &mut self.scan else { return Ok(()) };
        self.found = scan.next(connection, reader, damaged).map_err(|error| match error {
            store::Error::Sqlite(error) => error,
            other => Error::ModuleError(full_text(&other)),
        })?;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.found.is_none()
    }

    fn column(&self, context: &mut Context, number: c_int) -> Result<()> {
        let Some(Found { rows, row, id }) = &self.found else { return Ok(()) };
        match column(number) {
            None => context.set_result(*id),
            Some(Column::Extended) => context.set_result(
                self.extended
                    .get_or_init(|| serde_json::Value::Object(rows.extended(*row)).to_string())
                    .as_str(),
            ),
            Some(column) => match rows.cell(*row, column) {
                Cell::Null => context.set_result(Null),
                Cell::Int(number) | Cell::Utc(number) => context.set_result(number),
                Cell::Text(text) => context.set_result(text),
                Cell::Local(at) => context.set_result(at.to_text()),
            },
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.found.as_ref().map_or(0, |found| found.id))
    }
}

/// Returns an error with its causes.
fn full_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
