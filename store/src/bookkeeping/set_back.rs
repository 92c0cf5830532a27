//! Changes by which the wall clock was set back. Readers use them to order the rows around such a change as the events
//! happened. Most files have no such changes.

use model::Clocks;
use rusqlite::{Connection, params};

use super::run::Run;

pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS duetector_actors_clock (
        collector_id TEXT NOT NULL, since_ns INTEGER NOT NULL, utc_ns_at_boot INTEGER NOT NULL,
        shown_ns INTEGER NOT NULL, PRIMARY KEY (collector_id, since_ns, utc_ns_at_boot));";

/// Largest number of changes that a file keeps; older ones are forgotten.
const KEPT: u32 = 1000;

/// Writes the changes that the file does not have yet.
pub(super) fn write(connection: &Connection, run: &Run, clocks: &Clocks) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO duetector_actors_clock VALUES (?, ?, ?, ?)")?;
    for change in clocks.set_backs() {
        let since = i64::try_from(change.since.0).unwrap_or(i64::MAX);
        insert.execute(params![run.collector_id, since, change.utc_ns_at_boot, change.shown])?;
    }
    let forget = "DELETE FROM duetector_actors_clock
                  WHERE rowid <= (SELECT max(rowid) FROM duetector_actors_clock) - ?";
    connection.prepare_cached(forget)?.execute([KEPT]).map(|_| ())
}
