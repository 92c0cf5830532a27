//! Names the owners of lost records, by map `losses`.
//!
//! The kernel counts each record that it keeps out of a ring twice: in map `counts`, which has room for every kind, and then
//! in map `losses`, by owner. Accounts follow the first; the second says whose the records were, as far as it had room.

use std::collections::BTreeMap;

use model::Owner;

use crate::kernel::Counters;
use crate::wire::{Kind, LossCause, LossKey, OWNER_CGROUP};

/// Half of the entries that the map has room for.
const MANY: usize = 2048;

/// Losses by owner that have been read and are in no account yet.
#[derive(Default)]
pub(super) struct LostByOwner {
    /// Values of the map when it was last read.
    read: BTreeMap<LossKey, u64>,
    unreported: BTreeMap<LossKey, u64>,
}

impl LostByOwner {
    /// Creates it for a map in which an earlier agent may have counted: what is there now is never reported.
    pub(super) fn begin(counters: &dyn Counters) -> Self {
        let read = counters.losses().unwrap_or_default().into_iter().collect();
        Self { read, unreported: BTreeMap::new() }
    }

    /// Reads the map. Once there are many entries, those that have not grown since the last time are removed from it, to make
    /// room for other owners. What is counted just then is of unknown owner.
    pub(super) fn refresh(&mut self, counters: &mut dyn Counters) {
        let entries = match counters.losses() {
            Ok(entries) => entries,
            Err(cause) => return tracing::error!(%cause, "reading losses by owner failed"),
        };
        let before = std::mem::take(&mut self.read);
        let makes_room = entries.len() > MANY;
        for (key, count) in entries {
            let known = before.get(&key).copied().unwrap_or_default();
            if count == known && makes_room {
                counters.forget(&key);
                continue;
            }
            // Less than before: it was removed, and has begun anew.
            *self.unreported.entry(key).or_default() += count.checked_sub(known).unwrap_or(count);
            self.read.insert(key, count);
        }
    }

    /// Takes up to `count` losses of this kind and cause; returns them by owner.
    pub(super) fn take(&mut self, kind: Kind, cause: LossCause, mut count: u64) -> Vec<(Owner, u64)> {
        let mut taken = Vec::new();
        self.unreported.retain(|key, left| {
            let part =
                if (key.kind, key.cause) == (kind as u32, cause as u32) { count.min(*left) } else { 0 };
            if part > 0 {
                taken.push((owner(key.owner), part));
            }
            count -= part;
            *left -= part;
            *left > 0
        });
        taken
    }
}

fn owner(owner: u64) -> Owner {
    match u32::try_from(owner) {
        Ok(uid) => Owner::User(uid),
        Err(_) => Owner::Cgroup(owner & !OWNER_CGROUP),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::wire::Counts;

    struct Map(BTreeMap<LossKey, u64>);

    impl Counters for Map {
        fn counts(&self) -> io::Result<Counts> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn losses(&self) -> io::Result<Vec<(LossKey, u64)>> {
            Ok(self.0.iter().map(|(key, count)| (*key, *count)).collect())
        }

        fn forget(&mut self, key: &LossKey) {
            self.0.remove(key);
        }
    }

    fn key(owner: u64, cause: LossCause) -> LossKey {
        LossKey { owner, kind: Kind::Open as u32, cause: cause as u32 }
    }

    #[test]
    fn losses_are_reported_once_by_owner_and_cause() {
        let (user, group) = (key(1001, LossCause::OverBudget), key(OWNER_CGROUP | 77, LossCause::RingFull));
        let mut map = Map(BTreeMap::from([(user, 5), (group, 3)]));
        let mut lost = LostByOwner::default();
        lost.refresh(&mut map);
        assert_eq!(lost.take(Kind::Open, LossCause::RingFull, 9), [(Owner::Cgroup(77), 3)]);
        assert_eq!(lost.take(Kind::Exec, LossCause::OverBudget, 9), []);
        assert_eq!(lost.take(Kind::Open, LossCause::OverBudget, 2), [(Owner::User(1001), 2)]);
        map.0.insert(user, 6);
        lost.refresh(&mut map);
        assert_eq!(
            lost.take(Kind::Open, LossCause::OverBudget, 9),
            [(Owner::User(1001), 4)],
            "3 from before"
        );
        map.0.insert(user, 1);
        lost.refresh(&mut map);
        assert_eq!(lost.take(Kind::Open, LossCause::OverBudget, 9), [(Owner::User(1001), 1)], "begun anew");
    }

    #[test]
    fn room_is_made_where_losses_have_not_grown() {
        let mut map = Map((0..=MANY as u64).map(|user| (key(user, LossCause::OverBudget), 1)).collect());
        let mut lost = LostByOwner::default();
        lost.refresh(&mut map);
        let grown = key(7, LossCause::OverBudget);
        map.0.insert(grown, 2);
        lost.refresh(&mut map);
        assert_eq!(map.0.keys().collect::<Vec<_>>(), [&grown]);
        assert_eq!(lost.take(Kind::Open, LossCause::OverBudget, u64::MAX).len(), MANY + 1);
    }

    #[test]
    fn what_an_earlier_agent_saw_is_not_reported_again() {
        let user = key(1001, LossCause::RingFull);
        let mut map = Map(BTreeMap::from([(user, 5)]));
        let mut lost = LostByOwner::begin(&map);
        map.0.insert(user, 7);
        lost.refresh(&mut map);
        assert_eq!(lost.take(Kind::Open, LossCause::RingFull, 9), [(Owner::User(1001), 2)]);
    }
}
