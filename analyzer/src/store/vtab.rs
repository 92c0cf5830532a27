//! A table of SQL whose rows are those of a stream of a columnar store: a virtual table of SQLite, read-only. It has the
//! columns of a table of duetector's layout, so that queries are the same for both.
//!
//! SQLite calls it from C, and rusqlite's traits for it are unsafe to implement. Everything else is in [`super::scan`].

#![expect(unsafe_code, reason = "the traits of virtual tables are unsafe to implement")]

use std::borrow::Cow;
use std::cell::OnceCell;
use std::ffi::{CStr, CString, c_int};
use std::rc::Rc;
use std::sync::Arc;

use model::schema::{COLUMNS, Column};
use rusqlite::types::Null;
use rusqlite::vtab::{
    Context, Filters, IndexInfo, Module, VTab, VTabConnection, VTabCursor, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Error, Result};
use store::layout::OTHER;
use store::{BatchRows, Cell, Condition, Reader, Reads, Selection, Sought};

use super::reading::{Equal, Numbers, Plan, of_sqlite};
use super::scan::{Damaged, Fields, Found, Scan, Wanted, Wants};
use super::searched::{DOUBT, Searched};

/// Hidden column after those of [`COLUMNS`], which says whether a path of the row may be in doubt.
pub(crate) const IN_DOUBT: &str = "in_doubt";
/// Hidden column after that: `extended` of such rows, and null for others. Those of [`Searched`] follow.
pub(crate) const DOUBTFUL: &str = "extended_in_doubt";
/// Number of the first of these columns.
const HIDDEN: usize = COLUMNS.len() + 1;
/// Number of the column `id`; those of [`COLUMNS`] follow.
const ID: c_int = 0;

/// Adds a table of this name to the connection, which has the rows of a stream. The name is valid on this connection only.
pub(super) fn add_table(
    connection: &Connection,
    name: &str,
    (stream, damaged, reads): (i64, Damaged, Arc<Reads>),
) -> Result<()> {
    const MODULE: Module<'_, StreamTable> = Module::eponymous_only_module();
    connection.create_module(name, &MODULE, Some((stream, damaged, reads)))
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
    type Aux = (i64, Damaged, Arc<Reads>);
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
        let (stream, damaged, reads) = aux.cloned().unwrap_or_default();
        let source = Rc::new(Source { connection, reader: Reader::counting(&reads), stream, damaged });
        let columns: Vec<String> = COLUMNS.iter().map(declaration).collect();
        let columns = columns.join(", ");
        let searched = Searched::all().iter().map(|searched| format!(", {} HIDDEN", searched.column()));
        let searched = searched.collect::<String>();
        let sql = format!(
            "CREATE TABLE x (id INTEGER, {columns}, {IN_DOUBT} INTEGER HIDDEN, {DOUBTFUL} TEXT HIDDEN{searched})"
        );
        let sql = CString::new(sql).map_err(|_| Error::InvalidQuery)?;
        Ok((sql.into(), Self { base: sqlite3_vtab::default(), source }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        let plan = Plan::of(info, &numbers());
        let taken = plan.take(info);
        let wants = |number| column(number).is_some_and(is_compared) || searched(number).is_some();
        let equal = Equal::take(info, taken, wants);
        let mut asked = info.constraints().map(|constraint| constraint.column());
        if asked.any(|number| searched(number).is_some() && equal.iter().all(|one| one.column != number)) {
            // Such a column has no value of its own.
            return Ok(false);
        }
        let text = format!("{}{}", info.col_used(), Equal::to_text(&equal));
        let taken = taken > 0 || !equal.is_empty();
        info.set_order_by_consumed(plan.order.is_some());
        info.set_estimated_cost(1e7 / f64::from(1 + 3 * i32::from(taken)));
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
            sought: Vec::new(),
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

/// Returns whether rows are selected by equality of the column: its values are compared as SQLite compares them.
fn is_compared(column: Column) -> bool {
    use model::schema::ColumnKind;
    matches!(column.kind(), ColumnKind::Integer | ColumnKind::Text)
}

/// Returns the path or field that a hidden column stands for.
fn searched(number: c_int) -> Option<Searched> {
    let index = usize::try_from(number).ok()?.checked_sub(HIDDEN + 2)?;
    Searched::all().get(index).copied()
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
    /// Values that rows are searched by, by the numbers of the hidden columns.
    sought: Vec<(c_int, Sought)>,
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
        let (mut conditions, mut soughts) = (Vec::new(), Vec::new());
        for (number, values) in Equal::read(parts, arguments, plan.bound_count())? {
            if let Some(column) = column(number) {
                conditions.push(Condition::new(column.name(), values));
            } else if let Some(searched) = searched(number) {
                soughts.extend(values.first().map(|value| (number, value.clone())));
                conditions.push(searched.condition(values));
            }
        }
        self.sought = soughts;
        let is_used = |column: Column| {
            let index = COLUMNS.iter().position(|known| *known == column);
            index.is_some_and(|index| used >> (index + 1) & 1 == 1)
        };
        let names = COLUMNS.iter().filter(|column| is_used(**column)).map(|column| column.name());
        let is_hidden_used = |index: usize| used >> (HIDDEN + index) & 1 == 1;
        let (is_doubt_used, is_doubtful_used) = (is_hidden_used(0), is_hidden_used(1));
        let doubt = [DOUBT, OTHER].into_iter().filter(|_| is_doubt_used || is_doubtful_used);
        let names = names.chain(doubt).map(str::to_owned);
        let fields = match (is_used(Column::Extended), is_doubtful_used) {
            (true, _) => Fields::All,
            (false, true) => Fields::Having(DOUBT),
            (false, false) => Fields::None,
        };
        let columns = Wants::new(names, fields);
        let selection = Selection { since, until, conditions };
        let wanted = Wanted { order: plan.order.unwrap_or_default(), columns, selection };
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
            None if searched(number).is_some() => {
                // The row is one of those found by this value.
                match self.sought.iter().find(|(known, _)| *known == number).map(|(_, value)| value) {
                    Some(Sought::Int(number)) => context.set_result(number),
                    Some(Sought::Text(text)) => context.set_result(text.as_str()),
                    Some(Sought::Bytes(bytes)) => context.set_result(bytes.as_slice()),
                    Some(Sought::Prefix(prefix)) => context.set_result(prefix.as_str()),
                    None => context.set_result(Null),
                }
            }
            None if usize::try_from(number) == Ok(HIDDEN) => context.set_result(rows.has_field(*row, DOUBT)),
            None if number > ID && !rows.has_field(*row, DOUBT) => context.set_result(Null),
            None if number > ID => context.set_result(self.extended(rows, *row)),
            None => context.set_result(*id),
            Some(Column::Extended) => context.set_result(self.extended(rows, *row)),
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

impl StreamCursor {
    fn extended(&self, rows: &BatchRows, row: usize) -> &str {
        self.extended.get_or_init(|| serde_json::Value::Object(rows.extended(row)).to_string())
    }
}
