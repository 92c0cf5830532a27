//! Types of expressions, as CEL names them. Any value may be null besides.

use std::fmt;

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// true, false.
    Bool,
    /// A whole number.
    Int,
    /// Any other number.
    Double,
    /// Text.
    Text,
    /// A moment of local time.
    Time,
    /// A length of time.
    Span,
    /// A list.
    List(Box<Kind>),
    /// An object: names and values.
    Object,
    /// Nothing but null.
    Null,
    /// Not known before a row is there.
    Any,
}

impl Kind {
    /// A list of texts.
    pub fn texts() -> Self {
        Self::List(Box::new(Self::Text))
    }

    /// Known only at run time, or null.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Any | Self::Null)
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }

    /// Values of the two may be equal.
    pub(super) fn compares_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => a.compares_with(b),
            (a, b) => a.is_open() || b.is_open() || a == b || (a.is_number() && b.is_number()),
        }
    }

    /// One of two may be there.
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
