//! Decoding of arbitrary bytes from a ring: the result is a record or a typed error, never a panic.

use model::ProcessTable;
use proptest::prelude::{any, prop, proptest};

use crate::catalog::tracers;
use crate::tracers::lifecycle;
use crate::wire;

/// Feeds bytes to everything that reads bytes.
fn feed(bytes: &[u8]) {
    let table = ProcessTable::default();
    for tracer in tracers() {
        let _ = (tracer.decode)(bytes);
    }
    let _ = lifecycle::apply(&table, bytes);
    for record in wire::split(bytes) {
        let _ = record.map(|record| lifecycle::apply(&table, record));
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        feed(&bytes);
    }

    /// A correct header, so that the rest is read too, and texts of any length and content.
    #[test]
    fn random_records_never_panic(
        kind in prop::sample::select(vec![1u32, 2, 3, 4, 5, 13, 14, 15, 16, 17, 18, 32, 33, 34]),
        mut bytes in prop::collection::vec(any::<u8>(), 120..400),
        lengths in prop::collection::vec((0u16..60, 0u16..128), 6),
    ) {
        let size = bytes.len() as u32;
        bytes[0..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[8..12].copy_from_slice(&size.to_ne_bytes());
        // The text fields of all kinds are 4-byte aligned after the header.
        for (index, (length, flags)) in lengths.iter().enumerate() {
            let first = match kind {
                1 => std::mem::offset_of!(wire::OpenRecord, asked),
                3 => std::mem::offset_of!(wire::CloneRecord, cgroup),
                5 | 14..=18 => std::mem::offset_of!(wire::SockRecord, name),
                _ => size_of::<wire::Header>(),
            };
            let at = first + index * 4;
            if let Some(field) = bytes.get_mut(at..at + 4) {
                field[..2].copy_from_slice(&length.to_ne_bytes());
                field[2..].copy_from_slice(&flags.to_ne_bytes());
            }
        }
        feed(&bytes);
    }
}

#[test]
fn a_short_record_says_so() {
    let error = (tracers().next().expect("a tracer").decode)(&[0; 10]).expect_err("too short");
    assert_eq!(error, wire::WireError::Short { found: 10, needed: 120 });
    assert_eq!(error.to_string(), "record of 10 bytes is too short, 120 needed");
}
