//! The columns of a `Tracking` table and the fields of `extended`, as used by SQL sinks, the analyzer and expressions.

/// Prefix of every table that holds rows: `duetector_tracking:{tracer}@{collector_id}`. No other table in a store may
/// begin with it, or duetector's analyzer fails on the whole file.
pub const TABLE_PREFIX: &str = "duetector_tracking";

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A 64-bit signed integer.
    Integer,
    /// A text in valid UTF-8.
    Text,
    /// A text of the form `YYYY-MM-DD HH:MM:SS.ffffff`, local time.
    DateTime,
    /// A JSON object.
    Json,
}

/// A column of a `Tracking` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name of the column, also the key in JSON output.
    pub name: &'static str,
    /// Type of the column.
    pub kind: ColumnKind,
    /// True if duetector has the column too; additional columns follow after those.
    pub core: bool,
}

const fn column(name: &'static str, kind: ColumnKind, core: bool) -> Column {
    Column { name, kind, core }
}

/// All columns except `id`, in table order.
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

/// Returns the name of the table that holds a tracer's rows from one collector.
pub fn table_name(tracer: &str, collector_id: &str) -> String {
    format!("{TABLE_PREFIX}:{tracer}@{collector_id}")
}

/// Returns the tracer and the collector id of a table; `None` if the table holds no rows.
///
/// ```
/// assert_eq!(model::schema::parse_table_name("duetector_tracking:open@vm"), Some(("open", "vm")));
/// assert_eq!(model::schema::parse_table_name("duetector_actors_runs"), None);
/// ```
pub fn parse_table_name(table: &str) -> Option<(&str, &str)> {
    table.strip_prefix(TABLE_PREFIX)?.strip_prefix(':')?.split_once('@')
}

/// The type of a field of `extended`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A boolean value.
    Bool,
    /// A whole number.
    Integer,
    /// A single text.
    Text,
    /// A list of texts.
    Texts,
}

