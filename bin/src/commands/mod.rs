//! The commands, each in a file of its own.

mod asked;
pub(crate) mod brief;
pub(crate) mod cache;
pub(crate) mod check;
pub(crate) mod child;
pub(crate) mod config;
pub(crate) mod control;
mod derived;
pub(crate) mod export;
mod failures;
pub(crate) mod follow;
pub(crate) mod inspect;
mod interrupt;
pub(crate) mod lineage;
pub(crate) mod man;
mod meant;
pub(crate) mod process;
pub(crate) mod query;
pub(crate) mod questions;
mod selection;
pub(crate) mod sql;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod top;
pub(crate) mod tracers;
pub(crate) mod uses;
