//! A configuration of Python duetector's, translated to ours before it is laid over the defaults, so that the
//! environment and `--set` are stronger than it, in our words.
//!
//! A file is duetector's by its sections ([`recognise`]). What each of its settings is here stands in a table
//! ([`rules`]), in which shape in [`shape`]. What is left out in it is what it is in duetector, not what it is here:
//! such a file replaces duetector in place, down to the names of its tables. Every setting that asks for what there is
//! nothing like is dropped, with one warning.

mod implied;
mod recognise;
mod rules;
mod shape;
mod translate;
mod write;

use std::fmt;

use super::layers::{Key, Leaf, Leaves, Origin};

pub(super) use translate::translate;
pub(crate) use write::to_toml;

/// A setting of duetector's that could not be kept, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Warning {
    origin: Origin,
    key: Key,
    message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.origin, self.key.join("."), self.message)
    }
}

/// What a file of duetector's is in our words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Translation {
    said: Vec<Said>,
    /// In the order in which they stand in the file.
    pub(crate) warnings: Vec<Warning>,
}

/// A setting of ours, and what it was.
#[derive(Clone, Debug)]
struct Said {
    key: Key,
    leaf: Leaf,
    /// duetector's setting; none if it is what duetector takes when nobody says.
    from: Option<Key>,
}

impl Translation {
    /// As a layer.
    pub(super) fn leaves(&self) -> Leaves {
        let mut leaves = Leaves::default();
        for said in &self.said {
            leaves.put(said.key.clone(), said.leaf.clone());
        }
        leaves
    }
}

/// Settings with their keys in lower case, as duetector reads them.
pub(super) fn lower_cased(leaves: Leaves) -> Leaves {
    let mut lowered = Leaves::default();
    for (key, leaf) in leaves.0 {
        lowered.put(key.iter().map(|part| part.to_lowercase()).collect(), leaf);
    }
    lowered
}

/// A file's settings, with those of duetector's that stand in the environment over them; these are taken from there.
/// Names in a file may be in any case, and variables are over them all the same.
pub(super) fn with_env(file: Leaves, env: &mut Leaves) -> Leaves {
    let mut file = lower_cased(file);
    let theirs: Vec<Key> = env.0.keys().filter(|key| recognise::is_theirs_in_env(key)).cloned().collect();
    for key in theirs {
        if let Some(leaf) = env.0.remove(&key) {
            file.put(key, leaf);
        }
    }
    file
}

/// Whether a file's settings are duetector's.
///
/// # Errors
/// When they are both duetector's and ours.
pub(super) fn recognise(leaves: &Leaves) -> Result<bool, String> {
    recognise::is_duetectors(&lower_cased(leaves.clone()))
}

#[cfg(test)]
mod tests;
