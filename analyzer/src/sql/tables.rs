//! The table of each tracer: a virtual table over the streams of a columnar store, a view of the tables of duetector's layout,
//! or both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::schema::{ArrowType, COLUMNS, Column, FIELDS, Field, Tracers};
use store::{Reader, Stream};

use super::described::{Described, VIEWS, event_columns};
use super::functions::OF_TEXT;
use super::meter::Meter;
use crate::query::Names;
use crate::store::quote;
use crate::store::{TypedSource, UTC_OF, add_typed_table, sql_type};
use crate::{Store, Table};

/// A column of a table: its name, and its type unless it is a field that only rows tell of.
type TypedColumn = (String, Option<ArrowType>);

/// Makes the tables, ordered by name.
pub(super) fn make(store: &Store, meter: &Arc<Meter>) -> rusqlite::Result<Vec<Described>> {
    let mut tracers: BTreeMap<String, Vec<Table>> = built_in().map(|name| (name, Vec::new())).collect();
    let listed = store.tables().map_err(|error| match error {
        crate::Error::Read { source, .. } => source,
        other => rusqlite::Error::ModuleError(other.to_string()),
    })?;
    for table in listed {
        tracers.entry(table.tracer.clone()).or_default().push(table);
    }
    tracers.into_iter().map(|(tracer, tables)| of_tracer(store, meter, tracer, tables)).collect()
}

/// Returns the names of the built-in tracers.
fn built_in() -> impl Iterator<Item = String> {
    let names: BTreeSet<&str> = FIELDS
        .iter()
        .flat_map(|field| match field.tracers {
            Tracers::Only(names) => names,
            _ => &[],
        })
        .copied()
        .collect();
    names.into_iter().map(str::to_owned)
}

/// Returns the name of a tracer's table. A view has its name already, or SQLite keeps names like that to itself.
fn table_name(tracer: &str) -> String {
    if VIEWS.contains(&tracer) || tracer.starts_with("sqlite_") {
        format!("tracer_{tracer}")
    } else {
        tracer.to_owned()
    }
}

fn of_tracer(
    store: &Store,
    meter: &Arc<Meter>,
    tracer: String,
    tables: Vec<Table>,
) -> rusqlite::Result<Described> {
    let connection = store.connection();
    let (streams, tables): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.stream.is_some());
    let reader = Reader::default();
    let stored = match streams.as_slice() {
        [] => store::columns::columns_of(&tracer),
        _ => reader.columns(connection, &tracer)?,
    };
    let mut columns: Vec<TypedColumn> =
        stored.iter().map(|(name, kind)| (name.clone(), Some(*kind))).collect();
    if !tables.is_empty() {
        add_seen(store, &tables, &mut columns)?;
    }
    let name = table_name(&tracer);
    let has_rows = !streams.is_empty() || !tables.is_empty();
    let mut selects = Vec::new();
    let mut events = Vec::new();
    if tables.is_empty() || !streams.is_empty() {
        let typed = if tables.is_empty() { name.clone() } else { format!("duetector_batches_of_{tracer}") };
        add_typed(store, meter, &typed, (&tracer, streams), &stored)?;
        let is_stored = |name: &str| stored.iter().any(|(stored, _)| stored == name);
        let shown = columns
            .iter()
            .map(|(name, _)| if is_stored(name) { quote(name) } else { format!("NULL AS {}", quote(name)) });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let typed = format!("temp.{}", quote(&typed));
        selects.push(format!("SELECT id, collector_id, {shown} FROM {typed}"));
        events.push(event(&tracer, "collector_id", &typed, |column| quote(column.name())));
    }
    for table in &tables {
        selects.push(select(table, &columns));
        events.push(event(&tracer, &literal(&table.collector_id), &rows_of(table), |column| {
            of_column(table, column)
        }));
    }
    if !tables.is_empty() {
        let all = selects.join(" UNION ALL ");
        connection.execute_batch(&format!("CREATE TEMP VIEW {} AS {all}", quote(&name)))?;
    }
    Ok(Described {
        about: format!("rows of the tracer {tracer}, of all collectors"),
        columns: describe(&columns),
        tracer: Some(tracer),
        name,
        events: Some(events.join(" UNION ALL ")),
        has_rows,
    })
}

/// Adds the virtual table of this name, with the rows of a tracer's streams.
fn add_typed(
    store: &Store,
    meter: &Arc<Meter>,
    name: &str,
    (tracer, tables): (&str, Vec<Table>),
    columns: &[(String, ArrowType)],
) -> rusqlite::Result<()> {
    let (mut rows, mut streams) = (0, Vec::new());
    for table in tables {
        let Some(id) = table.stream else { continue };
        rows += store.totals(id)?.map_or(0, |totals| totals.rows);
        streams.push(Stream { id, tracer: tracer.to_owned(), collector_id: table.collector_id });
    }
    let source = TypedSource {
        streams,
        columns: columns.to_vec(),
        rows,
        damaged: store.damage_list(),
        meter: meter.clone(),
        reads: store.reads().clone(),
    };
    add_typed_table(store.connection(), name, source)
}

