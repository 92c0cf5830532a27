//! A record's layout, read from the object's own type information: [`Types::of_object`], then [`Types::record`],
//! then [`Layout::decode`] for each record.

mod choose;
mod columns;
mod compile;
mod decode;
mod describe;
mod error;
pub mod fuzz;
mod hints;
mod kinds;
mod measure;
mod shape;
mod types;

pub use compile::RECORD_LIMIT;
pub use decode::Clocks;
pub use describe::FieldLine;
pub use error::{DecodeError, LayoutError};
pub use hints::{Hints, Kinds, RecordChoice, Show};
use serde_json::{Map, Value};

use crate::template::btf::Btf;
use compile::Record;
use kinds::Teller;

/// Fields of a record, as [`model::Details::Fields`] has them.
pub type Fields = Map<String, Value>;

/// The types of an object.
#[derive(Clone, Debug)]
pub struct Types {
    btf: Btf,
}

impl Types {
    /// Those of an object file (`.bpf.o`).
    ///
    /// # Errors
    /// When it is no eBPF object, or has no type information, or that is malformed.
    pub fn of_object(elf: &[u8]) -> Result<Self, LayoutError> {
        Ok(Self { btf: Btf::of_object(elf)? })
    }

    /// Those of bare type information.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn of_btf(btf: &[u8]) -> Result<Self, LayoutError> {
        Ok(Self { btf: Btf::parse(btf)? })
    }

    /// The layout of one struct: `event`, `struct event`, a typedef's name; or, without a name, of the only one
    /// that the object declares to be a ring's record.
    ///
    /// # Errors
    /// When there is none or no single one of that name, when a field can't be decoded, when a hint does not fit.
    pub fn record(&self, name: Option<&str>, hints: &Hints) -> Result<Layout, LayoutError> {
        match name {
            Some(name) => self.layout(Some(&RecordChoice::Named(name.to_owned())), None, hints),
            None => self.layout(None, None, hints),
        }
    }

    /// The layout that a template's `record` asks for, of the records on the ring `map`, where that is known.
    ///
    /// # Errors
    /// As [`Types::record`].
    pub fn layout(
        &self,
        choice: Option<&RecordChoice>,
        map: Option<&str>,
        hints: &Hints,
    ) -> Result<Layout, LayoutError> {
        let (structs, teller) = match choice {
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
        let teller = teller.map(|kinds| Teller::new(&self.btf, kinds, &records)).transpose()?;
        Ok(Layout { records, teller })
    }

    /// The structs that the object declares to be records, as `record` can name them.
    pub fn candidates(&self) -> Vec<String> {
        let found = choose::candidates(&self.btf, None).unwrap_or_default();
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// All structs that `record` can name, those declared to be records first.
    pub fn structs(&self) -> Vec<String> {
        choose::structs_of(&self.btf).unwrap_or_default()
    }
}

/// Each hint must be for a field of one of the structs.
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

/// How the records of a ring are decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// At least one.
    records: Vec<Record>,
    /// Which of them a record is, where there are several.
    teller: Option<Teller>,
}

impl Layout {
    /// A record's fields. Bytes behind the struct are fine: rings round up.
    ///
    /// # Errors
    /// When there are too few bytes, or the record is of a kind that the configuration does not name.
    pub fn decode(&self, bytes: &[u8], clocks: &Clocks) -> Result<Fields, DecodeError> {
        let index = self.teller.as_ref().map_or(Ok(0), |teller| teller.tell(bytes))?;
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

    /// The structs, each with its fields.
    pub fn describe(&self) -> impl Iterator<Item = (&str, usize, &[FieldLine])> {
        self.records.iter().map(|record| (record.name.as_str(), record.size, record.lines.as_slice()))
    }

    /// The largest number of bytes a record needs.
    pub fn size(&self) -> usize {
        self.records.iter().map(|record| record.size).max().unwrap_or_default()
    }
}
