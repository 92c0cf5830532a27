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

/// What a field of `extended` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// true, false.
    Bool,
    /// A whole number.
    Integer,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
}

/// Fields of `extended` that built-in tracers write, by name: known before the first row has them.
pub const FIELDS: [(&str, FieldKind); 40] = [
    ("argv", FieldKind::Texts),
    ("argv_bytes", FieldKind::Texts),
    ("argv_cut", FieldKind::Bool),
    ("cause", FieldKind::Text),
    ("cgroup_id", FieldKind::Integer),
    ("child_exec_id", FieldKind::Text),
    ("child_pid", FieldKind::Integer),
    ("child_tid", FieldKind::Integer),
    ("code", FieldKind::Integer),
    ("comm_bytes", FieldKind::Text),
    ("core_dumped", FieldKind::Bool),
    ("cwd_bytes", FieldKind::Text),
    ("daddr", FieldKind::Text),
    ("dev", FieldKind::Integer),
    ("dport", FieldKind::Integer),
    ("duration_ns", FieldKind::Integer),
    ("errno", FieldKind::Text),
    ("exe_bytes", FieldKind::Text),
    ("family", FieldKind::Text),
    ("file_type", FieldKind::Text),
    ("flags", FieldKind::Texts),
    ("fname_bytes", FieldKind::Text),
    ("from", FieldKind::Text),
    ("ino", FieldKind::Integer),
    ("lost_tracer", FieldKind::Text),
    ("mnt_ns", FieldKind::Integer),
    ("mode", FieldKind::Integer),
    ("nonblocking", FieldKind::Bool),
    ("output", FieldKind::Text),
    ("path_asked", FieldKind::Text),
    ("path_asked_bytes", FieldKind::Text),
    ("path_incomplete", FieldKind::Bool),
    ("pid_ns", FieldKind::Integer),
    ("place", FieldKind::Text),
    ("saddr", FieldKind::Text),
    ("signal", FieldKind::Integer),
    ("sink", FieldKind::Text),
    ("sport", FieldKind::Integer),
    ("thread", FieldKind::Bool),
    ("to", FieldKind::Text),
];
