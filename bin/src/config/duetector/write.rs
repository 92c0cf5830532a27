//! A translation as a file of ours, each line with what it was.

use std::collections::BTreeMap;

use super::super::show::dotted;
use super::{Said, Translation};

/// The translation as TOML. Loaded, it is what the file that was translated is.
pub(crate) fn to_toml(translation: &Translation) -> String {
    let mut sections: BTreeMap<&[String], Vec<&Said>> = BTreeMap::new();
    for said in &translation.said {
        let section = said.key.split_last().map_or(&[][..], |(_, section)| section);
        sections.entry(section).or_default().push(said);
    }
    let mut text = String::from(
        "# Translated from a configuration of Python duetector's; behind each setting is what it was there.\n\
         # What is not here is at its default: see `duetector-actors config generate`.\n",
    );
    for (section, settings) in sections {
        text.push_str(&format!("\n[{}]\n", dotted(section)));
        for said in settings {
            let name = said.key.last().map(|name| dotted(std::slice::from_ref(name))).unwrap_or_default();
            let from =
                said.from.as_ref().map_or_else(|| "duetector's default".to_owned(), |from| dotted(from));
            text.push_str(&format!("{name} = {}  # {from}\n", said.leaf.value));
        }
    }
    text
}
