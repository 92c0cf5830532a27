//! Types of expressions, with CEL's names. A value of any type may also be null.

use std::fmt;

/// The type of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A boolean value.
    Bool,
    /// A whole number.
    Int,
    /// Any other number.
    Double,
    /// A text value.
    Text,
    /// A local time.
    Time,
    /// A duration of time.
    Span,
    /// A list of elements of one type.
    List(Box<Kind>),
    /// An object with names and values.
    Object,
    /// The type of null.
    Null,
    /// A type that is only known for a given row.
    Any,
}

impl Kind {
    /// Returns the type of a list of texts.
    pub fn texts() -> Self {
        Self::List(Box::new(Self::Text))
    }

    /// Returns whether the type is only known at run time, or null.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Any | Self::Null)
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    /// Returns whether values of the two types may be equal.
    pub(super) fn compares_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => a.compares_with(b),
            (a, b) => a.is_open() || b.is_open() || a == b || (a.is_number() && b.is_number()),
        }
    }

    /// Returns the type of a value that may have either of two types.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (a, b) if a == b => a,
            _ => Self::Any,
        }
    }

    pub(super) fn is_ordered(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Object)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Double => "double",
            Self::Text => "string",
            Self::Time => "timestamp",
            Self::Span => "duration",
            Self::List(kind) => return write!(f, "list({kind})"),
            Self::Object => "map",
            Self::Null => "null",
            Self::Any => "dyn",
        })
    }
}
