//! The fuzz target for everything that reads an object.

use super::{Clocks, Hints, RECORD_LIMIT, Types};

/// Limit of structs that are laid out.
const STRUCTS: usize = 64;

/// Reads `data` as an object, else as bare type information; lays out the structs that it finds and decodes
/// `data` itself by each layout. Returns the number of layouts. Must return soon, whatever the bytes.
pub(crate) fn fuzz_target(data: &[u8]) -> usize {
    let Ok(types) = Types::of_object(data).or_else(|_| Types::of_btf(data)) else { return 0 };
    let hints = Hints::default();
    let names = types.structs();
    let names = names.iter().take(STRUCTS).map(|name| Some(name.as_str()));
    let layouts = names.chain([None]).filter_map(|name| types.record(name, &hints).ok());
    let mut record = data.to_vec();
    record.resize(RECORD_LIMIT, 0xa5);
    let mut count = 0;
    for layout in layouts {
        count += 1;
        let decoded = layout.decode(&record, &Clocks::default());
        debug_assert!(decoded.is_ok(), "a record of the largest size is never too short");
        debug_assert!(layout.decode(&record[..layout.size() - 1], &Clocks::default()).is_err());
    }
    count
}
