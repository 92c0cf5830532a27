//! Expressions over rows, in CEL: for filters and for `query --where`. Compiled once, with every name and type
//! checked; then applied to one row after the other.
//!
//! The `cel` crate parses. Checking and evaluating are done here: the crate has no checker, compiles patterns anew for
//! each row, and knows nothing of columns that may be null.
//!
//! **Names**: every column of [`Tracking`](crate::Tracking) (`uid`, `fname`, `dt`, …); fields that built-in tracers
//! write (`flags`, `errno`, `dport`, …: [`crate::schema::FIELDS`]) with their type; every field as `extended.x` or
//! `extended["any-key"]`, whose type is only known when the row is there. `dt` and every `timestamp(…)` are local time.
//!
//! **Null**: any value may be null, and what is missing is null. Null equals nothing but null; it is neither less nor
//! greater than anything; a test on it (`startsWith`, `in`, …) does not hold; where true or false is asked for it is
//! false; a macro finds no elements in it; all else of null is null. So no missing value is ever an error.
//!
//! **Errors at run time** are what is left: a field of `extended` of another type than the expression takes it for,
//! an overflow, a division by zero, more work than is allowed. As in CEL, `&&` and `||` are settled by a part that
//! settles them, even if another fails.
//!
//! ```
//! use model::expression::{Expression, Schema};
//! let expression = Expression::compile("fname.startsWith('/data/') && uid != 0", &Schema::default()).unwrap();
//! assert_eq!(expression.fields().collect::<Vec<_>>(), ["fname", "uid"]);
//!
//! let error = Expression::compile("uid == 'root'", &Schema::default()).unwrap_err();
//! assert_eq!(error.to_string(), "1:5: operator == does not take int and string");
//! ```

mod calls;
mod check;
mod check_calls;
mod conjuncts;
mod error;
mod eval;
mod fuzz_target;
mod ir;
mod kind;
mod ops;
mod parse;
mod pushdown;
mod schema;
mod source;
mod time;
mod value;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

pub use conjuncts::{Conjunct, Test};
pub use error::{EvalError, ExpressionError};
pub use fuzz_target::fuzz_target;
pub use ir::{Literal, Relation};
pub use kind::Kind;
pub use parse::{MAX_DEPTH, MAX_LENGTH};
pub use schema::Schema;
pub use source::{Column, Source};
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
    localize: Localize,
}

impl Expression {
    /// Parses and checks.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn compile(text: &str, schema: &Schema) -> Result<Self, ExpressionError> {
        let compiled = parse::on_deep_stack(text, || {
            let parsed = parse::Parsed::of(text)?;
            let mut checker = check::Checker::new(&parsed, schema);
            let root = checker.root()?;
            let (used, any_field) = (checker.used, checker.any_field);
            Ok(Compiled { text: text.to_owned(), root, used, any_field, localize: schema.localize })
        })?;
        Ok(Self(Arc::new(compiled)))
    }

    /// Whether it holds for a row.
    ///
    /// # Errors
    /// When it has no answer for this row: values that don't go together, or too much work.
    pub fn matches<S: Source>(&self, row: &S) -> Result<bool, EvalError> {
        eval::Run::new(row, self.0.localize).test(&self.0.root)
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The columns and fields of `extended` it reads, by name.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.used.iter().map(String::as_str)
    }

    /// Whether it reads fields whose names are only known at run time (`extended[comm]`).
    pub fn reads_any_field(&self) -> bool {
        self.0.any_field
    }

    /// What it says of every row, if it needs none to say it.
    pub fn constant(&self) -> Option<bool> {
        eval::constant(&self.0.root)
    }

    /// Where a kernel record certainly gives this answer: lists of tests, of which all in one hold. And whether it gives it
    /// nowhere else.
    pub fn certain(&self, answer: bool) -> (Vec<Vec<crate::pushdown::Test>>, bool) {
        let pushdown::Certain { rules, exact } = pushdown::certain(&self.0.root, answer);
        (rules, exact)
    }

    /// Conditions on single columns that hold wherever it holds: for a store to narrow down what must be looked at.
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
