//! A store, opened read-only: one that the agent is writing, one that no process has open, or one that Python duetector
//! wrote. A columnar store has no tables of rows; each of its streams is a virtual table with the same columns. A file of
//! duetector's layout beside the columnar store is read together with it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::tz::TimeZone;
use model::lock::lock;
use model::{LocalTimes, schema};
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use store::segment::{Folder, Lock};
use store::{ReadCounts, Reader, Reads, Totals, format};

use super::beside::{self, Overlap};
use super::connect::{File, is_empty, quote, reach};
use super::scan::{Damaged, DamagedBatch};
use super::vtab;
use crate::Error;
use crate::error::{nearest, reading};
use crate::sql::{Meter, watch};

/// Function in statements: UTC in nanoseconds, from a `dt` and its collector.
pub(crate) const UTC_OF: &str = "duetector_utc_of";

/// An open store: one connection, which threads can't share.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    zone: TimeZone,
    /// Names of the virtual tables that the connection has; only if the store is columnar.
    streams: Option<RefCell<BTreeSet<String>>>,
    damaged: Damaged,
    reads: Arc<Reads>,
    /// True if the connection has a second file, of duetector's layout.
    has_beside: bool,
    /// Counts the rows of answers, and can stop them; only if [`Self::watched`] was called.
    meter: Option<Arc<Meter>>,
    _lock: Option<Lock>,
}

/// A table with the rows of one tracer from one collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Name of the table in the file.
    pub name: String,
    /// The tracer that the rows are stored under.
    pub tracer: String,
    /// The collector that wrote them.
    pub collector_id: String,
    /// The columns that the table has in this file.
    pub columns: Vec<String>,
    /// The stream of a columnar store whose rows the table has.
    pub(crate) stream: Option<i64>,
    pub(crate) file: File,
    /// The condition under which a row is shown; empty for all rows.
    pub(crate) shown: String,
}

/// A tracer named in a query that has no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTracer {
    /// The name in the query.
    pub name: String,
    /// The stored tracer with the most similar name.
    pub nearest: Option<String>,
}

impl Table {
    /// Returns the table's name as statements have it.
    pub(crate) fn from(&self) -> String {
        format!("{}.{}", self.file.schema(), quote(&self.name))
    }

    /// True if the table has this column. Files of other writers lack some of ours.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }
}

