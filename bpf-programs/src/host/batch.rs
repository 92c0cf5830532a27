//! One tracer's raw records on their way from host to tracer: one vector of bytes, whatever their number.

use std::sync::Arc;

use model::{Account, BootNs, Claim, Stretch};

/// A batch is full at so many records,
const MAX_RECORDS: usize = 1024;
/// or at so many bytes. One more record fits: the largest is about 20 KiB.
const MAX_BYTES: usize = 256 << 10;

/// Records as the kernel wrote them, with the claim that answers for them.
#[derive(Debug)]
pub struct RawBatch {
    /// Answers for the records; as many as there are.
    pub claim: Claim,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl RawBatch {
    /// The records, in ring order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let record = &self.bytes[start..*end as usize];
            start = *end as usize;
            record
        })
    }

    /// Lets go of the bytes and hands over the claim.
    pub fn into_claim(self) -> Claim {
        self.claim
    }

    /// Bytes of all records.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// A batch in the making.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    span: Option<(BootNs, BootNs)>,
    stretch: Option<Stretch>,
    /// Records and bytes the last batch had: what room to make for the next, so that a busy tracer's grows
    /// at most once and an idle one's stays small.
    last: (usize, usize),
}

impl Cut {
    /// So many records fill a batch.
    pub(crate) const RECORDS: usize = MAX_RECORDS;

    /// A record of a ring that may outlive the agent, and where it lies there.
    pub(super) fn push_from(&mut self, stretch: Stretch, record: &[u8], at: BootNs) {
        self.stretch = Some(Stretch { start: self.stretch.unwrap_or(stretch).start, end: stretch.end });
        self.push(record, at);
    }

    pub(crate) fn push(&mut self, record: &[u8], at: BootNs) {
        if self.ends.is_empty() {
            self.ends.reserve(self.last.0);
            self.bytes.reserve(self.last.1);
        }
        self.bytes.extend_from_slice(record);
        // Cannot overflow: a batch is cut long before.
        self.ends.push(self.bytes.len() as u32);
        // Ring order is not time order: records of two CPUs may be reserved one way and stamped the other.
        let (from, to) = self.span.unwrap_or((at, at));
        self.span = Some((from.min(at), to.max(at)));
    }

    /// Where its first record begins in the ring.
    pub(super) fn starts_at(&self) -> Option<u64> {
        self.stretch.map(|stretch| stretch.start)
    }

    pub(super) fn is_full(&self) -> bool {
        self.ends.len() >= MAX_RECORDS || self.bytes.len() >= MAX_BYTES
    }

    /// The batch, if there is anything in it. Its records must be booked as seen by now.
    pub(crate) fn take(&mut self, account: &Arc<Account>) -> Option<RawBatch> {
        let (span, stretch) = (self.span.take()?, self.stretch.take());
        self.last = (self.ends.len(), self.bytes.len());
        let (bytes, ends) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ends));
        let count = ends.len() as u64;
        let claim = match stretch {
            Some(stretch) => Claim::on_stretch(account.clone(), count, span, stretch),
            None => Claim::on_counted(account.clone(), count, span),
        };
        Some(RawBatch { claim, bytes, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let account = model::Accounts::new(&[]).of(&"open".into());
        account.set_seen(3);
        let mut cut = Cut::default();
        assert!(cut.take(&account).is_none());
        for (record, at) in [(&b"one"[..], 5), (b"", 4), (b"three", 9)] {
            cut.push(record, BootNs(at));
        }
        let mut batch = cut.take(&account).unwrap();
        assert_eq!(batch.records().collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        assert_eq!((batch.claim.count(), batch.claim.span()), (3, (BootNs(4), BootNs(9))));
        assert_eq!((batch.records().len(), batch.size()), (3, 8));
        batch.claim.filter(3);
    }

    #[test]
    fn full_by_count_or_by_bytes() {
        let mut cut = Cut::default();
        (1..MAX_RECORDS).for_each(|_| cut.push(b"x", BootNs(1)));
        assert!(!cut.is_full());
        cut.push(b"x", BootNs(1));
        assert!(cut.is_full());
        let mut cut = Cut::default();
        cut.push(&vec![0; MAX_BYTES], BootNs(1));
        assert!(cut.is_full());
    }
}
