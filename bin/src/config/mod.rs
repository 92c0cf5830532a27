//! The configuration: composed of the sections that the components own, layered from defaults, a file, the
//! environment and `--set`, each value knowing where it came from.

mod check;
mod duetector;
mod layers;
mod load;
mod sections;
mod show;
mod words;

pub(crate) use duetector::{Warning, to_toml as translation_to_toml};
#[cfg(test)]
pub(crate) use load::from_toml;
pub(crate) use load::{Loaded, Sources, import, load, load_for, load_text};
pub(crate) use sections::Config;
pub(crate) use show::{effective, to_toml};
#[cfg(test)]
mod tests;
