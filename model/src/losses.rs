//! Lost records: how many, where, when, why, and whose. [`Losses`] merges the losses of one tracer into a bounded number
//! of [`Loss`]es, each of which becomes a `loss` row.
//!
//! Any number of users may lose records. Those who lost most are listed; the losses of the others are added up:
//!
//! ```text
//!  add(uid 1001, 40)  ┐                          ┌ uid 1001: 40
//!  add(uid 1002, 7)   ├─▶ merged by point, sink, ├ uid 1002: 7
//!  …                  │   cause and owner        ├ …              at most LISTED users
//!  add(uid 9999, 1)   ┘                          └ other users: 23
//! ```

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::snapshot::own_cause;
use crate::{BootNs, LossPoint, SinkName, TracerName, ZonedTime};

/// Most owners that the losses of one tracer name at a time; the losses of the others are added up.
const LISTED: usize = 64;

/// Most losses of one tracer that are kept apart before those of all but 64 owners are added up.
const KEPT: usize = 512;

/// Owner of lost records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The owner is not known.
    #[default]
    Unknown,
    /// The user with this id; for processes in a user namespace, the owner of the namespace.
    User(u32),
    /// Processes of root in the control group with this id.
    Cgroup(u64),
    /// Several owners, none of whom is among those who lost most.
    Others,
}

impl Owner {
    /// Returns the user id, if there is only one.
    pub fn uid(self) -> Option<u32> {
        match self {
            Self::User(uid) => Some(uid),
            Self::Cgroup(_) => Some(0),
            Self::Unknown | Self::Others => None,
        }
    }
}

/// A number of records that existed and reached no sink, or not this one. Made by the agent itself, so no account counts
/// its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss<T = ZonedTime> {
    /// Tracer of the records.
    pub tracer: TracerName,
    /// Point at which they were lost.
    pub point: LossPoint,
    /// The sink that lost them, itself or in its queue; `None` if they were lost before.
    pub sink: Option<SinkName>,
    /// The first cause of the loss, as text.
    pub cause: String,
    /// Owner of the records.
    pub owner: Owner,
    /// Number of records; 0: not known.
    pub count: u64,
    /// Earliest time at which one may be missing.
    pub from: T,
    /// Latest time at which one may be missing.
    pub to: T,
}

/// Records that are missing between two times of the boot clock.
pub type Gap = Loss<BootNs>;

impl Gap {
    /// Describes records of an unknown owner that were lost before they reached a sink.
    pub fn of(
        tracer: &TracerName,
        point: LossPoint,
        count: u64,
        (from, to): (BootNs, BootNs),
        cause: &str,
    ) -> Self {
        let (tracer, cause) = (tracer.clone(), cause.to_owned());
        Self { tracer, point, sink: None, cause, owner: Owner::Unknown, count, from, to }
    }
}

