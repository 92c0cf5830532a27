//! The function `label`: it stands for the expressions of a label, which are compiled in its place.

use cel::common::ast::{CallExpr, Expr, LiteralValue};

use super::check::{Checker, Typed};
use super::error::ExpressionError;
use super::ir::{Literal, Node};
use super::kind::Kind;
use super::parse::Parsed;
use super::schema::{Labels, Schema, nearest};

/// Name of the function.
pub(super) const NAME: &str = "label";

impl Checker<'_> {
    /// Checks a call of `label`, whose argument must be a literal.
    pub(super) fn label(&mut self, id: u64, call: &CallExpr) -> Result<Typed, ExpressionError> {
        let name = match (&call.target, call.args.as_slice()) {
            (None, [one]) => match &one.expr {
                Expr::Literal(LiteralValue::String(text)) => text.inner().to_owned(),
                _ => return self.fail(id, "the name of label() must be a string literal"),
            },
            _ => return self.fail(id, "expected label(name)"),
        };
        self.has_labels = true;
        let known = match &self.schema.labels {
            Labels::None => return self.fail(id, "there are no labels here"),
            Labels::Unknown => return Ok((Node::Const(Literal::Bool(false)), Kind::Bool)),
            Labels::Known(known) => known.clone(),
        };
        let Some(alternatives) = known.get(&name) else {
            if known.is_empty() {
                return self.fail(id, format!("unknown label {name:?}: the configuration has no labels"));
            }
            let nearest = nearest(&name, known.keys().map(String::as_str));
            return self.fail(id, format!("unknown label {name:?}, did you mean {nearest:?}?"));
        };
        let schema = Schema { labels: Labels::None, ..self.schema.clone() };
        let mut nodes = Vec::new();
        for text in alternatives {
            let root = Parsed::of(text).and_then(|parsed| {
                let mut checker = Checker::new(&parsed, &schema);
                let root = checker.root()?;
                self.used.append(&mut checker.used);
                Ok(root)
            });
            match root {
                Ok(root) => nodes.push(root),
                Err(cause) => return self.fail(id, format!("label {name:?}: {}", cause.message)),
            }
        }
        Ok((Node::Or(nodes), Kind::Bool))
    }
}
