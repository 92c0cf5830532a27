//! Conditions on single columns and fields that follow from an expression. All of them hold wherever the expression holds, so a
//! store can use them to select rows before the expression is applied.

use model::schema::Column;

use super::calls::Function;
use super::ir::{Literal, Node, Relation};

/// A condition that holds wherever the expression holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Conjunct {
    /// The value that the condition is on.
    pub of: Subject,
    /// Test of the value.
    pub test: Test,
}

/// A value of a row that a condition is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The value of a column.
    Column(Column),
    /// A field of `extended`.
    Field(Box<str>),
}

impl Subject {
    fn of(node: &Node) -> Option<Self> {
        match node {
            Node::Column(column) => Some(Self::Column(*column)),
            Node::Field(name) => Some(Self::Field(name.clone())),
            _ => None,
        }
    }
}

/// A test of a value. Null equals no literal and is neither less nor greater than one.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The value compares to the literal in this way.
    Compare(Relation, Literal),
    /// The value is one of these.
    In(Vec<Literal>),
    /// The value is a text with this prefix.
    StartsWith(Box<str>),
}

/// Returns the conditions that follow from a compiled expression.
pub(super) fn of(node: &Node) -> Vec<Conjunct> {
    match node {
        Node::And(parts) => parts.iter().filter_map(conjunct).collect(),
        other => conjunct(other).into_iter().collect(),
    }
}

fn conjunct(node: &Node) -> Option<Conjunct> {
    let (of, test) = match node {
        Node::Compare(relation, sides) => match sides.as_ref() {
            [of, Node::Const(literal)] => (of, Test::Compare(*relation, literal.clone())),
            [Node::Const(literal), of] => (of, Test::Compare(relation.mirrored(), literal.clone())),
            _ => return None,
        },
        Node::InTexts(of, texts) => {
            let texts = texts.iter().map(|text| Literal::Text(text.clone()));
            (of.as_ref(), Test::In(texts.collect()))
        }
        Node::InInts(of, numbers) => {
            let numbers = numbers.iter().map(|number| Literal::Int(*number));
            (of.as_ref(), Test::In(numbers.collect()))
        }
        Node::Call(Function::StartsWith, arguments) => match arguments.as_slice() {
            [of, Node::Const(Literal::Text(prefix))] => (of, Test::StartsWith(prefix.clone())),
            _ => return None,
        },
        _ => return None,
    };
    Some(Conjunct { of: Subject::of(of)?, test })
}
