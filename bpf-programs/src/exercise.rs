//! Everything that bytes from a ring can be put through, for fuzzers and property tests.

use model::ProcessTable;

use crate::lifecycle;
use crate::programs::tracers;
use crate::wire::{self, Header};

/// Splits `bytes` into records, decodes each as every tracer would, and applies it to a process table; then the same
/// with a copy whose first record says the size and kind that let it through.
///
/// # Panics
/// Where a promise is broken: a record is decoded by more than one tracer, or tells of another process than its bytes
/// do, or is decoded although a byte of it is missing.
pub fn exercise(bytes: &[u8]) {
    feed(bytes);
    let Some(&choice) = bytes.first() else { return };
    let mut plausible = bytes.to_vec();
    let kinds = [1, 2, 3, 4, 5, 32, 33, 34_u32];
    let kind = kinds[usize::from(choice) % kinds.len()];
    let size = bytes.len() as u32;
    for (at, word) in [(0, kind), (8, size)] {
        if let Some(field) = plausible.get_mut(at..at + 4) {
            field.copy_from_slice(&word.to_ne_bytes());
        }
    }
    feed(&plausible);
}

fn feed(bytes: &[u8]) {
    let table = ProcessTable::default();
    let mut taken = 0;
    for record in wire::split(bytes) {
        let Ok(record) = record else { break };
        assert_eq!(record, &bytes[taken..taken + record.len()], "records are not what stood there");
        taken += record.len();
        decode(record);
        // A record of the wrong kind or shape is refused; the table stays usable.
        let _ = lifecycle::apply(&table, record);
    }
}

fn decode(record: &[u8]) {
    let decoded: Vec<_> = tracers().filter_map(|tracer| (tracer.decode)(record).ok()).collect();
    assert!(decoded.len() <= 1, "a record of several tracers: {decoded:?}");
    let Some(decoded) = decoded.into_iter().next() else { return };
    let header = Header::parse(record).expect("it was decoded");
    assert_eq!(decoded.identity, Some(header.identity()));
    let short = &record[..record.len() - 1];
    assert!(tracers().all(|tracer| (tracer.decode)(short).is_err()), "decoded with a byte missing");
}
