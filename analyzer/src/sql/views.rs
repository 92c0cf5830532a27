//! The views over several tracers: all rows, processes, files, losses.

use rusqlite::Connection;

use super::described::{Described, event_columns};
use crate::store::quote;
use crate::store::sql_type;

const PROCESSES: &str = "CREATE TEMP VIEW processes AS
    WITH seen AS (
        SELECT exec_id, time, boot_ns, pid, ppid, NULL AS parent_exec_id, iif(ret < 0, NULL, argv) AS argv, exe, comm,
            uid, gid, loginuid, container_id, container_name, NULL AS ended, NULL AS code, NULL AS signal FROM exec
        UNION ALL
        SELECT exec_id, time, boot_ns, pid, ppid, NULL, NULL, exe, comm,
            uid, gid, loginuid, container_id, container_name, NULL, NULL, NULL FROM clone
        UNION ALL
        SELECT child_exec_id, time, boot_ns, child_pid, pid, exec_id, NULL, exe, comm,
            uid, gid, loginuid, container_id, container_name, NULL, NULL, NULL FROM clone WHERE thread IS NOT 1
        UNION ALL
        SELECT exec_id, time, boot_ns, pid, ppid, NULL, NULL, exe, comm,
            uid, gid, loginuid, container_id, container_name, time, code, signal FROM exit)
    SELECT exec_id, max(pid) AS pid, latest(ppid, time) AS ppid, max(parent_exec_id) AS parent_exec_id,
        latest(argv, time) AS argv, latest(exe, time) AS exe, latest(comm, time) AS comm, latest(uid, time) AS uid,
        user_name(latest(uid, time)) AS user, latest(gid, time) AS gid, latest(loginuid, time) AS loginuid,
        latest(container_id, time) AS container_id, latest(container_name, time) AS container_name,
        min(time - boot_ns + CAST(substr(exec_id, instr(exec_id, '-') + 1) AS INTEGER)) AS start,
        max(ended) AS \"end\", max(code) AS code, max(signal) AS signal
    FROM seen WHERE exec_id IS NOT NULL GROUP BY exec_id";

const PROCESS_COLUMNS: [(&str, &str, &str); 17] = [
    ("exec_id", "TEXT", "Identity of the process."),
    ("pid", "INTEGER", "Its process id."),
    ("ppid", "INTEGER", "Process id of its parent."),
    ("parent_exec_id", "TEXT", "Identity of the process that made it, if that was recorded."),
    ("argv", "TEXT", "Arguments of the last program that it ran, as JSON."),
    ("exe", "TEXT", "Executable file, the last one known."),
    ("comm", "TEXT", "Command name, the last one known."),
    ("uid", "INTEGER", "Effective user id, the last one known."),
    ("user", "TEXT", "The name that this machine has for that user."),
    ("gid", "INTEGER", "Effective group id, the last one known."),
    ("loginuid", "INTEGER", "User who logged in."),
    ("container_id", "TEXT", "Id of the container, if it was in one."),
    ("container_name", "TEXT", "Name of the container."),
    ("start", "INTEGER", "Time of its start."),
    ("end", "INTEGER", "Time of its end, if that was recorded."),
    ("code", "INTEGER", "Exit code, 0 to 255."),
    ("signal", "INTEGER", "Number of the signal that ended it; 0 if none did."),
];

const FILE_COLUMNS: [(&str, &str, &str); 8] = [
    ("dev", "INTEGER", "Device of the file's file system."),
    ("ino", "INTEGER", "Inode number."),
    (
        "generation",
        "INTEGER",
        "Generation of the inode; null if no row of the file has it, or rows have several.",
    ),
    ("path", "TEXT", "The name that the file was seen with last."),
    ("names", "TEXT", "All names as JSON: objects with path, from and to, the earliest first."),
    ("first", "INTEGER", "Time of the first row about the file."),
    ("last", "INTEGER", "Time of the last row about the file."),
    ("count", "INTEGER", "Number of rows about the file."),
];

const LOSSES: &str = "CREATE TEMP VIEW losses AS
    SELECT lost_tracer AS tracer, from_time, to_time, \"from\", \"to\", count, cause, place, sink, uid, cgroup_id,
        collector_id FROM loss";

const LOSS_COLUMNS: [(&str, &str, &str); 12] = [
    ("tracer", "TEXT", "Tracer whose records were lost."),
    ("from_time", "INTEGER", "Beginning of the gap."),
    ("to_time", "INTEGER", "End of the gap."),
    ("from", "TEXT", "Beginning of the gap, local time. The name is a word of SQL: write \"from\"."),
    ("to", "TEXT", "End of the gap, local time. The name is a word of SQL: write \"to\"."),
    ("count", "INTEGER", "Number of records that were lost."),
    ("cause", "TEXT", "Reason of the loss."),
    ("place", "TEXT", "Where they were lost: ring, decode, queue or sink."),
    ("sink", "TEXT", "Sink at which they were lost."),
    ("uid", "INTEGER", "User whose records were lost, if they are counted by user."),
    ("cgroup_id", "INTEGER", "Control group whose records were lost, if they are counted by control group."),
    ("collector_id", "TEXT", "Collector that lost them."),
];