impl Store {
    /// Opens a store of one file, to which nothing is ever written.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is no file, [`Error::Open`] if it is not a store or can't be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_all(&[path.to_owned()])
    }

    /// Opens the file of a store, or two that are read together: a columnar store and a file of duetector's layout. Nothing is ever
    /// written to them.
    ///
    /// # Errors
    /// Fails as [`Self::open`] does, for any of the files; with [`Error::Two`] if both are of one kind.
    pub fn open_all(paths: &[PathBuf]) -> Result<Self, Error> {
        let Some(path) = paths.first() else { return Err(Error::Missing { path: PathBuf::new() }) };
        let (mut connection, mut is_columnar) = reach(path)?;
        let (mut path, mut beside) = (path, paths.get(1));
        if let Some(other) = beside {
            let (second, is_columnar_too) = reach(other)?;
            if is_empty(&second).map_err(|source| Error::Open { path: other.clone(), source })? {
                beside = None;
            } else if is_empty(&connection).map_err(|source| Error::Open { path: path.clone(), source })? {
                (path, beside) = (other, None);
                (connection, is_columnar) = (second, is_columnar_too);
            } else if is_columnar == is_columnar_too {
                return Err(Error::Two { path: path.clone(), other: other.clone() });
            } else if is_columnar_too {
                beside = Some(std::mem::replace(&mut path, other));
                (connection, is_columnar) = (second, true);
            }
        }
        Self::over(connection, is_columnar, path, beside.map(PathBuf::as_path))
    }

    /// Reads the store that this connection has open, and a file of duetector's layout beside it.
    pub(super) fn over(
        connection: Connection,
        is_columnar: bool,
        path: &Path,
        beside: Option<&Path>,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        if is_columnar {
            format::check_version(&connection).map_err(|error| match error {
                store::Error::Sqlite(source) => failed(source),
                other => Error::Format { path: path.to_owned(), source: other },
            })?;
        }
        if let Some(beside) = beside {
            beside::attach(&connection, beside)
                .map_err(|source| Error::Open { path: beside.to_owned(), source })?;
        }
        let zone = TimeZone::system();
        // Only rows of duetector's layout have times that are computed.
        let with_dt = if beside.is_some() { File::Beside } else { File::Main };
        register(&connection, local_times(&connection, with_dt, zone.clone())).map_err(failed)?;
        let streams = is_columnar.then(RefCell::default);
        // Files that retention removes meanwhile can be read until the store is closed.
        let segments = connection.path().filter(|path| is_columnar && !path.is_empty());
        let lock = segments.and_then(|path| Folder::beside(Path::new(path)).lock_for_reading());
        let (path, damaged) = (path.to_owned(), Damaged::default());
        let (reads, has_beside) = (Arc::default(), beside.is_some());
        let meter = None;
        Ok(Self { connection, path, zone, streams, damaged, reads, has_beside, meter, _lock: lock })
    }

    /// Returns the time zone in which times are shown.
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns the batches of a columnar store that were to be read until now and are damaged. Answers lack their rows.
    pub fn damaged(&self) -> Vec<DamagedBatch> {
        lock(&self.damaged).values().cloned().collect()
    }

    /// Returns how many batches and row groups of a columnar store were read until now, and how many were left out.
    pub fn read_counts(&self) -> ReadCounts {
        self.reads.counts()
    }

    /// Returns the name of the sink that writes such a store.
    pub(crate) fn sink(&self) -> &'static str {
        if self.streams.is_some() { "store" } else { "sqlite" }
    }

    /// Returns the counter of batches that are read.
    pub(crate) fn reads(&self) -> &Arc<Reads> {
        &self.reads
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the tables with rows, ordered by name.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn tables(&self) -> Result<Vec<Table>, Error> {
        let list = || -> rusqlite::Result<Vec<Table>> {
            let mut tables = match &self.streams {
                Some(known) => self.list_streams(known)?,
                None => self.list_tables(File::Main)?,
            };
            if self.has_beside {
                tables.extend(self.list_beside()?);
                tables.sort_by(|one, other| (&one.name, one.file).cmp(&(&other.name, other.file)));
            }
            Ok(tables)
        };
        list().map_err(reading("list of tables"))
    }

    /// Returns the tables of the second file that have rows which the columnar store does not have.
    fn list_beside(&self) -> rusqlite::Result<Vec<Table>> {
        let overlap = Overlap::of(&self.connection)?;
        let mut tables = Vec::new();
        for table in self.list_tables(File::Beside)? {
            if !overlap.hides_all(&self.connection, &table.name)? {
                tables.push(Table { shown: overlap.shown(&table.name), ..table });
            }
        }
        Ok(tables)
    }

    /// Returns the streams as tables, which are added to the connection if it does not have them yet.
    fn list_streams(&self, known: &RefCell<BTreeSet<String>>) -> rusqlite::Result<Vec<Table>> {
        let mut tables = Vec::new();
        for stream in Reader::default().streams(&self.connection)? {
            let name = schema::table_name(&stream.tracer, &stream.collector_id);
            if known.borrow_mut().insert(name.clone()) {
                let source = (stream.id, self.damaged.clone(), self.reads.clone());
                vtab::add_table(&self.connection, &name, source)?;
            }
            let columns = schema::COLUMNS.iter().map(|column| column.name());
            let columns = std::iter::once("id").chain(columns).map(str::to_owned).collect();
            let (tracer, collector_id) = (stream.tracer, stream.collector_id);
            let (stream, file, shown) = (Some(stream.id), File::Main, String::new());
            tables.push(Table { name, tracer, collector_id, columns, stream, file, shown });
        }
        Ok(tables)
    }

    /// Returns the number and the times of a stream's rows; `None` if it has no rows.
    pub(crate) fn totals(&self, stream: i64) -> rusqlite::Result<Option<Totals>> {
        Reader::default().totals(&self.connection, stream)
    }

    fn list_tables(&self, file: File) -> rusqlite::Result<Vec<Table>> {
        let schema = file.schema();
        let names = format!("SELECT name FROM {schema}.sqlite_master WHERE type = 'table' ORDER BY name");
        let mut names = self.connection.prepare(&names)?;
        let columns = format!("SELECT name FROM pragma_table_info(?1, '{schema}')");
        let mut columns = self.connection.prepare(&columns)?;
        let mut tables = Vec::new();
        for name in names.query_map((), |row| row.get::<_, String>(0))? {
            let name = name?;
            if let Some((tracer, collector_id)) = schema::parse_table_name(&name) {
                let columns = columns.query_map([&name], |row| row.get(0))?.collect::<Result<_, _>>()?;
                let (tracer, collector_id) = (tracer.to_owned(), collector_id.to_owned());
                let (stream, shown) = (None, String::new());
                tables.push(Table { tracer, collector_id, columns, name, stream, file, shown });
            }
        }
        Ok(tables)
    }

    /// Returns those of `tracers` that have no table, each with the most similar stored name.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn unknown_tracers(&self, tracers: &[String]) -> Result<Vec<UnknownTracer>, Error> {
        let tables = self.tables()?;
        let unknown = tracers.iter().filter(|name| tables.iter().all(|table| table.tracer != **name));
        let unknown = unknown.map(|name| UnknownTracer {
            name: name.clone(),
            nearest: nearest(name, tables.iter().map(|table| table.tracer.as_str())),
        });
        Ok(unknown.collect())
    }

    /// True if the file has a table of that name; for tables other than those with rows.
    pub(crate) fn has_table(&self, file: File, name: &str) -> rusqlite::Result<bool> {
        beside::has_table(&self.connection, file, name)
    }

    /// Returns the files of the connection.
    pub(crate) fn files(&self) -> &'static [File] {
        if self.has_beside { &[File::Main, File::Beside] } else { &[File::Main] }
    }

    /// Begins a moment: until what is returned is dropped, all answers are as of the same moment of each file.
    ///
    /// # Errors
    /// When the store can't be read.
    pub fn moment(&self) -> Result<impl Drop + '_, Error> {
        self.connection.unchecked_transaction().map_err(reading("a moment"))
    }

    /// Begins to count the rows of all answers; returns what counts them, and can stop them.
    ///
    /// # Errors
    /// When SQLite refuses to be watched.
    pub fn watched(&mut self) -> Result<Arc<Meter>, Error> {
        let meter = Arc::new(Meter::new(None));
        watch(&mut self.connection, &meter).map_err(reading("rows"))?;
        self.meter = Some(meter.clone());
        Ok(meter)
    }

    /// Returns whether the rows are in streams of a columnar store.
    pub(super) fn has_streams(&self) -> bool {
        self.streams.is_some()
    }

    pub(crate) fn meter(&self) -> Option<&Meter> {
        self.meter.as_deref()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Returns the list in which damaged batches are noted.
    pub(crate) fn damage_list(&self) -> Damaged {
        self.damaged.clone()
    }
}

