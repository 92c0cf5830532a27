//! Writes a translation as a configuration file, each line with duetector's key in a comment.

use std::collections::BTreeMap;

use super::super::show::dotted;
use super::{Translated, Translation};

/// Formats the translation as TOML. Loading it gives the same configuration as loading the translated file.
pub(crate) fn to_toml(translation: &Translation) -> String {
    let mut sections: BTreeMap<&[String], Vec<&Translated>> = BTreeMap::new();
    for it in &translation.settings {
        let section = it.key.split_last().map_or(&[][..], |(_, section)| section);
        sections.entry(section).or_default().push(it);
    }
    let mut text = String::from(
        "# Translated from a configuration of Python duetector. The comment after each setting names duetector's.\n\
         # Settings that are not listed have their defaults: see `duetector-actors config generate`.\n",
    );
    for (section, settings) in sections {
        text.push_str(&format!("\n[{}]\n", dotted(section)));
        for it in settings {
            let name = it.key.last().map(|name| dotted(std::slice::from_ref(name))).unwrap_or_default();
            let from = it.from.as_ref().map_or_else(|| "duetector's default".to_owned(), |from| dotted(from));
            text.push_str(&format!("{name} = {}  # {from}\n", it.setting.value));
        }
    }
    text
}
