//! Record layouts: made from the type information that clang writes for C, and records decoded by them.

mod choice;
mod clang;
mod fields;
mod generated;
mod hostile;
