//! Reads batches of rows that another process sent, one at a time, without keeping them.

use std::collections::HashMap;

use crate::Error;
use crate::carry::Carried;
use crate::decode::BatchRows;
use crate::ipc::{read_batch, read_schema};

/// Remembers the schema of each tracer, which comes only when it changes.
#[derive(Debug, Default)]
pub struct Arrivals {
    schemas: HashMap<String, Vec<u8>>,
}

impl Arrivals {
    /// Returns the rows of a batch: all columns, or those for whose names `wants` is true. `bytes` are those that were sent with it.
    ///
    /// # Errors
    /// The bytes are not as described.
    pub fn rows(
        &mut self,
        carried: &Carried,
        bytes: &[u8],
        wants: impl Fn(&str) -> bool,
    ) -> Result<BatchRows, Error> {
        let foreign = || Error::Foreign("a batch of live rows is not as described".to_owned());
        let (schema, data) = bytes.split_at_checked(carried.schema as usize).ok_or_else(foreign)?;
        let failed = |source| Error::Decode { what: format!("live rows of {}", carried.tracer), source };
        if !schema.is_empty() {
            read_schema(schema).map_err(failed)?;
            self.schemas.insert(carried.tracer.clone(), schema.to_vec());
        }
        let schema = self.schemas.get(&carried.tracer).ok_or_else(foreign)?;
        let fields = read_schema(schema).map_err(failed)?;
        let wanted = fields.fields().iter().enumerate().filter(|(_, field)| wants(field.name()));
        let wanted = wanted.map(|(index, _)| index).collect();
        let batch = read_batch(schema, data, Some(wanted)).map_err(failed)?;
        Ok(BatchRows::new(&batch, carried.first_id))
    }
}

#[cfg(test)]
mod tests {
    use model::{Details, Extended, TracerName, Tracking, WallTime};

    use super::*;
    use crate::carry::Packer;

    fn row(fields: &str) -> Tracking {
        let extended = Extended::new(Details::Fields(serde_json::from_str(fields).expect("an object")));
        Tracking::new(TracerName::new("mine"), WallTime(1_000_000), extended)
    }

    #[test]
    fn rows_are_read_with_the_schema_that_came_last() {
        let (mut packer, mut arrivals) = (Packer::new().expect("a packer"), Arrivals::default());
        for (fields, has_schema) in [(r#"{"a":1}"#, true), (r#"{"a":2}"#, false), (r#"{"b":3}"#, true)] {
            let mut bytes = Vec::new();
            let carried = packer.pack(&[row(fields)], 1, &mut bytes).expect("a batch");
            assert_eq!(carried.schema > 0, has_schema, "{fields}");
            let rows = arrivals.rows(&carried, &bytes, |_| true).expect("rows");
            assert_eq!(serde_json::Value::Object(rows.extended(0)).to_string(), fields);
            assert!(arrivals.rows(&carried, &bytes[1..], |_| true).is_err(), "{fields}");
        }
    }

    #[test]
    fn only_wanted_columns_are_read_and_an_unknown_schema_is_an_error() {
        let mut packer = Packer::new().expect("a packer");
        let mut bytes = Vec::new();
        let carried = packer.pack(&[row(r#"{"a":1,"b":2}"#)], 1, &mut bytes).expect("a batch");
        let rows = Arrivals::default().rows(&carried, &bytes, |name| name != "b").expect("rows");
        assert_eq!(serde_json::Value::Object(rows.extended(0)).to_string(), r#"{"a":1}"#);
        let without = Carried { schema: 0, ..carried };
        assert!(Arrivals::default().rows(&without, &bytes, |_| true).is_err());
    }
}
