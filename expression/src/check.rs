//! The type checker: finds the type of every part of the tree, or refuses the expression with the position of the
//! mistake.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use super::error::ExpressionError;
use super::eval::Run;
use super::ir::{Literal, Node, Operation, Relation};
use super::kind::Kind;
use super::parse::{MAX_DEPTH, Parsed};
use super::source::Nothing;
use super::{Schema, schema};

/// A checked part of an expression, with its type.
pub(super) type Typed = (Node, Kind);

/// Checks a tree in one pass.
pub(super) struct Checker<'a> {
    pub(super) parsed: &'a Parsed,
    pub(super) schema: &'a Schema,
    /// Variables of the enclosing macros, with their types.
    pub(super) vars: Vec<(String, Kind)>,
    /// Columns and fields of `extended` that are read.
    pub(super) used: BTreeSet<String>,
    /// True if a field is read with a name that is only known at run time.
    pub(super) any_field: bool,
    /// True if the expression asks for labels.
    pub(super) has_labels: bool,
    depth: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(parsed: &'a Parsed, schema: &'a Schema) -> Self {
        let (vars, used, any_field, has_labels) = (Vec::new(), BTreeSet::new(), false, false);
        Self { parsed, schema, vars, used, any_field, has_labels, depth: 0 }
    }

    pub(super) fn fail<T>(&self, part: u64, message: impl Into<String>) -> Result<T, ExpressionError> {
        Err(self.parsed.error(part, message.into()))
    }

    /// Checks the whole expression, which must give true or false.
    pub(super) fn root(&mut self) -> Result<Node, ExpressionError> {
        let root = &self.parsed.root;
        let (node, kind) = self.check(root)?;
        if kind == Kind::Bool || kind.is_open() {
            return Ok(node);
        }
        self.fail(first(root), format!("the expression gives {kind}, expected bool"))
    }

    pub(super) fn check(&mut self, part: &IdedExpr) -> Result<Typed, ExpressionError> {
        if self.depth >= MAX_DEPTH {
            return self.fail(part.id, format!("expressions are nested at most {MAX_DEPTH} deep"));
        }
        self.depth += 1;
        let checked = self.checked(part);
        self.depth -= 1;
        checked
    }

    fn checked(&mut self, part: &IdedExpr) -> Result<Typed, ExpressionError> {
        match &part.expr {
            Expr::Literal(literal) => self.literal(part.id, literal),
            Expr::Ident(name) => self.name(part.id, name),
            Expr::Select(select) => self.select(part.id, select),
            Expr::Call(call) => self.call(part.id, call),
            Expr::List(list) => self.list(&list.elements),
            Expr::Map(_) => self.fail(part.id, "maps can't be written in an expression"),
            Expr::Struct(made) => self.fail(part.id, format!("unknown type {:?}", made.type_name)),
            Expr::Comprehension(_) | Expr::Unspecified => self.fail(part.id, "expected a value"),
        }
    }

    fn literal(&self, id: u64, literal: &LiteralValue) -> Result<Typed, ExpressionError> {
        Ok(match literal {
            LiteralValue::Null => (Node::Const(Literal::Null), Kind::Null),
            LiteralValue::Boolean(truth) => (Node::Const(Literal::Bool(*truth.inner())), Kind::Bool),
            LiteralValue::Int(number) => (Node::Const(Literal::Int(*number.inner())), Kind::Int),
            LiteralValue::Double(number) => (Node::Const(Literal::Double(*number.inner())), Kind::Double),
            LiteralValue::String(text) => (Node::Const(Literal::Text(text.inner().into())), Kind::Text),
            // Rows need only one type of whole numbers.
            LiteralValue::UInt(number) => match i64::try_from(*number.inner()) {
                Ok(number) => (Node::Const(Literal::Int(number)), Kind::Int),
                Err(_) => return self.fail(id, "numbers have at most 63 bits"),
            },
            LiteralValue::Bytes(_) => return self.fail(id, "there are no bytes in rows, only strings"),
        })
    }

    fn name(&mut self, id: u64, name: &str) -> Result<Typed, ExpressionError> {
        let name = name.trim_start_matches('.');
        if let Some(index) = self.vars.iter().rposition(|(var, _)| var == name) {
            return Ok((Node::Var(index), self.vars[index].1.clone()));
        }
        if let Some((column, kind)) = schema::column(name) {
            if self.schema.stored && !column.is_stored() {
                return self
                    .fail(id, format!("{name} is not stored: only filters of the agent can ask for it"));
            }
            self.used.insert(name.to_owned());
            return Ok((Node::Column(column), kind));
        }
        if let Some(kind) = schema::field(name) {
            return Ok((self.field(name), kind));
        }
        if name == schema::EXTENDED {
            return self.fail(id, "extended is all fields; name one: extended.x, extended[\"x\"]");
        }
        let vars = self.vars.iter().map(|(var, _)| var.as_str());
        let nearest = schema::nearest(name, schema::names().chain(vars));
        self.fail(
            id,
            format!(
                "unknown field {name:?}, did you mean {nearest:?}? (fields of other tracers: extended.{name})"
            ),
        )
    }

    pub(super) fn field(&mut self, name: &str) -> Node {
        self.used.insert(name.to_owned());
        Node::Field(name.into())
    }

    /// Returns whether a part is `extended` itself rather than a macro's variable of that name.
    pub(super) fn is_extended(&self, part: &IdedExpr) -> bool {
        matches!(&part.expr, Expr::Ident(name) if name == schema::EXTENDED)
            && self.vars.iter().all(|(var, _)| var != schema::EXTENDED)
    }

    pub(super) fn select(&mut self, id: u64, select: &SelectExpr) -> Result<Typed, ExpressionError> {
        if self.is_extended(&select.operand) {
            return Ok((self.field(&select.field), Kind::Any));
        }
        let (node, kind) = self.check(&select.operand)?;
        if kind == Kind::Object || kind.is_open() {
            return Ok((Node::Member(Box::new(node), select.field.as_str().into()), Kind::Any));
        }
        self.fail(id, format!("{kind} has no field {:?}", select.field))
    }

    pub(super) fn index(&mut self, id: u64, of: &IdedExpr, at: &IdedExpr) -> Result<Typed, ExpressionError> {
        let (index, index_kind) = self.check(at)?;
        if self.is_extended(of) {
            return self.extended_at(id, index, index_kind);
        }
        let (node, kind) = self.check(of)?;
        let gives = match (&kind, &index_kind) {
            (Kind::List(element), Kind::Int | Kind::Any | Kind::Null) => element.as_ref().clone(),
            (Kind::Object, Kind::Text | Kind::Any | Kind::Null) => Kind::Any,
            (Kind::Any | Kind::Null, Kind::Int | Kind::Text | Kind::Any | Kind::Null) => Kind::Any,
            (kind, index) => return self.fail(id, format!("{kind} can't be indexed by {index}")),
        };
        Ok((Node::At(Box::new(node), Box::new(index)), gives))
    }

    fn list(&mut self, elements: &[IdedExpr]) -> Result<Typed, ExpressionError> {
        let (mut nodes, mut kind) = (Vec::with_capacity(elements.len()), None::<Kind>);
        for element in elements {
            let (node, found) = self.check(element)?;
            kind = Some(kind.map_or(found.clone(), |kind| kind.or(found)));
            nodes.push(node);
        }
        Ok((Node::List(nodes), Kind::List(Box::new(kind.unwrap_or(Kind::Any)))))
    }

    fn call(&mut self, id: u64, call: &CallExpr) -> Result<Typed, ExpressionError> {
        let (name, args) = (call.func_name.as_str(), call.args.as_slice());
        match (name, args) {
            (operators::LOGICAL_AND, [a, b]) => Ok((self.all_of(a, b, true)?, Kind::Bool)),
            (operators::LOGICAL_OR, [a, b]) => Ok((self.all_of(a, b, false)?, Kind::Bool)),
            (operators::LOGICAL_NOT, [a]) => Ok((Node::Not(Box::new(self.truth(a)?)), Kind::Bool)),
            (operators::CONDITIONAL, [test, yes, no]) => {
                let test = self.truth(test)?;
                let ((yes, a), (no, b)) = (self.check(yes)?, self.check(no)?);
                Ok((Node::If(Box::new([test, yes, no])), a.or(b)))
            }
            (operators::INDEX, [of, at]) => self.index(id, of, at),
            (operators::NEGATE, [a]) => {
                let (node, kind) = self.check(a)?;
                if !(kind.is_number() || kind == Kind::Span || kind.is_open()) {
                    return self.fail(id, format!("operator - does not take {kind}"));
                }
                self.folded(id, Node::Negative(Box::new(node)), kind)
            }
            (operators::IN, [what, list]) => self.contained(id, what, list),
            (name, [a, b]) => match (relation(name), operation(name)) {
                (Some(relation), _) => self.compare(id, relation, a, b),
                (_, Some(operation)) => self.arithmetic(id, operation, a, b),
                _ => self.function(id, call),
            },
            _ => self.function(id, call),
        }
    }

    /// Checks `&&` or `||`; a chain of the same operator becomes one flat node.
    fn all_of(&mut self, a: &IdedExpr, b: &IdedExpr, and: bool) -> Result<Node, ExpressionError> {
        let mut nodes = Vec::new();
        for part in [a, b] {
            match (and, self.truth(part)?) {
                (true, Node::And(mut inner)) | (false, Node::Or(mut inner)) => nodes.append(&mut inner),
                (_, node) => nodes.push(node),
            }
        }
        Ok(if and { Node::And(nodes) } else { Node::Or(nodes) })
    }

    pub(super) fn truth(&mut self, part: &IdedExpr) -> Result<Node, ExpressionError> {
        let (node, kind) = self.check(part)?;
        if kind == Kind::Bool || kind.is_open() {
            return Ok(node);
        }
        self.fail(first(part), format!("found {kind}, expected bool"))
    }

    fn compare(
        &mut self,
        id: u64,
        relation: Relation,
        a: &IdedExpr,
        b: &IdedExpr,
    ) -> Result<Typed, ExpressionError> {
        let ((a, left), (b, right)) = (self.check(a)?, self.check(b)?);
        let ordered = left.is_ordered() && right.is_ordered();
        if !left.compares_with(&right) || !(relation.is_equality() || ordered) {
            return self.fail(id, format!("operator {} does not take {left} and {right}", relation.sign()));
        }
        Ok((Node::Compare(relation, Box::new([a, b])), Kind::Bool))
    }

    fn arithmetic(
        &mut self,
        id: u64,
        operation: Operation,
        a: &IdedExpr,
        b: &IdedExpr,
    ) -> Result<Typed, ExpressionError> {
        use Operation::{Add, Modulo, Subtract};
        let ((a, left), (b, right)) = (self.check(a)?, self.check(b)?);
        let gives = match (operation, &left, &right) {
            (_, Kind::Int, Kind::Int) => Kind::Int,
            (_, Kind::Double, Kind::Double) if operation != Modulo => Kind::Double,
            (Add, Kind::Text, Kind::Text) => Kind::Text,
            (Add, Kind::Time, Kind::Span) | (Add, Kind::Span, Kind::Time) => Kind::Time,
            (Subtract, Kind::Time, Kind::Span) => Kind::Time,
            (Subtract, Kind::Time, Kind::Time) => Kind::Span,
            (Add | Subtract, Kind::Span, Kind::Span) => Kind::Span,
            (_, a, b) if (a.is_open() && operand(b)) || (b.is_open() && operand(a)) => Kind::Any,
            _ => {
                let message = format!("operator {} does not take {left} and {right}", operation.sign());
                return self.fail(id, message);
            }
        };
        self.folded(id, Node::Arithmetic(operation, Box::new([a, b])), gives)
    }

    /// Evaluates a part that does not depend on a row, so that a part that always fails is reported at compile time.
    pub(super) fn folded(&self, id: u64, node: Node, kind: Kind) -> Result<Typed, ExpressionError> {
        let constant = match &node {
            Node::Arithmetic(_, sides) => sides.iter().all(|side| side.literal().is_some()),
            Node::Negative(of) => of.literal().is_some(),
            Node::Call(_, arguments) => arguments.iter().all(|argument| argument.literal().is_some()),
            _ => false,
        };
        if !constant {
            return Ok((node, kind));
        }
        let folded = match Run::new(&Nothing, self.schema.localize).eval(&node) {
            Ok(value) => Literal::of(&value),
            Err(cause) => return self.fail(id, cause.to_string()),
        };
        Ok((folded.map_or(node, Node::Const), kind))
    }
}

