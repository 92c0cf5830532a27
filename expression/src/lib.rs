//! Expressions over rows, in CEL, for filters and for `query --where`. An expression is compiled once, with every name
//! and type checked, and then applied to each row.
//!
//! The `cel` crate does the parsing. Checking and evaluating are done here, because the crate has no checker, compiles
//! patterns again for each row, and has no columns that may be null.
//!
//! **Names**: every column of [`Tracking`](model::Tracking) (`uid`, `fname`, `dt`, …); fields that built-in tracers
//! write (`flags`, `errno`, `dport`, …: [`model::schema::FIELDS`]) with their type; every field as `extended.x` or
//! `extended["any-key"]`, with a type that is only known for a given row. `dt`, `time` and every `timestamp(…)` are local time.
//!
//! **Null**: any value may be null, and a missing value is null. Null equals nothing but null; it is neither less nor
//! greater than anything; tests on it (`startsWith`, `in`, …) are false; as a condition it is false; a macro finds no
//! elements in it; every other operation on null gives null. A missing value is therefore never an error.
//!
//! **Errors at run time** have four causes: a field of `extended` has another type than the expression expects, an
//! overflow, a division by zero, or more work than is allowed. As in CEL, an operand that decides the result of `&&` or
//! `||` does so even if the other one fails.
//!
//! ```
//! use expression::{Expression, Schema};
//! let expression = Expression::compile("fname.startsWith('/data/') && uid != 0", &Schema::default()).unwrap();
//! assert_eq!(expression.fields().collect::<Vec<_>>(), ["fname", "uid"]);
//!
//! let error = Expression::compile("uid == 'root'", &Schema::default()).unwrap_err();
//! assert_eq!(error.to_string(), "1:5: operator == does not take int and string");
//! ```

mod asked;
mod calls;
mod check;
mod check_calls;
mod conjuncts;
mod error;
mod eval;
mod functions;
mod fuzz_target;
mod ir;
mod kind;
mod label;
mod network;
mod ops;
mod parse;
pub mod pushdown;
mod schema;
mod source;
mod time;
mod value;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use asked::Asked;
pub use conjuncts::{Conjunct, Subject, Test};
pub use error::{EvalError, ExpressionError};
pub use fuzz_target::fuzz_target;
pub use ir::{Literal, Relation};
pub use kind::Kind;
pub use parse::{MAX_DEPTH, MAX_LENGTH};
pub use schema::{Labels, Schema, nearest};
pub use source::{Source, is_path, path_of};
pub use time::Localize;
pub use value::{Items, Value};

/// A compiled expression. Clones share it.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    text: String,
    root: ir::Node,
    used: BTreeSet<String>,
    any_field: bool,
    has_labels: bool,
    localize: Localize,
}

impl Expression {
    /// Parses and checks an expression.
    ///
    /// # Errors
    /// The first mistake, with its line and column.
    pub fn compile(text: &str, schema: &Schema) -> Result<Self, ExpressionError> {
        let compiled = parse::on_deep_stack(text, || {
            let parsed = parse::Parsed::of(text)?;
            let mut checker = check::Checker::new(&parsed, schema);
            let root = checker.root()?;
            let (used, any_field, has_labels) = (checker.used, checker.any_field, checker.has_labels);
            Ok(Compiled {
                text: text.to_owned(),
                root,
                used,
                any_field,
                has_labels,
                localize: schema.localize,
            })
        })?;
        Ok(Self(Arc::new(compiled)))
    }

    /// Returns whether the expression asks for labels.
    pub fn has_labels(&self) -> bool {
        self.0.has_labels
    }

    /// Returns whether the expression holds for a row.
    ///
    /// # Errors
    /// When it has no result for this row: values of types that don't match, an overflow, or too much work.
    pub fn matches<S: Source>(&self, row: &S) -> Result<bool, EvalError> {
        eval::Run::new(row, self.0.localize).test(&self.0.root)
    }

    /// Returns the text that the expression was compiled from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Returns the texts that the expression compares fields with.
    pub fn asked(&self) -> Vec<Asked> {
        asked::of(&self.0.root)
    }

    /// Returns the names of the columns and fields of `extended` that the expression reads.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.used.iter().map(String::as_str)
    }

    /// Returns whether the expression reads fields with names that are only known at run time (`extended[comm]`).
    pub fn reads_any_field(&self) -> bool {
        self.0.any_field
    }

    /// Returns the result for all rows if it does not depend on the row.
    pub fn constant(&self) -> Option<bool> {
        eval::constant(&self.0.root)
    }

    /// Returns alternatives, each a list of tests: where all tests of one list hold, the expression certainly has this
    /// `answer` for a kernel record. The flag is true if it has the answer nowhere else.
    pub fn certain(&self, answer: bool) -> (Vec<Vec<model::pushdown::Test>>, bool) {
        let pushdown::Certain { rules, exact } = pushdown::certain(&self.0.root, answer);
        (rules, exact)
    }

    /// Returns conditions on single columns and fields that hold wherever the expression holds, so that a store can select rows by
    /// them.
    pub fn conjuncts(&self) -> Vec<Conjunct> {
        conjuncts::of(&self.0.root)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.0.text).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

#[cfg(test)]
mod tests;