/// Makes the views.
pub(super) fn make(connection: &Connection, tables: &[Described]) -> rusqlite::Result<Vec<Described>> {
    connection.execute_batch(&events(tables))?;
    connection.execute_batch(&files(tables))?;
    connection.execute_batch(PROCESSES)?;
    connection.execute_batch(LOSSES)?;
    let view = |name: &str, about: &str, columns: Vec<(String, String, String)>| Described {
        name: name.to_owned(),
        about: about.to_owned(),
        tracer: None,
        columns,
        events: None,
        has_rows: true,
    };
    let owned = |columns: &[(&str, &str, &str)]| {
        let owned = |(name, kind, about): &(&str, &str, &str)| {
            (name.to_string(), kind.to_string(), about.to_string())
        };
        columns.iter().map(owned).collect()
    };
    let processes = "a row for each process, from the rows of exec, clone and exit";
    Ok(vec![
        view("events", "all rows of all tracers, with the columns that all have", described_events()),
        view("files", "a row for each file identity, with the names that it had", owned(&FILE_COLUMNS)),
        view("losses", "a row for each gap: what was lost, when and why", owned(&LOSS_COLUMNS)),
        view("processes", processes, owned(&PROCESS_COLUMNS)),
    ])
}

fn described_events() -> Vec<(String, String, String)> {
    let text = |(name, kind, about): (&str, &str, &str)| (name.to_owned(), kind.to_owned(), about.to_owned());
    let own = [
        ("tracer", "TEXT", "Tracer that the row is stored under."),
        ("collector_id", "TEXT", "Collector that wrote the row."),
        ("id", "INTEGER", "Number of the row among those of its tracer and collector."),
    ];
    let columns = event_columns().map(|column| (column.name(), sql_type(column.arrow()), column.about()));
    own.into_iter().chain(columns).map(text).collect()
}

fn events(tables: &[Described]) -> String {
    let with_rows = tables.iter().filter(|table| table.has_rows);
    let mut selects: Vec<&str> = with_rows.filter_map(|table| table.events.as_deref()).collect();
    if selects.is_empty() {
        // Any table without rows has the columns.
        selects = tables.iter().filter_map(|table| table.events.as_deref()).take(1).collect();
    }
    let names = event_columns().map(|column| quote(column.name())).collect::<Vec<_>>().join(", ");
    format!("CREATE TEMP VIEW events (tracer, collector_id, id, {names}) AS {}", selects.join(" UNION ALL "))
}

fn files(tables: &[Described]) -> String {
    let mut selects = Vec::new();
    for table in
        tables.iter().filter(|table| ["dev", "ino", "generation", "fname"].iter().all(|name| table.has(name)))
    {
        let name = quote(&table.name);
        let of = format!("FROM {name} WHERE ino IS NOT NULL");
        selects.push(format!("SELECT dev, ino, generation, fname AS path, time {of}"));
        if table.has("new_path") && table.tracer.as_deref() != Some("mount") {
            selects.push(format!(
                "SELECT dev, ino, generation, new_path, time {of} AND new_path IS NOT NULL AND ret = 0"
            ));
        }
    }
    format!(
        "CREATE TEMP VIEW files AS
            WITH rows_of AS ({}),
            seen AS (
                SELECT dev, ino, generation, path, min(time) AS first, max(time) AS last, count(*) AS count
                FROM rows_of GROUP BY dev, ino, generation, path),
            known AS (
                SELECT dev, ino, path, first, last, count, coalesce(generation,
                    iif(min(generation) OVER same = max(generation) OVER same, max(generation) OVER same, NULL)) AS generation
                FROM seen WINDOW same AS (PARTITION BY dev, ino)),
            named AS (
                SELECT dev, ino, generation, path, min(first) AS first, max(last) AS last, sum(count) AS count
                FROM known GROUP BY dev, ino, generation, path)
            SELECT dev, ino, generation, latest(path, last) AS path,
                json_group_array(json_object('path', path, 'from', first, 'to', last) ORDER BY first)
                    FILTER (WHERE path IS NOT NULL) AS names,
                min(first) AS first, max(last) AS last, sum(count) AS count
            FROM named GROUP BY dev, ino, generation",
        selects.join(" UNION ALL ")
    )
}