fn operand(kind: &Kind) -> bool {
    !matches!(kind, Kind::Bool | Kind::List(_) | Kind::Object)
}

/// Returns the part of an expression that is written first, where an error is marked.
fn first(part: &IdedExpr) -> u64 {
    match &part.expr {
        Expr::Call(CallExpr { target: Some(target), .. }) => first(target),
        Expr::Call(CallExpr { args, func_name, .. }) if !func_name.starts_with(char::is_alphabetic) => {
            args.first().filter(|_| func_name.starts_with('_')).map_or(part.id, first)
        }
        Expr::Select(select) => first(&select.operand),
        _ => part.id,
    }
}

fn relation(name: &str) -> Option<Relation> {
    Some(match name {
        operators::EQUALS => Relation::Equal,
        operators::NOT_EQUALS => Relation::NotEqual,
        operators::LESS => Relation::Less,
        operators::LESS_EQUALS => Relation::LessEqual,
        operators::GREATER => Relation::Greater,
        operators::GREATER_EQUALS => Relation::GreaterEqual,
        _ => return None,
    })
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        operators::ADD => Operation::Add,
        operators::SUBSTRACT => Operation::Subtract,
        operators::MULTIPLY => Operation::Multiply,
        operators::DIVIDE => Operation::Divide,
        operators::MODULO => Operation::Modulo,
        _ => return None,
    })
}
