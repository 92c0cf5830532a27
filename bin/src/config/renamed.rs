//! Old names of settings. A renamed setting is accepted under its old name in every layer, with one warning.

use std::collections::BTreeMap;

use super::check::Located;
use super::layers::Layer;
use super::origin::{Key, Origin, Warning, WarningKind};

/// Old and new names, of settings or of whole sections.
const RENAMED: &[(&str, &str)] = &[("ebpf.look_interval", "ebpf.poll_interval")];

/// Collects the old names that layers use.
#[derive(Debug, Default)]
pub(super) struct OldNames {
    /// By old key: the new key, and where the old one is used.
    used: BTreeMap<Key, (Key, Vec<Origin>)>,
    /// A setting given under both names in one layer.
    pub(super) problems: Vec<Located>,
}

impl OldNames {
    /// Renames the settings of a layer. A name in a stronger layer overrides either name in a weaker one.
    pub(super) fn replace(&mut self, layer: Layer) -> Layer {
        RENAMED.iter().fold(layer, |layer, (old, new)| self.replace_one(layer, &parts(old), &parts(new)))
    }

    fn replace_one(&mut self, mut layer: Layer, old: &Key, new: &Key) -> Layer {
        let is_old = |key: &Key| key.starts_with(old) && !key.starts_with(new);
        let keys: Vec<Key> = layer.iter().map(|(key, _)| key).filter(|key| is_old(key)).cloned().collect();
        let mut renamed = Vec::new();
        for key in keys {
            let Some(setting) = layer.remove(&key) else { continue };
            let new_key = [&new[..], &key[old.len()..]].concat();
            if let Some((_, given)) = layer.near(&new_key) {
                let new = new_key.join(".");
                let message =
                    format!("the old name of {new}, which is set too ({}): keep only {new}", given.origin);
                self.problems.push(Located { origin: setting.origin, key, message });
                continue;
            }
            let (_, origins) = self.used.entry(key).or_insert_with(|| (new_key.clone(), Vec::new()));
            origins.push(setting.origin.clone());
            renamed.push(Layer::of(new_key, setting));
        }
        if renamed.is_empty() { layer } else { Layer::stack(std::iter::once(layer).chain(renamed)) }
    }

    /// Returns one warning per old name, which lists all uses of it.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Warning> {
        self.used.iter().filter_map(|(key, (new, origins))| {
            let (first, others) = origins.split_first()?;
            let mut message = format!("is called {} now; the old name still works", new.join("."));
            for other in others {
                message.push_str(&format!("; also used by {other}"));
            }
            Some(Warning { origin: first.clone(), key: key.clone(), message, kind: WarningKind::Renamed })
        })
    }
}

fn parts(key: &str) -> Key {
    key.split('.').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn every_new_name_is_a_setting_and_no_old_name_is_one() {
        let table = toml::Table::try_from(super::super::Config::default()).unwrap();
        let defaults = Layer::of_table(&table, &Origin::Default);
        for (old, new) in RENAMED {
            assert!(defaults.near(&parts(new)).is_some(), "{new}");
            assert!(!defaults.iter().any(|(key, _)| key.starts_with(&parts(old))), "{old}");
        }
    }

    #[test]
    fn a_section_is_renamed_with_all_its_settings() {
        let layer =
            parse::set(&["a.old.x=1".to_owned(), "a.old.y=2".to_owned(), "a.new.z=3".to_owned()]).unwrap();
        let mut names = OldNames::default();
        let layer = names.replace_one(layer, &parts("a.old"), &parts("a.new"));
        let keys: Vec<_> = layer.iter().map(|(key, _)| key.join(".")).collect();
        assert_eq!(keys, ["a.new.x", "a.new.y", "a.new.z"]);
        assert_eq!((names.warnings().count(), names.problems.len()), (2, 0));
    }
}
