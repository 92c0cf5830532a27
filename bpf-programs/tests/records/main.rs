//! Record layouts: made from the type information that clang writes for C, and records decoded by them.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod choice;
mod clang;
mod fields;
mod generated;
mod hostile;
