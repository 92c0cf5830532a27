//! Types of columns and fields in a columnar store, by the names that Apache Arrow gives them.

use std::fmt;

/// The type of a column or field in a columnar store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrowType {
    /// A boolean value.
    Bool,
    /// A signed number of 32 bits.
    Int32,
    /// A signed number of 64 bits.
    Int64,
    /// An unsigned number of 8 bits.
    UInt8,
    /// An unsigned number of 16 bits.
    UInt16,
    /// An unsigned number of 32 bits.
    UInt32,
    /// An unsigned number of 64 bits.
    UInt64,
    /// A text in valid UTF-8.
    Utf8,
    /// Exact bytes. In JSON they are hex.
    Binary,
    /// A local time, microseconds since 1970 as the wall clock showed them, without a zone. In JSON and SQL it is text.
    LocalTime,
    /// A point in time, nanoseconds since 1970, UTC. In SQL it is that number, in JSON text as in RFC 3339, with an offset.
    TimestampUtc,
    /// A list of elements of one type.
    List(&'static ArrowType),
    /// An object whose members are the fields that the tracer writes.
    Struct,
}

impl ArrowType {
    /// Returns whether values are whole numbers. Points in time are none, although SQL shows them as numbers.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Int32 | Self::Int64 | Self::UInt8 | Self::UInt16 | Self::UInt32 | Self::UInt64)
    }
}

impl fmt::Display for ArrowType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalTime => f.write_str("Timestamp(us)"),
            Self::TimestampUtc => f.write_str("Timestamp(ns, UTC)"),
            Self::List(of) => write!(f, "List({of})"),
            plain => write!(f, "{plain:?}"),
        }
    }
}
