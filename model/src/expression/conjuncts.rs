//! What of an expression a store can be asked beforehand: conditions on single columns all of which must hold where
//! the expression does.

use super::calls::Function;
use super::ir::{Literal, Node, Relation};
use super::source::Column;

/// A condition that holds wherever the expression holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Conjunct {
    /// On which column.
    pub column: Column,
    /// What.
    pub test: Test,
}

/// What is asked of a column. Null is equal to no literal and stands in no order to one.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// Stands to this literal as the relation says.
    Compare(Relation, Literal),
    /// Is one of these.
    In(Vec<Literal>),
    /// Text that begins so.
    StartsWith(Box<str>),
}

/// Those of a compiled expression.
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
                Some(Conjunct { column: *column, test: Test::Compare(relation.turned(), literal.clone()) })
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
