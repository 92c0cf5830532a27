//! A segment that is being written: its number and name, and what is left of it if the work was interrupted.

use std::io;

use rusqlite::{Connection, params};

use super::found::number;
use super::manifest::{Manifest, store_id};
use super::{Folder, State};
use crate::Error;

/// A segment that is being written.
pub(super) struct Begun {
    pub(super) number: i64,
    pub(super) name: String,
}

impl Begun {
    /// Adds a segment to the list. Its number is above those of all folders, so that its name is free, although the folder of
    /// segments may hold some that the list does not have: another store's, or later ones of a store that came from a backup.
    pub(super) fn new(
        connection: &Connection,
        folder: &Folder,
        state: State,
        (first, last): (i64, i64),
        rows: i64,
    ) -> Result<Self, Error> {
        connection.execute(
            "INSERT INTO segment (name, state, first, last, rows, bytes) VALUES ('', ?, ?, ?, ?, 0)",
            params![state.as_str(), first, last, rows],
        )?;
        Self::named(connection, folder, connection.last_insert_rowid(), first)
    }

    /// Gives the segment `listed` a name that no folder has, and a number above theirs if its own is not above them.
    fn named(connection: &Connection, folder: &Folder, listed: i64, first: i64) -> Result<Self, Error> {
        let last = folder.segments()?.iter().filter_map(|name| number(name)).max();
        let number = last.map_or(listed, |last| listed.max(last.saturating_add(1)));
        let name = name(first, number);
        connection.execute(
            "UPDATE segment SET number = ?, name = ? WHERE number = ?",
            params![number, name, listed],
        )?;
        Ok(Self { number, name })
    }

    /// Removes folders of segments that were given their name but not marked: they are written again. A folder of that name which
    /// another store wrote stays as it is, and the segment gets another name.
    pub(super) fn drop_unmarked(connection: &Connection, folder: &Folder) -> Result<(), Error> {
        let sql = "SELECT number, name, first FROM segment WHERE state IN ('sealing', 'merging')";
        let mut begun = connection.prepare(sql)?;
        let begun = begun.query_map([], |row| {
            Ok((Self { number: row.get(0)?, name: row.get(1)? }, row.get::<_, i64>(2)?))
        })?;
        let store = store_id(connection)?;
        for (begun, first) in begun.collect::<rusqlite::Result<Vec<_>>>()? {
            let path = folder.segment(&begun.name);
            if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                continue;
            }
            // A segment of this store has its whole description before it gets its name.
            let is_ours = Manifest::read(&path)
                .is_ok_and(|(found, _)| found.store == store && found.name == begun.name);
            if is_ours {
                folder.remove(&begun.name)?;
            } else {
                Self::named(connection, folder, begun.number, first)?;
            }
        }
        connection.execute("DELETE FROM segment WHERE state = 'merging'", [])?;
        Ok(())
    }
}

/// Returns the name of a segment: the time of its first row, UTC, and its number.
fn name(first: i64, number: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(first)).unwrap_or_default();
    format!("{}-{number}", at.strftime("%Y%m%dT%H%M%SZ"))
}
