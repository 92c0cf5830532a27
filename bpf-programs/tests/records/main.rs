//! Record layouts: read from what clang makes of C, and records decoded by them.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod choice;
mod clang;
mod fields;
mod hostile;
mod zoo;
