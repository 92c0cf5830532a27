//! A layout as a person sees it.

use serde::Serialize;

/// One field: for `tracers inspect` and for errors that name what there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldLine {
    /// Its dotted path, as hints name it.
    pub path: String,
    /// Under what name it comes out, without those of the structs it is in; `None` if it is left out.
    pub name: Option<String>,
    /// Byte it begins in, from the beginning of the record; inside of an array from that of the element.
    pub at: usize,
    /// Of a bit-field: bits into that byte, and width.
    pub bits: Option<(u8, u8)>,
    /// Bytes; 0 of a bit-field.
    pub size: usize,
    /// Its type in C.
    pub of: String,
    /// What it comes out as, in words.
    pub shown: String,
    /// The row's column it fills.
    pub column: Option<&'static str>,
}

impl FieldLine {
    pub(crate) fn new(path: &str, of: String, at: usize) -> Self {
        let (path, shown) = (path.to_owned(), "left out".to_owned());
        Self { path, name: None, at, bits: None, size: 0, of, shown, column: None }
    }
}
