//! Parses text to a syntax tree with the `cel` crate. Length and nesting are limited, because text comes from files and
//! command lines, and the parser recurses as deep as its text is nested.

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::{Env, ParseError};

use super::error::ExpressionError;

/// Longest expression, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Deepest nesting of an expression.
pub const MAX_DEPTH: usize = 64;
/// Stack size for parsing and checking, enough for the deepest text of the greatest length.
const STACK: usize = 64 << 20;

/// A parsed text.
pub(super) struct Parsed {
    pub(super) root: IdedExpr,
    info: SourceInfo,
}

impl Parsed {
    /// Parses a text. Macros are kept as calls rather than expanded, so that errors name the positions in the text.
    pub(super) fn of(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LENGTH {
            let message = format!("expressions have at most {MAX_LENGTH} bytes, this one has {}", text.len());
            return Err(ExpressionError { line: 1, column: 1, message });
        }
        let parser =
            Env::default().with_optional_support(false).parser().max_recursion_depth(MAX_DEPTH as u16);
        match parser.parse_with_source_info(text) {
            Ok((root, info)) => Ok(Self { root, info }),
            Err(errors) => {
                Err(errors.errors.first().map_or_else(|| failed(text), |first| worded(text, first)))
            }
        }
    }

    /// Creates an error at the position of a part of the tree.
    pub(super) fn error(&self, part: u64, message: String) -> ExpressionError {
        let offset = self.info.offset_for(part).map_or(0, |(start, _)| start as usize);
        let before = self.info.source.get(..offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ExpressionError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    }
}

/// Runs `work` on a thread with enough stack. A panic of the parser becomes an ordinary error.
pub(super) fn on_deep_stack<T: Send>(
    text: &str,
    work: impl FnOnce() -> Result<T, ExpressionError> + Send,
) -> Result<T, ExpressionError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("expression".into()).stack_size(STACK);
        let Ok(thread) = thread.spawn_scoped(scope, work) else { return Err(failed(text)) };
        thread.join().unwrap_or_else(|_| Err(failed(text)))
    })
}

fn failed(text: &str) -> ExpressionError {
    ExpressionError { line: 1, column: 1, message: format!("the parser can't read {text:?}") }
}

fn worded(text: &str, error: &ParseError) -> ExpressionError {
    let (line, column) = error.pos;
    let known = line >= 1 && column >= 1 && line as usize <= text.lines().count().max(1);
    let (line, column) = if known { (line as usize, column as usize) } else { (1, 1) };
    let nested = error.source.is_some() || error.msg.contains("ecursion");
    let message = if nested {
        format!("expressions are nested at most {MAX_DEPTH} deep")
    } else {
        in_words(&error.msg)
    };
    ExpressionError { line, column, message }
}

/// Returns the parser's message without its lists of token names.
fn in_words(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let quoted = |rest: &str| match rest.split(" expecting ").next().unwrap_or(rest) {
        "'<EOF>'" => "unexpected end".to_owned(),
        found => format!("unexpected {found}"),
    };
    let expected = match message.split_once(" expecting ") {
        Some((_, set)) if set.contains("IDENTIFIER") && set.contains("NUM_INT") => ": expected a value",
        Some((_, set)) if set.contains("'&&'") || set.contains("<EOF>") => ": expected an operator",
        _ => "",
    };
    if let Some(rest) =
        message.strip_prefix("mismatched input ").or(message.strip_prefix("extraneous input "))
    {
        format!("{}{expected}", quoted(rest))
    } else if let Some(rest) = message.strip_prefix("missing ") {
        format!("missing {}", rest.split(" at ").next().unwrap_or(rest))
    } else if let Some(rest) = message.strip_prefix("token recognition error at: ") {
        format!("unexpected {rest}")
    } else if let Some(rest) = message.strip_prefix("no viable alternative at input ") {
        format!("unexpected {rest}")
    } else if message.starts_with("invalid string literal") {
        "bad escape in a string".to_owned()
    } else {
        message.to_owned()
    }
}
