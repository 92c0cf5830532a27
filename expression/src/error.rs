//! Errors of expressions: those found when compiling, and those that occur when one is applied to a row.

use std::fmt;

/// Error for a text that is no valid expression, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpressionError {
    /// Line number, from 1.
    pub line: usize,
    /// Column, in characters from 1.
    pub column: usize,
    /// Description of what was found and what was expected, in lower case without a full stop.
    pub message: String,
}

impl ExpressionError {
    /// Returns the error with its line of `text` and a caret below its column, for terminals.
    ///
    /// ```
    /// use expression::{Expression, Schema};
    /// let text = "uid == 0 && pidd > 1";
    /// let error = Expression::compile(text, &Schema::default()).unwrap_err();
    /// assert!(error.show(text).ends_with("\n  uid == 0 && pidd > 1\n              ^"), "{}", error.show(text));
    /// ```
    pub fn show(&self, text: &str) -> String {
        let Some(line) = text.lines().nth(self.line.saturating_sub(1)) else { return self.to_string() };
        // Tabs are kept, so that the caret is below its column.
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

/// Error when an expression has no result for a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// A value has the wrong type: a field of `extended` is not what the expression expects.
    #[error("{operation} does not take {found}")]
    Type {
        /// Operation that failed.
        operation: &'static str,
        /// Type of the value found.
        found: &'static str,
    },
    /// A result is too large for its type.
    #[error("{0} overflows")]
    Overflow(&'static str),
    /// A number was divided by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// A text can't be converted.
    #[error("{0} can't read the text that it is given")]
    Conversion(&'static str),
    /// The path is incomplete or unresolved, so that the file may have another one.
    #[error("the path is not known as a whole")]
    Incomplete,
    /// The lists are too long or the texts too large for the limit of work.
    #[error("the row is too large for this expression")]
    TooMuch,
}
