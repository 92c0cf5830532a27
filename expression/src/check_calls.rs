//! The part of the checker for functions, macros and `in`.

use std::collections::HashSet;

use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use regex::RegexBuilder;

use super::calls::{FUNCTIONS, Form, Function, MACROS, Signature};
use super::check::{Checker, Typed};
use super::error::ExpressionError;
use super::ir::{Each, Literal, Node, Quantifier};
use super::kind::Kind;
use super::label;
use super::network::Network;
use super::schema;

/// Largest size of a compiled pattern, in bytes.
const PATTERN_SIZE: usize = 1 << 20;
/// Smallest number of elements at which a list of constants becomes a set.
const SET_FROM: usize = 3;

impl Checker<'_> {
    pub(super) fn function(&mut self, id: u64, call: &CallExpr) -> Result<Typed, ExpressionError> {
        if call.func_name == "has" {
            return self.has(id, call);
        }
        if let Some(what) = quantifier(&call.func_name) {
            return self.each(id, call, what);
        }
        if call.func_name == label::NAME {
            return self.label(id, call);
        }
        let Some(signature) = Signature::named(&call.func_name) else {
            let known = FUNCTIONS.iter().map(|signature| signature.name).chain(MACROS).chain([label::NAME]);
            let nearest = schema::nearest(&call.func_name, known);
            return self
                .fail(id, format!("unknown function {:?}, did you mean {nearest:?}?", call.func_name));
        };
        let mut nodes = Vec::new();
        let mut kinds = Vec::new();
        for argument in call.target.iter().map(Box::as_ref).chain(&call.args) {
            let (node, kind) = self.check(argument)?;
            nodes.push(node);
            kinds.push(kind);
        }
        let wrong_form = match signature.form {
            Form::Method => call.target.is_none(),
            Form::Global => call.target.is_some(),
            Form::Both => false,
        };
        if wrong_form || kinds.len() != signature.arity() {
            return self.fail(id, format!("expected {}", signature.usage()));
        }
        let gives = match signature.check(&kinds) {
            Ok(gives) => gives,
            Err(index) => {
                let found = &kinds[index];
                return self.fail(id, format!("found {found}, expected {}", signature.usage()));
            }
        };
        if signature.function == Function::Matches {
            return self.matches(id, nodes);
        }
        if signature.function == Function::InCidr {
            return self.in_network(id, nodes);
        }
        self.folded(id, Node::Call(signature.function, nodes), gives)
    }

    /// Compiles the pattern of `matches`, which must therefore be a literal.
    fn matches(&mut self, id: u64, mut arguments: Vec<Node>) -> Result<Typed, ExpressionError> {
        let (Some(Node::Const(Literal::Text(pattern))), Some(text)) = (arguments.pop(), arguments.pop())
        else {
            return self.fail(id, "the pattern of matches() must be a string literal");
        };
        match RegexBuilder::new(&pattern).size_limit(PATTERN_SIZE).build() {
            Ok(regex) => Ok((Node::Matches(Box::new(text), Box::new(regex)), Kind::Bool)),
            Err(cause) => {
                let cause = cause.to_string();
                let last =
                    cause.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
                let last = last.strip_prefix("error: ").unwrap_or(last);
                self.fail(id, format!("{pattern:?} is no pattern: {last}"))
            }
        }
    }

    /// Reads the network of `inCidr`, which must therefore be a literal.
    fn in_network(&mut self, id: u64, mut arguments: Vec<Node>) -> Result<Typed, ExpressionError> {
        let (Some(Node::Const(Literal::Text(network))), Some(address)) = (arguments.pop(), arguments.pop())
        else {
            return self.fail(id, "the network of inCidr() must be a string literal");
        };
        match Network::parse(&network) {
            Some(network) => Ok((Node::InNetwork(Box::new(address), network), Kind::Bool)),
            None => self.fail(id, format!("{network:?} is no network, expected one such as \"10.0.0.0/8\"")),
        }
    }

    fn has(&mut self, id: u64, call: &CallExpr) -> Result<Typed, ExpressionError> {
        let (None, [of]) = (&call.target, call.args.as_slice()) else {
            return self.fail(id, "expected has(extended.x)");
        };
        let (node, _) = match &of.expr {
            Expr::Select(select) => self.select(of.id, select)?,
            Expr::Call(inner) if inner.func_name == operators::INDEX && inner.args.len() == 2 => {
                self.index(of.id, &inner.args[0], &inner.args[1])?
            }
            Expr::Ident(_) => self.check(of)?,
            _ => return self.fail(id, "expected has(extended.x)"),
        };
        Ok((Node::Has(Box::new(node)), Kind::Bool))
    }

    fn each(&mut self, id: u64, call: &CallExpr, what: Quantifier) -> Result<Typed, ExpressionError> {
        let usage = format!("expected list.{}(name, expression)", call.func_name);
        let (Some(range), [name, bodies @ ..]) = (&call.target, call.args.as_slice()) else {
            return self.fail(id, usage);
        };
        let Expr::Ident(name) = &name.expr else { return self.fail(name.id, usage) };
        if self.is_extended(range) {
            return self.fail(id, format!("{} does not go over all of extended", call.func_name));
        }
        let (range, kind) = self.check(range)?;
        let element = match kind {
            Kind::List(element) => *element,
            Kind::Object => Kind::Text,
            Kind::Any | Kind::Null => Kind::Any,
            kind => return self.fail(id, format!("found {kind}, {usage}")),
        };
        self.vars.push((name.clone(), element.clone()));
        let checked = self.bodies(id, what, bodies, &usage);
        self.vars.pop();
        let (only, body, gives) = checked?;
        let gives = match what {
            Quantifier::All | Quantifier::Exists | Quantifier::ExistsOne => Kind::Bool,
            Quantifier::Filter => Kind::List(Box::new(element)),
            Quantifier::Map => Kind::List(Box::new(gives)),
        };
        Ok((Node::Each(Box::new(Each { what, range, body, only })), gives))
    }

    /// Checks the arguments of a macro: returns the condition that selects elements, the body, and the body's type.
    fn bodies(
        &mut self,
        id: u64,
        what: Quantifier,
        bodies: &[IdedExpr],
        usage: &str,
    ) -> Result<(Option<Node>, Node, Kind), ExpressionError> {
        match (what, bodies) {
            (Quantifier::Map, [body]) => self.check(body).map(|(body, kind)| (None, body, kind)),
            (Quantifier::Map, [only, body]) => {
                let only = self.truth(only)?;
                self.check(body).map(|(body, kind)| (Some(only), body, kind))
            }
            (Quantifier::Map, _) => self.fail(id, usage),
            (_, [body]) => self.truth(body).map(|body| (None, body, Kind::Bool)),
            _ => self.fail(id, usage),
        }
    }

    pub(super) fn contained(
        &mut self,
        id: u64,
        what: &IdedExpr,
        list: &IdedExpr,
    ) -> Result<Typed, ExpressionError> {
        let (node, kind) = self.check(what)?;
        if self.is_extended(list) {
            let (field, _) = self.extended_at(id, node, kind)?;
            return Ok((Node::Has(Box::new(field)), Kind::Bool));
        }
        let (list, of) = self.check(list)?;
        let fits = match &of {
            Kind::List(element) => element.compares_with(&kind),
            Kind::Object => kind == Kind::Text || kind.is_open(),
            other => other.is_open(),
        };
        if !fits {
            return self.fail(id, format!("operator in does not take {kind} and {of}"));
        }
        Ok((among(node, list), Kind::Bool))
    }

    pub(super) fn extended_at(&mut self, id: u64, name: Node, kind: Kind) -> Result<Typed, ExpressionError> {
        match name.literal() {
            Some(Literal::Text(name)) => Ok((self.field(&name.clone()), Kind::Any)),
            _ if kind == Kind::Text || kind.is_open() => {
                self.any_field = true;
                Ok((Node::FieldAt(Box::new(name)), Kind::Any))
            }
            _ => self.fail(id, format!("extended can't be indexed by {kind}, expected string")),
        }
    }
}

/// Makes the node for `in`, with a set if all elements of the list are texts or all are whole numbers.
fn among(node: Node, list: Node) -> Node {
    if let Node::List(elements) = &list
        && elements.len() >= SET_FROM
    {
        let literals = || elements.iter().map(Node::literal);
        let texts: Option<HashSet<Box<str>>> = literals()
            .map(|literal| if let Some(Literal::Text(text)) = literal { Some(text.clone()) } else { None })
            .collect();
        if let Some(texts) = texts {
            return Node::InTexts(Box::new(node), texts);
        }
        let numbers: Option<HashSet<i64>> = literals()
            .map(|literal| if let Some(Literal::Int(number)) = literal { Some(*number) } else { None })
            .collect();
        if let Some(numbers) = numbers {
            return Node::InInts(Box::new(node), numbers);
        }
    }
    Node::In(Box::new([node, list]))
}

fn quantifier(name: &str) -> Option<Quantifier> {
    Some(match name {
        "all" => Quantifier::All,
        "exists" => Quantifier::Exists,
        "exists_one" | "existsOne" => Quantifier::ExistsOne,
        "filter" => Quantifier::Filter,
        "map" => Quantifier::Map,
        _ => return None,
    })
}
