//! A table of SQL with the rows of a tracer from all collectors, with typed columns: a virtual table of SQLite, read-only.
//!
//! SQLite calls it from C, and rusqlite's traits for it are unsafe to implement. Everything else is in [`super::typed`].

#![expect(unsafe_code, reason = "the traits of virtual tables are unsafe to implement")]

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::rc::Rc;
use std::sync::Arc;

use model::schema::Column;
use rusqlite::types::Null;
use rusqlite::vtab::{
    Context, CreateVTab, Filters, IndexInfo, Module, VTab, VTabConfig, VTabConnection, VTabCursor, VTabKind,
    sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use store::typed::Value;
use store::{Condition, Reader, Selection};

use super::reading::{Equal, Numbers, Plan};
use super::scan::Wanted;
use super::typed::{Asked, OWN, Source, TypedScan, sql_type};
use crate::store::quote;

/// Number of the column `id`.
const ID: c_int = 0;
/// Number of the column `collector_id`.
const COLLECTOR: c_int = 1;
/// Number of the hidden column `extended`.
const EXTENDED: c_int = 2;

/// Adds a table of this name to the connection's own (TEMP) tables.
pub(crate) fn add_table(connection: &Connection, name: &str, source: Source) -> Result<()> {
    const MODULE: Module<'_, TypedTable> = Module::read_only_module();
    let module = format!("duetector_typed:{name}");
    connection.create_module(module.as_str(), &MODULE, Some(Arc::new(Shared(source))))?;
    connection.execute_batch(&format!("CREATE VIRTUAL TABLE temp.{} USING {}", quote(name), quote(&module)))
}

/// Where the rows come from, as the module keeps it.
struct Shared(Source);

/// The table, as SQLite sees it.
#[repr(C)]
struct TypedTable {
    /// SQLite's own part, which must be first.
    base: sqlite3_vtab,
    inner: Rc<Inner>,
}

/// The part of the table that its cursors share.
struct Inner {
    /// The connection that the table is part of, so that all that one statement reads is of one moment.
    connection: Connection,
    reader: Reader,
    source: Rc<Source>,
    numbers: Numbers,
}

// SAFETY: the struct is `repr(C)`, and SQLite's part is its first field.
unsafe impl<'vtab> VTab<'vtab> for TypedTable {
    type Aux = Arc<Shared>;
    type Cursor = TypedCursor;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _: &[u8],
        _: &[u8],
        _: &[u8],
        _: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        // It only reads: views may use it.
        db.config(VTabConfig::Innocuous)?;
        // SAFETY: SQLite drops the table before it closes the connection, which this handle does not own.
        let connection = unsafe { Connection::from_handle(db.handle())? };
        let source = Rc::new(aux.ok_or(Error::InvalidQuery)?.0.clone());
        let columns =
            source.columns.iter().map(|(name, kind)| format!("{} {}", quote(name), sql_type(*kind)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let sql = format!("CREATE TABLE x (id INTEGER, collector_id TEXT, extended TEXT HIDDEN, {columns})");
        let sql = CString::new(sql).map_err(|_| Error::InvalidQuery)?;
        let number = |wanted: Column| {
            let index = source.columns.iter().position(|(name, _)| name == wanted.name());
            index.and_then(|index| c_int::try_from(index + OWN).ok())
        };
        let numbers = Numbers { id: ID, time: number(Column::Time), boot_ns: number(Column::BootNs) };
        let inner = Rc::new(Inner { connection, reader: Reader::counting(&source.reads), source, numbers });
        Ok((sql.into(), Self { base: sqlite3_vtab::default(), inner }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let source = &self.inner.source;
        let mut plan = Plan::of(info, &self.inner.numbers);
        if source.streams.len() > 1 && info.num_of_order_by() > 0 {
            plan.order = None;
        }
        let taken = plan.take(info);
        let is_stored = |number| of_batch(number).is_some_and(|column| column < source.columns.len());
        let equal = Equal::take(info, taken, is_stored);
        let text = format!("{}{}", info.col_used(), Equal::to_text(&equal));
        info.set_order_by_consumed(plan.order.is_some() && info.num_of_order_by() > 0);
        // All rows of the times asked for are read, whatever is looked for in them.
        let rows = source.rows.max(1) as f64 / if taken > 0 { 4.0 } else { 1.0 };
        let selected = equal.iter().fold(rows, |rows, _| rows / 20.0).max(1.0);
        info.set_estimated_cost(rows + selected);
        info.set_estimated_rows(selected as i64);
        info.set_idx_num(plan.to_number() | c_int::from(info.num_of_order_by() > 0) << 8);
        info.set_idx_str(&text);
        Ok(true)
    }

    fn open(&'vtab mut self) -> Result<TypedCursor> {
        Ok(TypedCursor { base: sqlite3_vtab_cursor::default(), inner: self.inner.clone(), scan: None })
    }
}

impl CreateVTab<'_> for TypedTable {
    const KIND: VTabKind = VTabKind::Default;
}

/// Returns the index of a column among those of batches.
fn of_batch(number: c_int) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(OWN)
}

/// A scan of the table, as SQLite sees it.
#[repr(C)]
struct TypedCursor {
    /// SQLite's own part, which must be first.
    base: sqlite3_vtab_cursor,
    inner: Rc<Inner>,
    scan: Option<TypedScan>,
}

// SAFETY: the struct is `repr(C)`, and SQLite's part is its first field.
unsafe impl VTabCursor for TypedCursor {
    fn filter(&mut self, number: c_int, text: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        let Inner { connection, reader, source, .. } = &*self.inner;
        let plan = Plan::from_number(number & 0xff);
        let (since, until) = plan.bounds(arguments);
        let mut parts = text.unwrap_or_default().split(',');
        let mask: u64 = parts.next().and_then(|mask| mask.parse().ok()).unwrap_or(u64::MAX);
        let mut used = source.used(mask);
        let mut conditions = Vec::new();
        for (number, values) in Equal::read(parts, arguments, plan.bound_count())? {
            let Some(column) = of_batch(number).filter(|column| *column < used.len()) else { continue };
            used[column] = true;
            conditions.push(Condition::new(&source.columns[column].0, values));
        }
        let columns = source.wants(&used, mask >> EXTENDED & 1 == 1);
        let selection = Selection { since, until, conditions };
        let wanted = Wanted { order: plan.order.unwrap_or_default(), columns, selection };
        let asked = Asked { wanted, is_ordered: number >> 8 & 1 == 1, used };
        self.scan = Some(TypedScan::begin(connection, reader, source.clone(), asked)?);
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        let Inner { connection, reader, .. } = &*self.inner;
        match &mut self.scan {
            Some(scan) => scan.next(connection, reader),
            None => Ok(()),
        }
    }

    fn eof(&self) -> bool {
        self.scan.as_ref().is_none_or(TypedScan::is_over)
    }

    fn column(&self, context: &mut Context, number: c_int) -> Result<()> {
        let Some(scan) = &self.scan else { return Ok(()) };
        if let Some(column) = of_batch(number) {
            return match scan.value(column) {
                Value::Null => context.set_result(Null),
                Value::Int(number) => context.set_result(number),
                Value::Real(number) => context.set_result(number),
                Value::Text(text) => context.set_result(&*text),
                Value::Bytes(bytes) => context.set_result(bytes),
            };
        }
        if number == ID {
            context.set_result(scan.id())
        } else if number == COLLECTOR {
            context.set_result(scan.collector_id())
        } else {
            context.set_result(scan.extended())
        }
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.scan.as_ref().map_or(0, TypedScan::row_id))
    }
}
