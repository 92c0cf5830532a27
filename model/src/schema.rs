//! The columns of a `Tracking` table, once: for SQL sinks, for the analyzer, for query's `--columns`.

/// Prefix of every table that holds rows: `duetector_tracking:{tracer}@{collector_id}`. Nothing else in a
/// store may begin with it, or duetector's analyzer fails on the whole file.
pub const TABLE_PREFIX: &str = "duetector_tracking";

/// A column's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// 64-bit signed integer.
    Integer,
    /// Text, valid UTF-8.
    Text,
    /// `YYYY-MM-DD HH:MM:SS.ffffff`, local.
    DateTime,
    /// A JSON object.
    Json,
}

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, also the key in JSON output.
    pub name: &'static str,
    /// Its kind.
    pub kind: ColumnKind,
    /// duetector has it too; ours follow after.
    pub core: bool,
}

const fn column(name: &'static str, kind: ColumnKind, core: bool) -> Column {
    Column { name, kind, core }
}

/// Every column but `id`, in table order.
pub const COLUMNS: [Column; 15] = [
    column("pid", ColumnKind::Integer, true),
    column("uid", ColumnKind::Integer, true),
    column("gid", ColumnKind::Integer, true),
    column("dt", ColumnKind::DateTime, true),
    column("comm", ColumnKind::Text, true),
    column("cwd", ColumnKind::Text, true),
    column("fname", ColumnKind::Text, true),
    column("extended", ColumnKind::Json, true),
    column("tid", ColumnKind::Integer, false),
    column("ppid", ColumnKind::Integer, false),
    column("exec_id", ColumnKind::Text, false),
    column("exe", ColumnKind::Text, false),
    column("container_id", ColumnKind::Text, false),
    column("ret", ColumnKind::Integer, false),
    column("count", ColumnKind::Integer, false),
];

/// The table of a tracer's rows from one collector.
pub fn table_name(tracer: &str, collector_id: &str) -> String {
    format!("{TABLE_PREFIX}:{tracer}@{collector_id}")
}

/// Tracer and collector id of a table, if it is one of rows.
///
/// ```
/// assert_eq!(model::schema::parse_table_name("duetector_tracking:open@vm"), Some(("open", "vm")));
/// assert_eq!(model::schema::parse_table_name("duetector_actors_runs"), None);
/// ```
pub fn parse_table_name(table: &str) -> Option<(&str, &str)> {
    table.strip_prefix(TABLE_PREFIX)?.strip_prefix(':')?.split_once('@')
}
