//! The fuzz targets, and the one that runs arbitrary bytes through everything that handles bytes from a ring.

use model::ProcessTable;

use crate::catalog::tracers;
use crate::template::layout;
use crate::tracers::{dns, lifecycle};
use crate::wire::{Header, Kind, split};

/// A fuzz target, by name.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// The fuzz targets of this crate.
pub const FUZZ_TARGETS: [FuzzTarget; 3] = [
    ("dns", dns::fuzz_target),
    ("layout", |bytes| {
        layout::fuzz::fuzz_target(bytes);
    }),
    ("wire", wire),
];

/// Splits `bytes` into records, decodes each with its tracer's decoder, and applies it to a process table. Then repeats this
/// with a copy in which the header of the first record has a valid kind and size.
///
/// # Panics
/// Panics if an invariant is violated: a record belongs to more than one tracer, its decoded process differs from the
/// header's, or it is decoded although a byte is missing.
fn wire(bytes: &[u8]) {
    feed(bytes);
    let Some(&choice) = bytes.first() else { return };
    let mut plausible = bytes.to_vec();
    let kinds: Vec<_> = (0..=u32::from(u8::MAX)).filter(|&number| Kind::try_from(number).is_ok()).collect();
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
    for record in split(bytes) {
        let Ok(record) = record else { break };
        assert_eq!(record, &bytes[taken..taken + record.len()], "a record differs from the bytes");
        taken += record.len();
        decode(record);
        // A record of the wrong kind or shape is refused; the table stays usable.
        let _ = lifecycle::apply(&table, record);
    }
}

fn decode(record: &[u8]) {
    let Ok(header) = Header::parse(record) else { return };
    let Ok(kind) = header.kind() else { return };
    let mut wanting = tracers().filter(|tracer| tracer.kind == kind);
    let Some(tracer) = wanting.next() else { return };
    assert!(wanting.next().is_none(), "a record of several tracers: {kind:?}");
    let Ok(decoded) = (tracer.decode)(record) else { return };
    assert_eq!(decoded.identity, Some(header.identity()));
    let short = &record[..record.len() - 1];
    assert!((tracer.decode)(short).is_err(), "decoded with a byte missing");
}