/// Adds the fields that rows of the tables have beside those that are known, before the last column. As SQL does, it takes
/// names that differ only in case for the same.
fn add_seen(store: &Store, tables: &[Table], columns: &mut Vec<TypedColumn>) -> rusqlite::Result<()> {
    let mut known: BTreeSet<String> = columns.iter().map(|(name, _)| name.to_lowercase()).collect();
    known.extend(["id", "collector_id", "extended", "tracer"].map(str::to_owned));
    let other = columns.pop();
    for field in (Names { store, tables, any_field: false }).sampled_fields()? {
        if !field.contains(['"', '\\', '\0']) && !field.is_empty() && known.insert(field.to_lowercase()) {
            columns.push((field, None));
        }
    }
    columns.extend(other);
    Ok(())
}

/// Returns the statement for the rows of a table of duetector's layout.
fn select(table: &Table, columns: &[TypedColumn]) -> String {
    let mut fields = Vec::new();
    let shown = columns.iter().map(|(name, kind)| {
        let value = match (stored_column(name), kind) {
            (Some(column), _) => of_column(table, column),
            (None, Some(ArrowType::Struct)) => rest(table, columns),
            (None, kind) => {
                fields.push(name.clone());
                field(table, name, *kind)
            }
        };
        format!("{value} AS {}", quote(name))
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let id = if table.has("id") { "id" } else { "rowid" };
    format!(
        "SELECT {id} AS id, {} AS collector_id, {shown} FROM {}",
        literal(&table.collector_id),
        rows_of(table)
    )
}

/// Returns the table, and the condition of those rows that are shown.
fn rows_of(table: &Table) -> String {
    let condition = if table.shown.is_empty() { String::new() } else { format!(" WHERE {}", table.shown) };
    format!("{}{condition}", table.from())
}

/// Returns SQL for a column of a row.
fn of_column(table: &Table, column: Column) -> String {
    match column {
        Column::Time if table.has("dt") => {
            let of_dt = format!("{UTC_OF}(\"dt\", {})", literal(&table.collector_id));
            if table.has("time") { format!("coalesce(\"time\", {of_dt})") } else { of_dt }
        }
        column if table.has(column.name()) => quote(column.name()),
        _ => "NULL".to_owned(),
    }
}

/// Returns SQL for a field of `extended`, in the type that it has in a columnar store.
fn field(table: &Table, name: &str, kind: Option<ArrowType>) -> String {
    if !table.has("extended") {
        return "NULL".to_owned();
    }
    let path = literal(&format!("$.\"{name}\""));
    let value = match kind {
        Some(ArrowType::Binary) => format!("unhex(extended ->> {path})"),
        Some(ArrowType::List(_)) => format!("extended -> {path}"),
        Some(ArrowType::TimestampUtc) => format!("{OF_TEXT}(extended ->> {path})"),
        _ => format!("extended ->> {path}"),
    };
    // Text that is not JSON has no fields.
    format!("CASE WHEN json_valid(extended, 2) THEN {value} END")
}

/// Returns SQL for the fields without a column of their own.
fn rest(table: &Table, columns: &[TypedColumn]) -> String {
    if !table.has("extended") {
        return "NULL".to_owned();
    }
    let fields: Vec<String> = columns
        .iter()
        .filter(|(name, kind)| stored_column(name).is_none() && *kind != Some(ArrowType::Struct))
        .map(|(name, _)| literal(&format!("$.\"{name}\"")))
        .collect();
    // A function takes at most 127 arguments.
    let all = fields
        .chunks(100)
        .fold("extended".to_owned(), |value, some| format!("json_remove({value}, {})", some.join(", ")));
    format!("CASE WHEN json_valid(extended, 2) THEN nullif({all}, '{{}}') END")
}

/// Returns the statement for rows of the view `events`.
fn event(tracer: &str, collector: &str, table: &str, of: impl Fn(Column) -> String) -> String {
    let columns = event_columns().map(of).collect::<Vec<_>>().join(", ");
    format!("SELECT {} AS tracer, {collector}, id, {columns} FROM {table}", literal(tracer))
}

/// Returns a text as a literal of SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn describe(columns: &[TypedColumn]) -> Vec<(String, String, String)> {
    let own = [
        ("id", "INTEGER", "Number of the row among those of its tracer and collector."),
        ("collector_id", "TEXT", "Collector that wrote the row."),
    ];
    let own = own.map(|(name, kind, about)| (name.to_owned(), kind.to_owned(), about.to_owned()));
    let columns = columns.iter().map(|(name, kind)| {
        let about = match (stored_column(name), Field::named(name)) {
            (Some(column), _) => column.about(),
            (None, Some(field)) => field.about(),
            (None, None) if *kind == Some(ArrowType::Struct) => {
                "Fields that have no column, and values that do not fit theirs, as a JSON object."
            }
            (None, None) => "",
        };
        (name.clone(), kind.map_or("", sql_type).to_owned(), about.to_owned())
    });
    own.into_iter().chain(columns).collect()
}

/// Returns the column of that name that rows are stored with.
fn stored_column(name: &str) -> Option<Column> {
    Column::named(name).filter(|column| COLUMNS.contains(column))
}