/// Point, sink, the cause if it is reported apart, and owner.
type Key = (LossPoint, Option<SinkName>, Option<&'static str>, Owner);

/// Losses of one tracer, merged and bounded; their sum is that of all that were added.
#[derive(Debug)]
pub struct Losses<T>(BTreeMap<Key, Loss<T>>);

impl<T> Default for Losses<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Copy + Ord> Losses<T> {
    /// Adds a loss.
    pub fn add(&mut self, loss: Loss<T>) {
        self.merge(loss);
        if self.0.len() > KEPT {
            self.limit();
        }
    }

    /// Returns the losses, with at most 64 owners.
    pub fn list(&mut self) -> impl Iterator<Item = &Loss<T>> {
        self.limit();
        self.0.values()
    }

    /// Removes and returns the losses, with at most 64 owners.
    pub fn take(&mut self) -> Vec<Loss<T>> {
        self.limit();
        std::mem::take(&mut self.0).into_values().collect()
    }

    /// Returns how many records were lost at this point.
    pub fn at(&self, point: LossPoint) -> u64 {
        self.0.values().filter(|loss| loss.point == point).map(|loss| loss.count).sum()
    }

    fn merge(&mut self, loss: Loss<T>) {
        let key = (loss.point, loss.sink.clone(), own_cause(&loss.cause), loss.owner);
        match self.0.entry(key) {
            Entry::Vacant(entry) => drop(entry.insert(loss)),
            Entry::Occupied(mut entry) => {
                let merged = entry.get_mut();
                merged.count += loss.count;
                merged.from = merged.from.min(loss.from);
                merged.to = merged.to.max(loss.to);
            }
        }
    }

    /// Adds up the losses of all owners but those who lost most.
    fn limit(&mut self) {
        let mut sums: BTreeMap<Owner, u64> = BTreeMap::new();
        for loss in self.0.values().filter(|loss| !matches!(loss.owner, Owner::Unknown | Owner::Others)) {
            *sums.entry(loss.owner).or_default() += loss.count;
        }
        if sums.len() <= LISTED {
            return;
        }
        let mut by_count: Vec<(u64, Owner)> = sums.into_iter().map(|(owner, count)| (count, owner)).collect();
        by_count.sort_unstable();
        let others: BTreeSet<Owner> =
            by_count[..by_count.len() - LISTED].iter().map(|(_, owner)| *owner).collect();
        for mut loss in std::mem::take(&mut self.0).into_values() {
            if others.contains(&loss.owner) {
                loss.owner = Owner::Others;
            }
            self.merge(loss);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SAMPLED;

    fn loss(owner: Owner, cause: &str, count: u64) -> Loss<BootNs> {
        let (from, to) = (BootNs(count), BootNs(2 * count));
        let (tracer, point, sink, cause) = ("open".into(), LossPoint::Ring, None, cause.to_owned());
        Loss { tracer, point, sink, cause, owner, count, from, to }
    }

    #[test]
    fn losses_of_one_owner_are_merged_by_cause_and_those_of_others_are_apart() {
        let mut losses = Losses::default();
        for (owner, cause, count) in [
            (Owner::User(7), "full", 5),
            (Owner::Unknown, "full", 1),
            (Owner::User(7), "fuller", 2),
            (Owner::Cgroup(7), "full", 3),
            (Owner::User(7), SAMPLED, 4),
        ] {
            losses.add(loss(owner, cause, count));
        }
        assert_eq!(losses.at(LossPoint::Ring), 15);
        let found: Vec<_> = losses.list().map(|loss| (loss.owner, loss.count)).collect();
        let expected = [(Owner::Unknown, 1), (Owner::User(7), 7), (Owner::Cgroup(7), 3), (Owner::User(7), 4)];
        assert_eq!(found, expected);
        let merged = &losses.take()[1];
        assert_eq!((merged.from, merged.to, merged.cause.as_str()), (BootNs(2), BootNs(10), "full"));
        assert_eq!(losses.take(), []);
    }

    #[test]
    fn any_number_of_owners_makes_few_losses_and_who_lost_most_is_named() {
        let mut losses = Losses::default();
        // Those who lose most lose little by little, after many others.
        for round in 0..100 {
            (0..1000)
                .for_each(|other| losses.add(loss(Owner::User(10_000 + 1000 * round + other), "full", 1)));
            for uid in 0..64 {
                losses.add(loss(Owner::User(uid), "full", 2));
                losses.add(loss(Owner::User(uid), SAMPLED, 1));
            }
            assert!(losses.0.len() <= KEPT);
        }
        let taken = losses.take();
        assert_eq!(taken.iter().map(|loss| loss.count).sum::<u64>(), 100 * (1000 + 64 * 3));
        let named: BTreeSet<Owner> = taken.iter().map(|loss| loss.owner).collect();
        assert_eq!(named, (0..64).map(Owner::User).chain([Owner::Others]).collect());
        let of_others = taken.iter().find(|loss| loss.owner == Owner::Others).unwrap();
        assert!(of_others.count >= 100_000, "{of_others:?}");
    }
}
