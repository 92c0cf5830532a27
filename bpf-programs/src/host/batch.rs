//! Batches of one tracer's raw records on their way from host to tracer, each in a single vector of bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use model::{Account, BootNs, Claim, OffsetRange};

/// Number of records at which a batch is full.
const MAX_RECORDS: usize = 1024;
/// Number of bytes at which a batch is full. One more record still fits; the largest has about 20 KiB.
const MAX_BYTES: usize = 256 << 10;

/// Records as the kernel wrote them, with the claim that accounts for them.
#[derive(Debug)]
pub(crate) struct RawBatch {
    /// Claim for as many records as the batch holds.
    pub claim: Claim,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    _weight: Option<Weight>,
}

/// Number of bytes of all batches that tracers have not decoded yet.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<AtomicUsize>);

impl InFlight {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// A batch's share of [`InFlight`], for as long as the batch exists.
#[derive(Debug)]
struct Weight(InFlight, usize);

impl Drop for Weight {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Relaxed);
    }
}

impl RawBatch {
    /// Counts the batch's bytes as in flight until it is dropped.
    pub(super) fn weigh(&mut self, all: &InFlight) {
        all.0.fetch_add(self.size(), Relaxed);
        self._weight = Some(Weight(all.clone(), self.size()));
    }

    /// Returns the records, in ring order.
    pub(crate) fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let record = &self.bytes[start..*end as usize];
            start = *end as usize;
            record
        })
    }

    /// Drops the bytes and returns the claim.
    pub(crate) fn into_claim(self) -> Claim {
        self.claim
    }

    /// Returns the number of bytes of all records.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// A batch under construction.
#[derive(Debug, Default)]
pub(crate) struct BatchBuilder {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    span: Option<(BootNs, BootNs)>,
    range: Option<OffsetRange>,
    /// Records and bytes of the last batch: the capacity reserved for the next, so that the vectors of a busy tracer grow
    /// at most once and those of an idle one stay small.
    last: (usize, usize),
}

impl BatchBuilder {
    /// Number of records at which a batch is full.
    pub(crate) const RECORDS: usize = MAX_RECORDS;

    /// Adds a record that occupies `range` of a ring that may be pinned.
    pub(super) fn push_from(&mut self, range: OffsetRange, record: &[u8], at: BootNs) {
        self.range = Some(OffsetRange { start: self.range.unwrap_or(range).start, end: range.end });
        self.push(record, at);
    }

    /// Adds a record whose position in a ring does not matter.
    pub(crate) fn push(&mut self, record: &[u8], at: BootNs) {
        if self.ends.is_empty() {
            self.ends.reserve(self.last.0);
            self.bytes.reserve(self.last.1);
        }
        self.bytes.extend_from_slice(record);
        // Cannot overflow: a batch is full long before.
        self.ends.push(self.bytes.len() as u32);
        // Ring order is not time order: records of two CPUs may be reserved in one order and stamped in the other.
        let (from, to) = self.span.unwrap_or((at, at));
        self.span = Some((from.min(at), to.max(at)));
    }

    /// Returns the position of the batch's first record in the ring.
    pub(super) fn starts_at(&self) -> Option<u64> {
        self.range.map(|range| range.start)
    }

    pub(super) fn is_full(&self) -> bool {
        self.ends.len() >= MAX_RECORDS || self.bytes.len() >= MAX_BYTES
    }

    /// Returns the batch unless it is empty, and starts the next. The account must have counted its records as seen.
    pub(crate) fn take(&mut self, account: &Arc<Account>) -> Option<RawBatch> {
        let (span, range) = (self.span.take()?, self.range.take());
        self.last = (self.ends.len(), self.bytes.len());
        let (bytes, ends) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends));
        let count = ends.len() as u64;
        let claim = match range {
            Some(range) => Claim::on_range(account.clone(), count, span, range),
            None => Claim::on_counted(account.clone(), count, span),
        };
        Some(RawBatch { claim, bytes, ends, _weight: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let account = model::Accounts::new(&[]).of(&"open".into());
        account.set_seen(3);
        let mut builder = BatchBuilder::default();
        assert!(builder.take(&account).is_none());
        for (record, at) in [(&b"one"[..], 5), (b"", 4), (b"three", 9)] {
            builder.push(record, BootNs(at));
        }
        let mut batch = builder.take(&account).unwrap();
        assert_eq!(batch.records().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!((batch.claim.count(), batch.claim.span()), (3, (BootNs(4), BootNs(9))));
        assert_eq!((batch.records().len(), batch.size()), (3, 8));
        batch.claim.filter(3);
    }

    #[test]
    fn a_batch_is_full_by_count_or_by_bytes() {
        let mut builder = BatchBuilder::default();
        (1..MAX_RECORDS).for_each(|_| builder.push(b"x", BootNs(1)));
        assert!(!builder.is_full());
        builder.push(b"x", BootNs(1));
        assert!(builder.is_full());
        let mut builder = BatchBuilder::default();
        builder.push(&vec![0; MAX_BYTES], BootNs(1));
        assert!(builder.is_full());
    }
}
