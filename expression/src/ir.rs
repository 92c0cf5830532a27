//! The compiled form of an expression: a checked tree with its constant parts evaluated.

use std::collections::HashSet;

use regex::Regex;

use model::schema::Column;

use super::calls::Function;
use super::network::Network;
use super::value::Value;
use model::WallTime;

/// An operation of a compiled expression.
#[derive(Debug)]
pub(super) enum Node {
    Const(Literal),
    Column(Column),
    /// A field of `extended`.
    Field(Box<str>),
    /// A field of `extended` with a name that is only known at run time.
    FieldAt(Box<Node>),
    /// A macro's variable, by the number of macros around that macro.
    Var(usize),
    Member(Box<Node>, Box<str>),
    At(Box<Node>, Box<Node>),
    /// True if the value is not null.
    Has(Box<Node>),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    Compare(Relation, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    InTexts(Box<Node>, HashSet<Box<str>>),
    InInts(Box<Node>, HashSet<i64>),
    Arithmetic(Operation, Box<[Node; 2]>),
    Negative(Box<Node>),
    List(Vec<Node>),
    Matches(Box<Node>, Box<Regex>),
    InNetwork(Box<Node>, Network),
    Each(Box<Each>),
    Call(Function, Vec<Node>),
}

/// A macro over a list.
#[derive(Debug)]
pub(super) struct Each {
    pub(super) what: Quantifier,
    pub(super) range: Node,
    /// Condition for each element, or the value it is mapped to.
    pub(super) body: Node,
    /// Condition that selects elements, for `map` with three arguments.
    pub(super) only: Option<Node>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Relation {
    /// Returns the operator as it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
        }
    }

    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Returns the operator for exchanged operands.
    pub(super) fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            same => same,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operation {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }
}

/// A constant value in an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// The null value.
    Null,
    /// A boolean value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A text value.
    Text(Box<str>),
    /// A local time.
    Time(WallTime),
    /// A duration in microseconds.
    Span(i64),
}

impl Literal {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Int(number) => Value::Int(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Text(text) => Value::text(text),
            Self::Time(at) => Value::Time(*at),
            Self::Span(micros) => Value::Span(*micros),
        }
    }

    /// Returns the literal for a value, if there is one.
    pub(super) fn of(value: &Value<'_>) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Int(number) => Self::Int(*number),
            Value::Double(number) => Self::Double(*number),
            Value::Text(text) => Self::Text(text.as_ref().into()),
            Value::Time(at) => Self::Time(*at),
            Value::Span(micros) => Self::Span(*micros),
            Value::Uint(_) | Value::Part(_) | Value::List(_) | Value::Object(_) => return None,
        })
    }
}

impl Node {
    pub(super) fn literal(&self) -> Option<&Literal> {
        if let Self::Const(literal) = self { Some(literal) } else { None }
    }
}
