//! Fields that become columns of a row. A field that can't fill its column is refused here, before any record.

use model::schema::{COLUMNS, Column, ColumnKind};

use super::describe::FieldLine;
use super::error::LayoutError;
use super::shape::{Field, Scalar, Shape, Span};

const NUMBER: &str = "a whole number";
const TEXT: &str = "text";

/// A column that fields can fill.
struct Fillable {
    name: &'static str,
    /// Content of the column.
    expected: &'static str,
    /// True if a record is lost if its field has another type; the other columns are filled if they fit.
    strict: bool,
}

/// Returns the column that a field of this name fills. No field has the form of an `exec_id`; `timestamp` fills `time` and
/// `boot_ns`.
fn fillable(name: &str) -> Option<Fillable> {
    if name == "timestamp" {
        return Some(Fillable { name: "timestamp", expected: "nanoseconds since boot", strict: true });
    }
    let never = [Column::ExecId, Column::Time, Column::BootNs];
    let column = COLUMNS.iter().find(|column| column.name() == name && !never.contains(column))?;
    let expected = match column.kind() {
        ColumnKind::Integer => NUMBER,
        ColumnKind::Text => TEXT,
        ColumnKind::DateTime | ColumnKind::Time => "a time",
        ColumnKind::Json => "an object",
    };
    Some(Fillable { name: column.name(), expected, strict: column.is_core() })
}

/// Refuses a field that can't fill the column of its name, and notes the columns that are filled.
pub(crate) fn check(record: &str, fields: &[Field], lines: &mut [FieldLine]) -> Result<(), LayoutError> {
    for field in fields {
        let Some(Fillable { name: column, expected, strict }) = fillable(&field.key) else { continue };
        let fits = fits(column, expected, &field.shape);
        // The lines list a field at the top only; if two fields have the name, the other is nested.
        let at_top = |line: &&mut FieldLine| line.name.as_deref() == Some(column) && line.at == field.at;
        let Some(line) = lines.iter_mut().find(at_top) else { continue };
        if fits {
            line.column = Some(if column == "timestamp" { "dt" } else { column });
        } else if strict {
            let (record, field, of) = (record.to_owned(), line.path.clone(), line.of.clone());
            return Err(LayoutError::Column { record, field, of, column, expected });
        }
    }
    Ok(())
}

fn fits(column: &str, expected: &str, shape: &Shape) -> bool {
    match shape {
        Shape::Scalar(_, Scalar::Number | Scalar::BootNs) => {
            expected == NUMBER || column == "timestamp" || column == "dt"
        }
        Shape::Scalar(_, Scalar::Moment { .. }) => column == "dt",
        Shape::Scalar(_, Scalar::Char | Scalar::Hex) => expected == TEXT,
        Shape::Span(_, Span::Text | Span::Bytes | Span::Ipv4 | Span::Ipv6 | Span::Mac) => expected == TEXT,
        Shape::Object(_) => column == "extended",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_column_that_fields_fill() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/RECORDS.md");
        let text = std::fs::read_to_string(path).unwrap();
        let paragraph =
            text.split("\n\n").find(|text| text.starts_with("Top-level fields with the name")).unwrap();
        for column in COLUMNS.iter().filter_map(|column| fillable(column.name())) {
            assert!(paragraph.contains(&format!("`{}`", column.name)), "{} is not in {path}", column.name);
        }
    }
}
