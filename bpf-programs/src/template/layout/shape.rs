//! A compiled layout: where each field lies and what its bytes become.

use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    /// Name of the decoded field.
    pub(crate) key: String,
    /// Name of the field with the exact bytes, for text that is not UTF-8.
    pub(crate) bytes_key: String,
    /// Offset from the beginning of its struct.
    pub(crate) at: usize,
    pub(crate) shape: Shape,
}

/// The value that bytes are decoded to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// A single number.
    Scalar(Load, Scalar),
    /// A run of bytes that is one value.
    Span(usize, Span),
    /// Several elements of the same shape.
    Array { count: usize, stride: usize, element: Box<Shape> },
    /// A struct or union.
    Object(Vec<Field>),
}

/// Describes how a number is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Bytes: 1, 2, 4, 8 or 16; for a bit-field those of its declared type.
    pub(crate) width: u8,
    pub(crate) signed: bool,
    /// For a bit-field: offset in bits, and width.
    pub(crate) bits: Option<(u8, u8)>,
    pub(crate) big_endian: bool,
}

/// The meaning of a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Number,
    Bool,
    Float,
    Hex,
    Char,
    Names(Arc<Names>),
    Moment {
        monotonic: bool,
    },
    /// A number on the monotonic clock that is shown as one on the boot clock.
    BootNs,
}

/// The meaning of a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Text,
    Bytes,
    Ipv4,
    Ipv6,
    Mac,
}

/// An enum's constants by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    sorted: Vec<(i64, String)>,
}

impl Names {
    /// Sorts constants by value, keeping the first name of each.
    pub(crate) fn new(mut named: Vec<(i64, String)>) -> Self {
        named.sort_by_key(|(value, _)| *value);
        named.dedup_by_key(|(value, _)| *value);
        Self { sorted: named }
    }

    pub(crate) fn get(&self, value: i64) -> Option<&str> {
        let found = self.sorted.binary_search_by_key(&value, |(value, _)| *value).ok()?;
        self.sorted.get(found).map(|(_, name)| name.as_str())
    }
}

impl Shape {
    /// Describes the decoded value.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Scalar(load, scalar) => match scalar {
                Scalar::Number if load.width == 16 => "number as text".to_owned(),
                Scalar::Number if load.big_endian => "number, big-endian".to_owned(),
                Scalar::Number => "number".to_owned(),
                Scalar::Bool => "true or false".to_owned(),
                Scalar::Float => "float".to_owned(),
                Scalar::Hex => "hex".to_owned(),
                Scalar::Char => "character".to_owned(),
                Scalar::Names(_) => "name".to_owned(),
                Scalar::Moment { monotonic: true } => "time (monotonic clock)".to_owned(),
                Scalar::Moment { monotonic: false } => "time (boot clock)".to_owned(),
                Scalar::BootNs => "number (monotonic to boot clock)".to_owned(),
            },
            Self::Span(_, span) => match span {
                Span::Text => "text",
                Span::Bytes => "hex bytes",
                Span::Ipv4 => "IPv4 address",
                Span::Ipv6 => "IPv6 address",
                Span::Mac => "MAC address",
            }
            .to_owned(),
            Self::Array { element, .. } => format!("list of {}", element.shown()),
            Self::Object(_) => "object".to_owned(),
        }
    }

    /// True if its text may hold bytes that are not UTF-8.
    pub(crate) fn is_text(&self) -> bool {
        match self {
            Self::Span(_, span) => *span == Span::Text,
            Self::Scalar(_, scalar) => *scalar == Scalar::Char,
            Self::Array { element, .. } => element.is_text(),
            Self::Object(_) => false,
        }
    }

    /// Estimates the size of the decoded value, so that overlapping members can't make a small record large.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Scalar(..) => 16,
            Self::Span(length, _) => length.saturating_add(16),
            Self::Array { count, element, .. } => count.saturating_mul(element.weight()).saturating_add(16),
            Self::Object(fields) => fields
                .iter()
                .fold(16, |sum, field| sum.saturating_add(field.shape.weight()).saturating_add(16)),
        }
    }
}
