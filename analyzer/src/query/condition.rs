//! Conditions on rows as text, and how they are read.

use std::str::FromStr;

use expression::{Asked, Expression, Labels, Schema};

use crate::{Error, when};

/// A condition: a column equals a value, or is null.
///
/// ```
/// use analyzer::Condition;
/// assert_eq!("comm=a=b".parse::<Condition>()?, Condition::equal("comm", "a=b"));
/// assert_eq!("fname=null".parse::<Condition>()?, Condition::null("fname"));
/// # Ok::<(), analyzer::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Name of the column or field.
    pub column: String,
    /// The value it must equal; `None` if it must be null or absent.
    pub value: Option<String>,
}

impl Condition {
    /// Returns the condition that `column` equals `value`: as a number if the column or field holds one, else as text. A field
    /// that holds a list has to contain the value.
    pub fn equal(column: &str, value: &str) -> Self {
        Self { column: column.to_owned(), value: Some(value.to_owned()) }
    }

    /// Returns the condition that `column` is null.
    pub fn null(column: &str) -> Self {
        Self { column: column.to_owned(), value: None }
    }
}

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text.split_once('=') {
            Some((column, "null")) if !column.trim().is_empty() => Ok(Self::null(column.trim())),
            Some((column, value)) if !column.trim().is_empty() => Ok(Self::equal(column.trim(), value)),
            _ => Err(Error::BadCondition { found: text.to_owned() }),
        }
    }
}

/// A condition or an expression, as `query --where` takes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Where {
    /// A column equals a value.
    Equal(Condition),
    /// An expression is true.
    Expression(Expression),
}

impl FromStr for Where {
    type Err = String;

    /// Parses a condition or an expression. A name and a single `=` begin a condition, whatever follows: `comm=a == b`
    /// compares with the text `a == b`. Anything else is an expression; expressions have no operator `=`.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.split('=').next().unwrap_or(text);
        let is_name = |c: char| c.is_alphanumeric() || "_.-:@".contains(c);
        let is_condition = name.len() < text.len()
            && !name.trim().is_empty()
            && name.trim().chars().all(is_name)
            && !text[name.len() + 1..].starts_with('=');
        if is_condition {
            return text.parse().map(Self::Equal).map_err(|error: Error| error.to_string());
        }
        Expression::compile(text, &schema(Labels::Unknown))
            .map(Self::Expression)
            .map_err(|error| error.show(text))
    }
}

fn schema(labels: Labels) -> Schema {
    Schema { localize: when::local, stored: true, labels }
}

impl Where {
    /// Returns whether the condition asks for labels, which it must be given by [`Self::with_labels`].
    pub fn has_labels(&self) -> bool {
        matches!(self, Self::Expression(expression) if expression.has_labels())
    }

    /// Returns the condition with these labels.
    ///
    /// # Errors
    /// The text names a label that there is none of.
    pub fn with_labels(self, labels: &Labels) -> Result<Self, String> {
        match self {
            Self::Expression(expression) if expression.has_labels() => {
                let compiled = Expression::compile(expression.text(), &schema(labels.clone()));
                compiled.map(Self::Expression).map_err(|error| error.show(expression.text()))
            }
            other => Ok(other),
        }
    }

    /// Returns why parts of the condition are true for no row of a built-in tracer.
    pub fn never_true(&self) -> Vec<String> {
        let asked = match self {
            Self::Equal(Condition { column, value }) => {
                value.iter().map(|value| Asked::whole(column, value)).collect()
            }
            Self::Expression(expression) => expression.asked(),
        };
        asked.iter().filter_map(Asked::is_never_true).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_one_equals_sign_is_a_condition_and_anything_else_an_expression() {
        for text in
            ["uid=0", "comm=a == b", "extended.a-b=1", " fname = x", "comm=", "inspector__docker=true"]
        {
            assert!(matches!(text.parse::<Where>(), Ok(Where::Equal(_))), "{text}");
        }
        for text in
            ["uid==0", "uid == 0", "comm.startsWith('a=b')", "true", "uid >= 0", "uid != 0", "'a=b' == comm"]
        {
            assert!(matches!(text.parse::<Where>(), Ok(Where::Expression(_))), "{text}");
        }
        let error = "uid == 'root'".parse::<Where>().unwrap_err();
        assert_eq!(error, "1:5: operator == does not take int and string\n  uid == 'root'\n      ^");
    }
}
