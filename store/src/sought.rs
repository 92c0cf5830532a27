//! Values that rows are looked for by.

/// A value that rows are looked for by.
#[derive(Clone, Debug, PartialEq)]
pub enum Sought {
    /// A whole number.
    Int(i64),
    /// A text that must be equal, byte by byte.
    Text(String),
    /// Bytes that must be equal.
    Bytes(Vec<u8>),
}
