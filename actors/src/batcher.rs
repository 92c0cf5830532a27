//! Cuts a stream of items into batches by count, bytes or age, whichever comes first.

use std::time::Duration;

use crate::clock::{self, Instant};

/// Thresholds at which a batch is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of items.
    pub count: usize,
    /// Sum of the sizes given to [`Batcher::push`].
    pub bytes: usize,
    /// Time since the batch's first item.
    pub age: Duration,
}

/// Collects items and returns them as a batch when one of the [`Limits`] is reached.
#[derive(Debug)]
pub struct Batcher<T> {
    limits: Limits,
    items: Vec<T>,
    bytes: usize,
    due: Option<Instant>,
}

impl<T> Batcher<T> {
    /// Creates an empty batcher.
    pub fn new(limits: Limits) -> Self {
        Self { limits, items: Vec::new(), bytes: 0, due: None }
    }

    /// Adds an item of `bytes` bytes; returns the batch if that filled it.
    pub fn push(&mut self, item: T, bytes: usize) -> Option<Vec<T>> {
        if self.items.is_empty() {
            self.due = Some(clock::now() + self.limits.age);
        }
        self.items.push(item);
        self.bytes += bytes;
        let full = self.items.len() >= self.limits.count || self.bytes >= self.limits.bytes;
        if full { self.take() } else { None }
    }

    /// Returns when the current batch must be taken even if it is not full; `None` while it is empty.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the current batch, if it has items.
    pub fn take(&mut self) -> Option<Vec<T>> {
        self.due = None;
        self.bytes = 0;
        if self.items.is_empty() { None } else { Some(std::mem::take(&mut self.items)) }
    }

    /// Returns the number of items in the current batch.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether the current batch has no items.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { count: 3, bytes: 100, age: Duration::from_millis(50) };

    #[tokio::test(start_paused = true)]
    async fn full_by_count_by_bytes_or_due_by_age() {
        let mut batcher = Batcher::new(LIMITS);
        assert_eq!((batcher.push(1, 1), batcher.push(2, 1)), (None, None));
        assert_eq!(batcher.push(3, 1), Some(vec![1, 2, 3]));
        assert_eq!(batcher.push(4, 100), Some(vec![4]));
        assert_eq!((batcher.due(), batcher.take()), (None, None));
        let start = clock::now();
        assert_eq!(batcher.push(5, 1), None);
        clock::sleep(Duration::from_millis(10)).await;
        assert_eq!(batcher.push(6, 1), None);
        assert_eq!(batcher.due(), Some(start + LIMITS.age));
        assert_eq!(batcher.take(), Some(vec![5, 6]));
    }
}