/// Returns the conversion of the file's local times, which knows in which zones its runs were.
fn local_times(connection: &Connection, file: File, zone: TimeZone) -> LocalTimes {
    let mut times = LocalTimes::new(zone);
    let mut add = || -> rusqlite::Result<()> {
        let schema = file.schema();
        let sql = format!("SELECT collector_id, run_id, started FROM {schema}.duetector_actors_run");
        let mut runs = connection.prepare(&sql)?;
        let text = |row: &rusqlite::Row<'_>, index| row.get::<_, String>(index);
        let runs = runs.query_map((), |row| Ok([text(row, 0)?, text(row, 1)?, text(row, 2)?]))?;
        for run in runs {
            let [collector, run_id, started] = run?;
            times.add_run(&collector, &run_id, &started);
        }
        Ok(())
    };
    // Files of other writers have no such table; their times are of this machine's zone.
    let _ = add();
    times
}

fn register(connection: &Connection, times: LocalTimes) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function(UTC_OF, 2, flags, move |context| {
        let text = |index| match context.get_raw(index) {
            ValueRef::Text(text) => std::str::from_utf8(text).ok(),
            _ => None,
        };
        Ok(text(0).zip(text(1)).and_then(|(dt, collector)| times.utc_ns(collector, dt)))
    })
}
