//! Looks up the names in a query: columns, and fields of `extended`.

use model::schema;

use super::sql::{Sql, Target};
use crate::error::{nearest, reading};
use crate::{Error, Store, Table};

/// Rows read at each end of a table to collect names of fields. A name that is not among them is searched for in all
/// rows, so this number affects only the time it takes.
const SAMPLE: u32 = 200;

/// Returns the columns that are shown if a query names none: those of a `Tracking`.
pub(crate) fn tracking() -> Vec<(String, Target)> {
    let columns = schema::COLUMNS.iter();
    let columns = columns.map(|column| (column.name().to_owned(), Target::of(*column)));
    // The tracer comes first because people read it first; `extended` comes last because it is long.
    let (extended, rest): (Vec<_>, Vec<_>) = columns.partition(|(name, _)| name == "extended");
    let tracer = ("tracer".to_owned(), Target::Tracer);
    std::iter::once(tracer).chain(rest).chain(extended).collect()
}

/// The names known in the tables that a query concerns.
pub(crate) struct Names<'a> {
    pub store: &'a Store,
    pub tables: &'a [Table],
    /// Takes names of fields that no row has.
    pub any_field: bool,
}

impl Names<'_> {
    pub(crate) fn find(&self, name: &str) -> Result<Target, Error> {
        let column = schema::COLUMNS.iter().find(|column| column.name() == name);
        match (name, column) {
            ("tracer", _) => Ok(Target::Tracer),
            ("collector_id", _) => Ok(Target::CollectorId),
            ("id", _) => Ok(Target::Id),
            (_, Some(column)) => Ok(Target::of(*column)),
            (name, None) => self.find_field(name),
        }
    }

    fn find_field(&self, name: &str) -> Result<Target, Error> {
        let explicit = name.strip_prefix("extended.");
        let field = explicit.unwrap_or(name);
        // A JSON path has no way to write these.
        if field.is_empty() || field.contains(['"', '\\', '\0']) {
            return Err(Error::UnknownColumn { name: name.to_owned(), nearest: None });
        }
        let target = Target::Field { paths: paths(field) };
        if explicit.is_some() || self.any_field || built_in_fields().any(|known| known == field) {
            return Ok(target);
        }
        let seen = self.sampled_fields().map_err(reading("names of fields"))?;
        if seen.iter().any(|seen| seen == field)
            || self.occurs(&target).map_err(reading("search of a field"))?
        {
            return Ok(target);
        }
        Err(Error::UnknownColumn { name: name.to_owned(), nearest: nearest_name(name, &seen) })
    }

    /// Returns the names of fields that some of the first and of the last rows have.
    pub(crate) fn sampled_fields(&self) -> rusqlite::Result<Vec<String>> {
        let mut names = Vec::new();
        for table in self.tables.iter().filter(|table| table.has("extended")) {
            let quoted = table.from();
            let sql = format!(
                "WITH sample(extended) AS (
                     SELECT extended FROM (SELECT extended FROM {quoted} ORDER BY rowid LIMIT {SAMPLE})
                     UNION ALL
                     SELECT extended FROM (SELECT extended FROM {quoted} ORDER BY rowid DESC LIMIT {SAMPLE}))
                 SELECT DISTINCT key FROM sample,
                     json_each(CASE WHEN json_valid(extended, 2) THEN extended ELSE '{{}}' END)
                 WHERE typeof(key) = 'text'"
            );
            let mut statement = self.store.connection().prepare(&sql)?;
            for name in statement.query_map((), |row| row.get(0))? {
                names.push(name?);
            }
        }
        Ok(names)
    }

    fn occurs(&self, target: &Target) -> rusqlite::Result<bool> {
        for table in self.tables {
            let mut sql = Sql::default();
            let field = sql.field_type(table, target);
            let text = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE {field} IS NOT NULL)", table.from());
            let found = self.store.connection().query_row(
                &text,
                rusqlite::params_from_iter(sql.params()),
                |row| row.get::<_, bool>(0),
            )?;
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the JSON paths of a field: `a.b` is a field of that name, or `b` inside `a`.
fn paths(field: &str) -> Vec<String> {
    let whole = format!("$.\"{field}\"");
    let mut paths = vec![whole];
    if field.contains('.') && field.split('.').all(|part| !part.is_empty()) {
        let nested = field.split('.').map(|part| format!(".\"{part}\"")).collect::<String>();
        paths.push(format!("${nested}"));
    }
    paths
}

/// Names of fields that built-in tracers write; known before the first row has them.
fn built_in_fields<'a>() -> impl Iterator<Item = &'a str> {
    schema::FIELDS.iter().map(|field| field.name)
}

fn nearest_name(name: &str, seen: &[String]) -> Option<String> {
    let columns = schema::COLUMNS.iter().map(|column| column.name());
    let known = columns.chain(["tracer", "collector_id", "id"]).chain(built_in_fields());
    nearest(name, known.chain(seen.iter().map(String::as_str)))
}
