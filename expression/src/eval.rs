//! Applies a compiled expression to a row. No row can make it panic, hang or use much memory: steps are counted, and
//! beyond a limit the evaluation fails.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::error::EvalError;
use super::ir::{Each, Literal, Node, Quantifier, Relation};
use super::ops::{self, wrong};
use super::source::Source;
use super::time::Localize;
use super::value::{Items, Value};

/// Largest number of steps on one row: operations, elements of lists, and texts in pieces of [`TEXT_STEP`].
const STEPS: u32 = 100_000;
/// Bytes of text that count as one step.
const TEXT_STEP: usize = 256;

type Result<T> = std::result::Result<T, EvalError>;

/// The evaluation of an expression on a row.
pub(super) struct Run<'a, S: Source> {
    source: &'a S,
    pub(super) localize: Localize,
    vars: Vec<Value<'a>>,
    steps: u32,
}

impl<'a, S: Source> Run<'a, S> {
    pub(super) fn new(source: &'a S, localize: Localize) -> Self {
        Self { source, localize, vars: Vec::new(), steps: STEPS }
    }

    pub(super) fn spend(&mut self, steps: usize) -> Result<()> {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.checked_sub(steps));
        self.steps = left.ok_or(EvalError::TooMuch)?;
        Ok(())
    }

    pub(super) fn spend_text(&mut self, text: &str) -> Result<()> {
        self.spend(text.len() / TEXT_STEP)
    }

    /// Evaluates a part of the expression.
    pub(super) fn eval(&mut self, node: &'a Node) -> Result<Value<'a>> {
        self.spend(1)?;
        Ok(match node {
            Node::Const(literal) => literal.value(),
            Node::Column(column) => self.source.column(*column),
            Node::Field(name) => self.source.field(name),
            Node::FieldAt(name) => match self.eval(name)? {
                Value::Text(Cow::Borrowed(name)) => self.source.field(name),
                // The computed name is dropped before the value is.
                Value::Text(Cow::Owned(name)) => self.source.field(&name),
                Value::Null => Value::Null,
                other => return wrong("extended[]", &other),
            },
            Node::Var(index) => self.vars.get(*index).cloned().unwrap_or(Value::Null),
            Node::Member(of, name) => match self.eval(of)? {
                of @ (Value::Null | Value::Object(_)) => of.member(name),
                other => return wrong(".", &other),
            },
            Node::At(of, index) => {
                let (of, index) = (self.eval(of)?, self.eval(index)?);
                ops::at(&of, &index)?
            }
            Node::If(parts) => {
                let [test, yes, no] = parts.as_ref();
                if self.test(test)? { self.eval(yes)? } else { self.eval(no)? }
            }
            Node::Arithmetic(operation, sides) => {
                let (a, b) = (self.eval(&sides[0])?, self.eval(&sides[1])?);
                let sum = ops::arithmetic(*operation, a, b)?;
                if let Value::Text(text) = &sum {
                    self.spend_text(text)?;
                }
                sum
            }
            Node::Negative(of) => ops::negative(self.eval(of)?)?,
            Node::List(elements) => {
                let values = elements.iter().map(|element| self.eval(element)).collect::<Result<_>>()?;
                Value::List(Items::Values(values))
            }
            Node::Each(each) => self.each(each)?,
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            _ => Value::Bool(self.test(node)?),
        })
    }

    /// Evaluates a part as a condition. Null counts as false.
    pub(super) fn test(&mut self, node: &'a Node) -> Result<bool> {
        match node {
            Node::And(parts) => self.decide(parts, false),
            Node::Or(parts) => self.decide(parts, true),
            Node::Not(of) => Ok(!self.test(of)?),
            Node::Has(of) => Ok(!matches!(self.eval(of)?, Value::Null | Value::Part(None))),
            Node::Compare(relation, sides) => {
                let (a, b) = (self.eval(&sides[0])?, self.eval(&sides[1])?);
                self.compare(*relation, &a, &b)
            }
            Node::In(sides) => {
                let (what, list) = (self.eval(&sides[0])?, self.eval(&sides[1])?);
                self.contained(&what, &list)
            }
            Node::InTexts(what, set) => match self.eval(what)? {
                Value::Text(text) => Ok(set.contains(text.as_ref())),
                part @ Value::Part(_) => {
                    self.spend(set.len())?;
                    may_be(set.iter().any(|text| part.may_equal(text)))
                }
                _ => Ok(false),
            },
            Node::InInts(what, set) => match self.eval(what)? {
                Value::Int(number) => Ok(set.contains(&number)),
                number @ Value::Double(_) => Ok(set.iter().any(|known| number.equals(&Value::Int(*known)))),
                _ => Ok(false),
            },
            Node::Matches(text, pattern) => match self.eval(text)? {
                Value::Text(text) => {
                    self.spend_text(&text)?;
                    Ok(pattern.is_match(&text))
                }
                Value::Null => Ok(false),
                other => wrong("matches", &other),
            },
            Node::InNetwork(address, network) => match self.eval(address)? {
                Value::Text(text) => Ok(network.has(&text)),
                Value::Null => Ok(false),
                other => wrong("inCidr", &other),
            },
            _ => match self.eval(node)? {
                Value::Bool(truth) => Ok(truth),
                Value::Null => Ok(false),
                other => wrong("a condition", &other),
            },
        }
    }

    /// Evaluates `&&` (until a part is false) or `||` (until a part is true). As in CEL, a part that decides the result
    /// does so even if an earlier one fails.
    fn decide(&mut self, parts: &'a [Node], by: bool) -> Result<bool> {
        let mut failed = None;
        for part in parts {
            match self.test(part) {
                Ok(truth) if truth == by => return Ok(by),
                Ok(_) => {}
                Err(EvalError::TooMuch) => return Err(EvalError::TooMuch),
                Err(cause) => failed = failed.or(Some(cause)),
            }
        }
        failed.map_or(Ok(!by), Err)
    }

    fn compare(&mut self, relation: Relation, a: &Value<'a>, b: &Value<'a>) -> Result<bool> {
        if relation.is_equality() {
            return Ok(self.equal(a, b)? == (relation == Relation::Equal));
        }
        let order = a.order(b, relation.sign())?;
        Ok(match relation {
            Relation::Less => order == Some(Ordering::Less),
            Relation::LessEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Relation::Greater => order == Some(Ordering::Greater),
            _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        })
    }

    fn equal(&mut self, a: &Value<'a>, b: &Value<'a>) -> Result<bool> {
        self.spend(ops::weight(a).min(ops::weight(b)))?;
        match (a, b) {
            (Value::Part(_), Value::Part(_)) => Err(EvalError::Incomplete),
            (part @ Value::Part(_), Value::Text(text)) | (Value::Text(text), part @ Value::Part(_)) => {
                may_be(part.may_equal(text))
            }
            (a, b) => Ok(a.equals(b)),
        }
    }

    fn contained(&mut self, what: &Value<'a>, list: &Value<'a>) -> Result<bool> {
        match (what, list) {
            (_, Value::Null) => Ok(false),
            (Value::Text(name), Value::Object(map)) => {
                Ok(map.get(name.as_ref()).is_some_and(|v| !v.is_null()))
            }
            (Value::Null, Value::Object(_)) => Ok(false),
            (what, Value::List(items)) => {
                let mut failed = None;
                for item in items.iter() {
                    self.spend(1)?;
                    match self.equal(what, &item) {
                        Ok(true) => return Ok(true),
                        Ok(false) => {}
                        // As with ||, another element may decide the result.
                        Err(EvalError::Incomplete) => failed = Some(EvalError::Incomplete),
                        Err(cause) => return Err(cause),
                    }
                }
                failed.map_or(Ok(false), Err)
            }
            (_, other) => wrong("in", other),
        }
    }

    fn each(&mut self, each: &'a Each) -> Result<Value<'a>> {
        let items = match self.eval(&each.range)? {
            Value::List(items) => items,
            Value::Null => Items::Values(Vec::new()),
            Value::Object(map) => {
                self.spend(map.len())?;
                Items::Values(map.keys().map(|name| Value::Text(name.clone().into())).collect())
            }
            other => return wrong("a macro over a list", &other),
        };
        let depth = self.vars.len();
        let result = self.over(each, &items);
        self.vars.truncate(depth);
        result
    }

    fn over(&mut self, each: &'a Each, items: &Items<'a>) -> Result<Value<'a>> {
        let (mut kept, mut count, mut failed) = (Vec::new(), 0_u32, None);
        for item in items.iter() {
            self.spend(1)?;
            let index = self.vars.len();
            self.vars.push(item);
            let holds = match (each.what, &each.only) {
                (Quantifier::Map, None) => Ok(true),
                (Quantifier::Map, Some(only)) => self.test(only),
                _ => self.test(&each.body),
            };
            match (each.what, holds) {
                (_, Err(EvalError::TooMuch)) => return Err(EvalError::TooMuch),
                (Quantifier::All, Ok(false)) => return Ok(Value::Bool(false)),
                (Quantifier::Exists, Ok(true)) => return Ok(Value::Bool(true)),
                // As with && and ||, another element may decide the result.
                (Quantifier::All | Quantifier::Exists, Err(cause)) => failed = failed.or(Some(cause)),
                (_, Err(cause)) => return Err(cause),
                (Quantifier::ExistsOne, Ok(holds)) => count += u32::from(holds),
                (Quantifier::Map, Ok(true)) => kept.push(self.eval(&each.body)?),
                (Quantifier::Filter, Ok(true)) => kept.extend(self.vars.get(index).cloned()),
                (_, Ok(_)) => {}
            }
            self.vars.truncate(index);
        }
        if let Some(cause) = failed {
            return Err(cause);
        }
        Ok(match each.what {
            Quantifier::All => Value::Bool(true),
            Quantifier::Exists => Value::Bool(false),
            Quantifier::ExistsOne => Value::Bool(count == 1),
            Quantifier::Filter | Quantifier::Map => Value::List(Items::Values(kept)),
        })
    }
}

/// Returns the answer to a test that what is known of a path rules out, or does not.
fn may_be(possible: bool) -> Result<bool> {
    if possible { Err(EvalError::Incomplete) } else { Ok(false) }
}

/// Returns the value of a constant condition; `None` if the node depends on the row.
pub(super) fn constant(node: &Node) -> Option<bool> {
    match node {
        Node::Const(Literal::Bool(truth)) => Some(*truth),
        Node::Const(Literal::Null) => Some(false),
        _ => None,
    }
}
