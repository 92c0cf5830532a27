//! The columns that the rows of a tracer have.

use model::schema::ArrowType;
use rusqlite::Connection;

use crate::ipc::read_schema;
use crate::layout::{Layout, OTHER};
use crate::read::Reader;

impl Reader {
    /// Returns names and types of the columns that rows of a tracer have in this file, in order. If there are no such rows, they are
    /// the columns that the tracer has in a new file. The last one is [`OTHER`].
    ///
    /// # Errors
    /// SQLite can't read the file.
    pub fn columns(
        &self,
        connection: &Connection,
        tracer: &str,
    ) -> rusqlite::Result<Vec<(String, ArrowType)>> {
        let mut layout = Layout::of(tracer);
        let mut stored = connection.prepare("SELECT schema FROM layout WHERE tracer = ? ORDER BY id")?;
        for message in stored.query_map([tracer], |row| row.get::<_, Vec<u8>>(0))? {
            // The rows of a damaged layout are reported when they are read.
            if let Ok(schema) = read_schema(&message?) {
                layout = layout.continuing(&schema);
            }
        }
        Ok(named(&layout))
    }
}

/// Returns names and types of the columns that rows of a built-in tracer have.
pub fn columns_of(tracer: &str) -> Vec<(String, ArrowType)> {
    named(&Layout::of(tracer))
}

fn named(layout: &Layout) -> Vec<(String, ArrowType)> {
    let columns = layout.columns().iter().map(|column| (column.name.clone(), column.kind));
    columns.chain([(OTHER.to_owned(), ArrowType::Struct)]).collect()
}
