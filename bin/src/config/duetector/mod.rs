//! Translates a configuration of Python duetector to the agent's own settings.
//!
//! The translation becomes the file's layer, so the environment and `--set`, in the agent's own terms, override it.
//! [`recognise`] identifies such a file by its sections. [`rules`] is a table that maps each of duetector's settings to
//! ours, and [`shape`] converts the values. Settings that the file leaves out get duetector's defaults ([`implied`]),
//! not ours, because the agent takes duetector's place, with the same names of tables. A setting without an equivalent
//! is dropped with one warning, if it asks for anything.

mod implied;
mod recognise;
mod rules;
mod shape;
mod translate;
mod write;

use super::layers::{Layer, Setting};
use super::origin::{Key, Warning};

pub(super) use translate::translate;
pub(crate) use write::to_toml;

/// A translated file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translation {
    settings: Vec<Translated>,
    /// In the order of the file.
    pub(crate) warnings: Vec<Warning>,
}

/// A setting of ours, made from one of duetector's.
#[derive(Clone, Debug)]
struct Translated {
    key: Key,
    setting: Setting,
    /// The key in duetector's file; none for a default of duetector's.
    from: Option<Key>,
}

impl Translation {
    /// Returns the settings as a layer.
    pub(super) fn layer(&self) -> Layer {
        self.settings.iter().map(|it| (it.key.clone(), it.setting.clone())).collect()
    }
}

/// Returns the settings with their keys in lower case, because duetector ignores case.
pub(super) fn lower_cased(settings: &Layer) -> Layer {
    let lower = |key: &Key| key.iter().map(|part| part.to_lowercase()).collect();
    settings.iter().map(|(key, setting)| (lower(key), setting.clone())).collect()
}

/// Moves duetector's settings from the environment to a file's, which they override whatever case the file uses.
pub(super) fn with_env(file: Layer, env: &mut Layer) -> Layer {
    let mut moved = Vec::new();
    let theirs: Vec<Key> =
        env.iter().map(|(key, _)| key).filter(|key| recognise::is_theirs_in_env(key)).cloned().collect();
    for key in theirs {
        moved.extend(env.remove(&key).map(|setting| Layer::of(key, setting)));
    }
    Layer::stack(std::iter::once(lower_cased(&file)).chain(moved))
}

/// Returns whether a file's settings are duetector's.
///
/// # Errors
/// That some settings are duetector's and some are ours.
pub(super) fn recognise(file: &Layer) -> Result<bool, String> {
    recognise::is_duetectors(&lower_cased(file))
}

#[cfg(test)]
mod tests;
