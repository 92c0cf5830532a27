//! Epochs: the parts of a thing's life between two moments at which what it held was replaced.

/// Moments at which an epoch of some thing ended and the next one began.
#[derive(Debug)]
pub(super) struct Epochs {
    /// The moments of all things, in order of things and then of time.
    moments: Vec<i64>,
    /// For each thing the index of its first moment, and after the last thing the number of all moments.
    begins: Vec<u32>,
    /// Number of the first node.
    base: u32,
}

/// An epoch during an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Number of the epoch's node.
    pub(super) node: u32,
    /// The interval, within the epoch. Both ends can belong to the neighbouring epochs, too.
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Epochs {
    /// Makes the epochs of `things` things from moments, each with the number of its thing. Nodes are numbered from `base` on.
    pub(super) fn new(things: usize, moments: impl Iterator<Item = (u32, i64)>, base: u32) -> Self {
        let mut ordered: Vec<(u32, i64)> = moments.collect();
        ordered.sort_unstable();
        ordered.dedup();
        let mut begins = vec![0; things + 1];
        for (thing, _) in &ordered {
            begins[*thing as usize + 1] += 1;
        }
        let mut sum = 0;
        for begin in &mut begins {
            sum += *begin;
            *begin = sum;
        }
        Self { moments: ordered.into_iter().map(|(_, at)| at).collect(), begins, base }
    }

    /// Returns the moments of a thing, in order.
    fn of(&self, thing: u32) -> &[i64] {
        &self.moments[self.begins[thing as usize] as usize..self.begins[thing as usize + 1] as usize]
    }

    /// Returns the node of a thing's first epoch. Each moment before, and each thing before, has a node.
    fn first(&self, thing: u32) -> u32 {
        self.base + self.begins[thing as usize] + thing
    }

    /// Returns the number of things.
    fn things(&self) -> u32 {
        self.begins.len() as u32 - 1
    }

    /// Returns the number after the last node.
    pub(super) fn end(&self) -> u32 {
        self.first(self.things())
    }

    /// Returns the thing and the epoch of a node, if it is one of these.
    pub(super) fn of_node(&self, node: u32) -> Option<(u32, u32)> {
        if node < self.base || node >= self.end() {
            return None;
        }
        let (mut least, mut above) = (0, self.things());
        while above - least > 1 {
            let middle = least + (above - least) / 2;
            if self.first(middle) <= node {
                least = middle;
            } else {
                above = middle;
            }
        }
        Some((least, node - self.first(least)))
    }

    /// Returns the node of an epoch; the last one, if there are fewer.
    pub(super) fn node(&self, thing: u32, epoch: u32) -> u32 {
        self.first(thing) + epoch.min(self.of(thing).len() as u32)
    }

    /// Returns the node of the epoch that a thing is in at some time.
    pub(super) fn node_at(&self, thing: u32, at: i64) -> u32 {
        self.first(thing) + self.of(thing).partition_point(|moment| *moment <= at) as u32
    }

    /// Returns the nodes of all epochs of a thing.
    pub(super) fn nodes(&self, thing: u32) -> std::ops::Range<u32> {
        self.first(thing)..self.first(thing + 1)
    }

    /// Returns the moment at which an epoch began; `None` for the first one.
    pub(super) fn begin(&self, node: u32) -> Option<i64> {
        let (thing, epoch) = self.of_node(node)?;
        self.of(thing).get((epoch as usize).checked_sub(1)?).copied()
    }

    /// Returns the moment at which the epoch ends that a thing is in at some time; `None` if it is the last one.
    pub(super) fn end_of(&self, thing: u32, at: i64) -> Option<i64> {
        let moments = self.of(thing);
        moments.get(moments.partition_point(|moment| *moment <= at)).copied()
    }

    /// Calls `visit` with the epochs in which an interval is. At a moment, both neighbours count. What is known to have happened until
    /// `last` can have gone on until `end`.
    pub(super) fn parts(&self, thing: u32, (first, last, end): (i64, i64, i64), mut visit: impl FnMut(Part)) {
        let (moments, base) = (self.of(thing), self.first(thing));
        if moments.is_empty() {
            return visit(Part { node: base, first, last: end });
        }
        let from = moments.partition_point(|moment| *moment < first);
        let to = moments.partition_point(|moment| *moment <= last);
        for epoch in from..=to {
            let begin = epoch.checked_sub(1).map_or(i64::MIN, |before| moments[before]);
            let limit = moments.get(epoch).copied().unwrap_or(i64::MAX);
            visit(Part { node: base + epoch as u32, first: first.max(begin), last: end.min(limit) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_in_all_epochs_that_it_touches() {
        let epochs = Epochs::new(2, [(1, 20), (1, 10), (1, 20)].into_iter(), 5);
        assert_eq!((epochs.end(), epochs.nodes(0), epochs.nodes(1)), (9, 5..6, 6..9));
        assert_eq!([4, 5, 8, 9].map(|node| epochs.of_node(node)), [None, Some((0, 0)), Some((1, 2)), None]);
        let parts = |interval| {
            let mut parts = Vec::new();
            epochs.parts(1, interval, |part| parts.push((part.node, part.first, part.last)));
            parts
        };
        assert_eq!(parts((12, 13, 15)), [(7, 12, 15)]);
        assert_eq!(parts((12, 13, 25)), [(7, 12, 20)]);
        assert_eq!(parts((10, 10, 10)), [(6, 10, 10), (7, 10, 10)]);
        assert_eq!(parts((0, 30, 30)), [(6, 0, 10), (7, 10, 20), (8, 20, 30)]);
        assert_eq!([0, 10, 20].map(|at| epochs.end_of(1, at)), [Some(10), Some(20), None]);
        assert_eq!([6, 7, 8].map(|node| epochs.begin(node)), [None, Some(10), Some(20)]);
    }
}
