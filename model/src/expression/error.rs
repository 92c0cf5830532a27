//! What can be wrong with an expression, and what can go wrong when it is applied to a row.

use std::fmt;

/// Why a text is no expression, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// Line, from 1.
    pub line: usize,
    /// Column, in characters from 1.
    pub column: usize,
    /// What was found, what was expected: lower case, no full stop.
    pub message: String,
}

impl ExpressionError {
    /// The error with the line of `text` it is in, and a caret below its place: for terminals.
    ///
    /// ```
    /// use model::expression::{Expression, Schema};
    /// let text = "uid == 0 && pidd > 1";
    /// let error = Expression::compile(text, &Schema::default()).unwrap_err();
    /// assert!(error.show(text).ends_with("\n  uid == 0 && pidd > 1\n              ^"), "{}", error.show(text));
    /// ```
    pub fn show(&self, text: &str) -> String {
        let Some(line) = text.lines().nth(self.line.saturating_sub(1)) else { return self.to_string() };
        // A tab is as wide below as above.
        let before = line.chars().take(self.column.saturating_sub(1));
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        format!("{self}\n  {line}\n  {indent}^")
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ExpressionError {}

/// Why an expression has no answer for one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Values of types that don't go together: a field of `extended` was not what the expression took it for.
    #[error("{operation} does not take {found}")]
    Type {
        /// What was to be done.
        operation: &'static str,
        /// The type that was found.
        found: &'static str,
    },
    /// A result too large for its type.
    #[error("{0} overflows")]
    Overflow(&'static str),
    /// Division by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// Not what is to be converted.
    #[error("{0} does not understand its text")]
    Conversion(&'static str),
    /// Lists too long, texts too large.
    #[error("the row is too large for this expression")]
    TooMuch,
}
