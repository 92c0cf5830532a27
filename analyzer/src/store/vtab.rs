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
    Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use store::layout::OTHER;
use store::{Cell, Reader};

use super::reading::{Numbers, Plan, equalities, of_sqlite, sought};
use super::scan::{Damaged, Found, Scan, Wanted, Wants};

/// Columns for whose values batches are left out.
const NARROWING: [Column; 2] = [Column::ExecId, Column::Fname];
/// Hidden column after those of [`COLUMNS`], which says whether a path of the row may be in doubt.
pub(crate) const IN_DOUBT: &str = "in_doubt";
/// Field that a row has if a path of it is in doubt.
const DOUBT: &str = "path_incomplete";
/// Number of the column `id`; those of [`COLUMNS`] follow.
const ID: c_int = 0;

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
        let columns = columns.join(", ");
        let sql = format!("CREATE TABLE x (id INTEGER, {columns}, {IN_DOUBT} INTEGER HIDDEN)");
        let sql = CString::new(sql).map_err(|_| Error::InvalidQuery)?;
        Ok((sql.into(), Self { base: sqlite3_vtab::default(), source }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let plan = Plan::of(info, &numbers());
        let mut taken = plan.take(info);
        let mut text = info.col_used().to_string();
        for (index, column) in
            equalities(info, |number| column(number).is_some_and(|it| NARROWING.contains(&it)))
        {
            taken += 1;
            // SQLite tests each row again.
            info.constraint_usage(index).set_argv_index(taken);
            text.push_str(&format!(",{column}"));
        }
        info.set_order_by_consumed(plan.order.is_some());
        info.set_estimated_cost(1e7 / f64::from(1 + 3 * i32::from(taken > 0)));
        info.set_idx_num(plan.to_number());
        info.set_idx_str(&text);
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

/// Returns the numbers of the columns that rows can be ordered and selected by.
fn numbers() -> Numbers {
    let number = |wanted: Column| {
        let index = COLUMNS.iter().position(|column| *column == wanted);
        index.and_then(|index| c_int::try_from(index + 1).ok())
    };
    Numbers { id: ID, time: number(Column::Time), boot_ns: number(Column::BootNs) }
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
    fn filter(&mut self, number: c_int, text: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        let plan = Plan::from_number(number);
        let (since, until) = plan.bounds(arguments);
        let mut parts = text.unwrap_or_default().split(',');
        let used: u64 = parts.next().and_then(|used| used.parse().ok()).unwrap_or(u64::MAX);
        let values = parts.zip(arguments.iter().skip(plan.bound_count()));
        let equal = values.filter_map(|(number, value)| {
            let column = column(number.parse().ok()?)?;
            Some((column.name().to_owned(), sought(value)?))
        });
        let equal = equal.collect();
        let is_used = |column: Column| {
            let index = COLUMNS.iter().position(|known| *known == column);
            index.is_some_and(|index| used >> (index + 1) & 1 == 1)
        };
        let names = COLUMNS.iter().filter(|column| is_used(**column)).map(|column| column.name());
        let is_doubt_used = used >> (COLUMNS.len() + 1) & 1 == 1;
        let doubt = [DOUBT, OTHER].into_iter().filter(|_| is_doubt_used);
        let names = names.chain(doubt).map(str::to_owned);
        let columns = Wants::new(names, is_used(Column::Extended));
        let wanted = Wanted { order: plan.order.unwrap_or_default(), since, until, columns, equal };
        let Source { connection, reader, stream, .. } = &*self.source;
        self.scan = Some(Scan::begin(connection, reader, *stream, wanted)?);
        self.next()
    }

    fn next(&mut self) -> Result<()> {
        let Source { connection, reader, damaged, .. } = &*self.source;
        self.extended = OnceCell::new();
        let Some(scan) = &mut self.scan else { return Ok(()) };
        self.found = scan.next(connection, reader, damaged).map_err(of_sqlite)?;
        Ok(())
    }

    fn eof(&self) -> bool {
        self.found.is_none()
    }

    fn column(&self, context: &mut Context, number: c_int) -> Result<()> {
        let Some(Found { rows, row, id }) = &self.found else { return Ok(()) };
        match column(number) {
            None if number > ID => context.set_result(rows.has_field(*row, DOUBT)),
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
