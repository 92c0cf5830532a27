//! Describes a layout to people.

use serde::Serialize;

/// A field, as shown by `tracers inspect` and in errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldLine {
    /// The field's dotted path, as hints name it.
    pub path: String,
    /// Name of the decoded field, without those of its outer structs; `None` if it is left out.
    pub name: Option<String>,
    /// Byte offset from the beginning of the record; inside an array from that of the element.
    pub at: usize,
    /// For a bit-field: bit offset in that byte, and width.
    pub bits: Option<(u8, u8)>,
    /// Size in bytes; 0 for a bit-field.
    pub size: usize,
    /// The type in C.
    pub of: String,
    /// Describes the decoded value.
    pub shown: String,
    /// The column of the row that it fills.
    pub column: Option<&'static str>,
}

impl FieldLine {
    pub(crate) fn new(path: &str, of: String, at: usize) -> Self {
        let (path, shown) = (path.to_owned(), "left out".to_owned());
        Self { path, name: None, at, bits: None, size: 0, of, shown, column: None }
    }
}
