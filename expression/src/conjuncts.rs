//! Conditions on single columns that follow from an expression. All of them hold wherever the expression holds, so a
//! store can use them to select rows before the expression is applied.

use model::schema::Column;

use super::calls::Function;
use super::ir::{Literal, Node, Relation};

/// A condition that holds wherever the expression holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Conjunct {
    /// Column that the condition is on.
    pub column: Column,
    /// Test of the column's value.
    pub test: Test,
}

/// A test of a column's value. Null equals no literal and is neither less nor greater than one.
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
    let column = |node: &Node| if let Node::Column(column) = node { Some(*column) } else { None };
    match node {
        Node::Compare(relation, sides) => match sides.as_ref() {
            [Node::Column(column), Node::Const(literal)] => {
                Some(Conjunct { column: *column, test: Test::Compare(*relation, literal.clone()) })
            }
            [Node::Const(literal), Node::Column(column)] => {
                Some(Conjunct { column: *column, test: Test::Compare(relation.mirrored(), literal.clone()) })
            }
            _ => None,
        },
        Node::InTexts(of, texts) => {
            let texts = texts.iter().map(|text| Literal::Text(text.clone())).collect();
            Some(Conjunct { column: column(of)?, test: Test::In(texts) })
        }
        Node::InInts(of, numbers) => {
            let numbers = numbers.iter().map(|number| Literal::Int(*number)).collect();
            Some(Conjunct { column: column(of)?, test: Test::In(numbers) })
        }
        Node::Call(Function::StartsWith, arguments) => match arguments.as_slice() {
            [Node::Column(column), Node::Const(Literal::Text(prefix))] => {
                Some(Conjunct { column: *column, test: Test::StartsWith(prefix.clone()) })
            }
            _ => None,
        },
        _ => None,
    }
}