/// Fields of `extended` that built-in tracers write, with their types, ordered by name. Other fields are known only
/// when a row has them.
pub const FIELDS: &[(&str, FieldKind)] = &[
    ("abi", FieldKind::Text),
    ("accepted", FieldKind::Bool),
    ("addresses", FieldKind::Texts),
    ("argv", FieldKind::Texts),
    ("argv_bytes", FieldKind::Texts),
    ("argv_cut", FieldKind::Bool),
    ("asked_egid", FieldKind::Integer),
    ("asked_euid", FieldKind::Integer),
    ("asked_fsgid", FieldKind::Integer),
    ("asked_fsuid", FieldKind::Integer),
    ("asked_gid", FieldKind::Integer),
    ("asked_groups", FieldKind::Integer),
    ("asked_rgid", FieldKind::Integer),
    ("asked_ruid", FieldKind::Integer),
    ("asked_sgid", FieldKind::Integer),
    ("asked_suid", FieldKind::Integer),
    ("asked_uid", FieldKind::Integer),
    ("at_flags", FieldKind::Texts),
    ("attributes_cleared", FieldKind::Texts),
    ("attributes_set", FieldKind::Texts),
    ("backlog", FieldKind::Integer),
    ("bytes_mapped", FieldKind::Integer),
    ("bytes_read", FieldKind::Integer),
    ("bytes_received", FieldKind::Integer),
    ("bytes_sent", FieldKind::Integer),
    ("bytes_written", FieldKind::Integer),
    ("call", FieldKind::Text),
    ("calls_mapped", FieldKind::Integer),
    ("calls_read", FieldKind::Integer),
    ("calls_written", FieldKind::Integer),
    ("capabilities", FieldKind::Texts),
    ("cause", FieldKind::Text),
    ("cgroup", FieldKind::Text),
    ("cgroup_id", FieldKind::Integer),
    ("child_exec_id", FieldKind::Text),
    ("child_pid", FieldKind::Integer),
    ("child_tid", FieldKind::Integer),
    ("code", FieldKind::Integer),
    ("comm_bytes", FieldKind::Text),
    ("command", FieldKind::Text),
    ("container_image", FieldKind::Text),
    ("container_name", FieldKind::Text),
    ("container_runtime", FieldKind::Text),
    ("core_dumped", FieldKind::Bool),
    ("cwd_bytes", FieldKind::Text),
    ("daddr", FieldKind::Text),
    ("datagrams_received", FieldKind::Integer),
    ("datagrams_sent", FieldKind::Integer),
    ("dev", FieldKind::Integer),
    ("device", FieldKind::Integer),
    ("direction", FieldKind::Text),
    ("dns_id", FieldKind::Integer),
    ("dport", FieldKind::Integer),
    ("duration_ns", FieldKind::Integer),
    ("egid", FieldKind::Integer),
    ("errno", FieldKind::Text),
    ("euid", FieldKind::Integer),
    ("exe_bytes", FieldKind::Text),
    ("family", FieldKind::Text),
    ("file_type", FieldKind::Text),
    ("first", FieldKind::Text),
    ("flags", FieldKind::Texts),
    ("fname_bytes", FieldKind::Text),
    ("from", FieldKind::Text),
    ("fs_type", FieldKind::Text),
    ("fsgid", FieldKind::Integer),
    ("fsuid", FieldKind::Integer),
    ("generation", FieldKind::Integer),
    ("handle", FieldKind::Text),
    ("handle_type", FieldKind::Integer),
    ("incomplete", FieldKind::Bool),
    ("ino", FieldKind::Integer),
    ("last", FieldKind::Text),
    ("layer", FieldKind::Text),
    ("length", FieldKind::Integer),
    ("lost_tracer", FieldKind::Text),
    ("malformed", FieldKind::Bool),
    ("mapped_from", FieldKind::Integer),
    ("mapped_to", FieldKind::Integer),
    ("memfd", FieldKind::Bool),
    ("mnt_ns", FieldKind::Integer),
    ("mode", FieldKind::Integer),
    ("name", FieldKind::Text),
    ("new_gid", FieldKind::Integer),
    ("new_path", FieldKind::Text),
    ("new_path_asked", FieldKind::Text),
    ("new_uid", FieldKind::Integer),
    ("nonblocking", FieldKind::Bool),
    ("ns_pid", FieldKind::Integer),
    ("offset", FieldKind::Integer),
    ("other_bytes", FieldKind::Text),
    ("output", FieldKind::Text),
    ("params", FieldKind::Text),
    ("path_asked", FieldKind::Text),
    ("path_asked_bytes", FieldKind::Text),
    ("path_incomplete", FieldKind::Bool),
    ("peer_pid", FieldKind::Integer),
    ("pid_ns", FieldKind::Integer),
    ("place", FieldKind::Text),
    ("pod_uid", FieldKind::Text),
    ("protection", FieldKind::Texts),
    ("put_old", FieldKind::Text),
    ("put_old_asked", FieldKind::Text),
    ("query_type", FieldKind::Text),
    ("rcode", FieldKind::Text),
    ("real_dev", FieldKind::Integer),
    ("real_generation", FieldKind::Integer),
    ("real_ino", FieldKind::Integer),
    ("request", FieldKind::Text),
    ("rgid", FieldKind::Integer),
    ("ruid", FieldKind::Integer),
    ("saddr", FieldKind::Text),
    ("sgid", FieldKind::Integer),
    ("signal", FieldKind::Integer),
    ("sink", FieldKind::Text),
    ("source", FieldKind::Text),
    ("sport", FieldKind::Integer),
    ("suid", FieldKind::Integer),
    ("sun_path", FieldKind::Text),
    ("sun_path_bytes", FieldKind::Text),
    ("target", FieldKind::Text),
    ("target_exec_id", FieldKind::Text),
    ("target_pid", FieldKind::Integer),
    ("target_tid", FieldKind::Integer),
    ("thread", FieldKind::Bool),
    ("to", FieldKind::Text),
    ("type", FieldKind::Text),
    ("umask", FieldKind::Integer),
    ("via", FieldKind::Texts),
    ("word_bytes", FieldKind::Text),
];
