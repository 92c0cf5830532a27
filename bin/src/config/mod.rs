//! The configuration of the agent: the sections of all components, merged from the defaults, a file, the environment
//! and `--set`. Each value knows where it comes from, and all problems are reported at once.
//!
//! ```text
//! file ──parse──┬─ ours ────────────────► old names ─┐
//!               └─ duetector's ► translate ──────────┤
//! environment ──parse───────────────────► old names ─┼─► Layer::stack ─► check ─► Config
//! --set ────────parse───────────────────► old names ─┤   (crate config)  (serde)  + origins
//! defaults ──────────────────────────────────────────┘                            + warnings
//! ```

mod check;
mod duetector;
mod layers;
mod load;
mod origin;
mod parse;
mod renamed;
mod sections;
mod show;
mod trust;
mod words;

pub(crate) use duetector::to_toml as translation_to_toml;
#[cfg(test)]
pub(crate) use load::from_toml;
pub(crate) use load::{Loaded, Sources, import, load, load_for, load_text};
pub(crate) use origin::Warning;
pub(crate) use sections::Config;
pub(crate) use show::{Running, effective, to_toml};
#[cfg(test)]
mod tests;
