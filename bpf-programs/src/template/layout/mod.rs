//! A record's layout, read from the object's own type information: [`Types::of_object`], then
//! [`Types::record`], then [`Layout::decode`] for each record.
//!
//! ```text
//! .BTF bytes ──► Btf ──choose──► struct ──compile──► Layout (offsets, shapes)    once, when the object is loaded
//!                        hints ─────────────┘           │
//!                                        record bytes ──┴──decode──► fields        for each record
//! ```

mod choose;
mod columns;
mod compile;
mod decode;
mod describe;
mod error;
pub(crate) mod fuzz;
mod hints;
mod kinds;
mod measure;
mod shape;
mod types;

pub(crate) use compile::RECORD_LIMIT;
pub(crate) use decode::Clocks;
pub(crate) use describe::FieldLine;
pub(crate) use error::{DecodeError, LayoutError};
pub(crate) use hints::{Hints, RecordChoice, Show};
use serde_json::{Map, Value};

use crate::template::btf::Btf;
use compile::Record;
use kinds::KindSelector;

/// Fields of a record, as [`model::Details::Fields`] has them.
pub(crate) type Fields = Map<String, Value>;

#[derive(Clone, Debug)]
pub(crate) struct Types {
    btf: Btf,
}

impl Types {
    /// Reads the types of an object file (`.bpf.o`).
    ///
    /// # Errors
    /// The file is no eBPF object, has no type information, or it is malformed.
    pub(crate) fn of_object(elf: &[u8]) -> Result<Self, LayoutError> {
        Ok(Self { btf: Btf::of_object(elf)? })
    }

    /// Reads bare type information.
    ///
    /// # Errors
    /// If the type information is malformed.
    pub(crate) fn of_btf(btf: &[u8]) -> Result<Self, LayoutError> {
        Ok(Self { btf: Btf::parse(btf)? })
    }

    /// Returns the layout of one struct: `event`, `struct event` or a typedef's name; without a name, of the
    /// only one that the object declares to be a ring's record.
    ///
    /// # Errors
    /// No struct, or more than one, has that name; a field can't be decoded; a hint does not fit.
    pub(crate) fn record(&self, name: Option<&str>, hints: &Hints) -> Result<Layout, LayoutError> {
        match name {
            Some(name) => self.layout(Some(&RecordChoice::Named(name.to_owned())), None, hints),
            None => self.layout(None, None, hints),
        }
    }

    /// Returns the layout that a template's `record` asks for, for the ring `map` if that is known.
    ///
    /// # Errors
    /// As for [`Types::record`].
    pub(crate) fn layout(
        &self,
        choice: Option<&RecordChoice>,
        map: Option<&str>,
        hints: &Hints,
    ) -> Result<Layout, LayoutError> {
        let (structs, selector) = match choice {
            None => (vec![choose::only(&self.btf, map)?], None),
            Some(RecordChoice::Named(name)) => (vec![choose::named(&self.btf, name)?], None),
            Some(RecordChoice::Kinds(kinds)) => {
                let names = kinds.structs.values();
                let structs = names.map(|name| choose::named(&self.btf, name)).collect::<Result<_, _>>()?;
                (structs, Some(kinds))
            }
        };
        let records = structs
            .iter()
            .map(|(id, name)| compile::record(&self.btf, *id, name, hints))
            .collect::<Result<Vec<_>, _>>()?;
        check_hints(&records, hints)?;
        let selector = selector.map(|kinds| KindSelector::new(&self.btf, kinds, &records)).transpose()?;
        Ok(Layout { records, selector })
    }

    /// Returns the structs that the object declares to be records, as `record` can name them.
    pub(crate) fn candidates(&self) -> Vec<String> {
        let found = choose::candidates(&self.btf, None).unwrap_or_default();
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// Returns all structs that `record` can name, those declared to be records first.
    pub(crate) fn structs(&self) -> Vec<String> {
        choose::structs_of(&self.btf).unwrap_or_default()
    }
}

/// Checks that each hint is for a field of one of the structs.
fn check_hints(records: &[Record], hints: &Hints) -> Result<(), LayoutError> {
    let known =
        |path: &String| records.iter().any(|record| record.lines.iter().any(|line| line.path == *path));
    let inlined = |path: &String| {
        let prefix = format!("{path}.");
        records.iter().any(|record| record.lines.iter().any(|line| line.path.starts_with(&prefix)))
    };
    let shows = hints.show.iter().map(|(path, show)| ("show", path, *show == Show::Inline && inlined(path)));
    let renames = hints.rename.keys().map(|path| ("rename", path, false));
    for (hint, field, fine) in shows.chain(renames) {
        if !fine && !known(field) {
            let mut paths: Vec<_> =
                records.iter().flat_map(|record| &record.lines).map(|line| line.path.clone()).collect();
            paths.dedup();
            let record = records.iter().map(|record| record.name.as_str()).collect::<Vec<_>>().join(" and ");
            return Err(LayoutError::NoSuchField { hint, field: field.clone(), record, known: paths });
        }
    }
    Ok(())
}

/// Decodes the records of a ring.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    /// The structs; at least one.
    records: Vec<Record>,
    /// Chooses the struct of a record, if there are several.
    selector: Option<KindSelector>,
}

impl Layout {
    /// Decodes a record. Bytes after the struct are ignored: rings round up.
    ///
    /// # Errors
    /// There are too few bytes, or the record is of a kind that the configuration does not name.
    pub(crate) fn decode(&self, bytes: &[u8], clocks: &Clocks) -> Result<Fields, DecodeError> {
        let index = self.selector.as_ref().map_or(Ok(0), |selector| selector.select(bytes))?;
        let short = |record: &Record| DecodeError::Short {
            record: record.name.clone(),
            found: bytes.len(),
            expected: record.size,
        };
        match self.records.get(index) {
            Some(record) if bytes.len() >= record.size => Ok(decode::object(&record.fields, bytes, clocks)),
            Some(record) => Err(short(record)),
            None => Ok(Fields::new()),
        }
    }

    /// Iterates over the structs: name, size, fields.
    pub(crate) fn describe(&self) -> impl Iterator<Item = (&str, usize, &[FieldLine])> {
        self.records.iter().map(|record| (record.name.as_str(), record.size, record.lines.as_slice()))
    }

    /// Returns the largest number of bytes that a record needs.
    pub(crate) fn size(&self) -> usize {
        self.records.iter().map(|record| record.size).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
