//! Sinks that come and go while records flow: each one's books begin when it joins and end when it leaves.
//!
//! Who routes records says when that is, between two batches: every record is routed to all sinks that are there, so
//! that the conservation law holds for each of them, from its first record to its last.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Account, Accounts, SinkAccount, lock};
use crate::ids::{SinkId, SinkName};
use crate::snapshot::{AccountSnapshot, LossPoint, Lost};

impl SinkAccount {
    /// Of a sink for which nothing counts that was settled `before`.
    pub(super) fn new(id: SinkId, before: AccountSnapshot) -> Self {
        let (stored, lost_queue, lost_sink) = Default::default();
        Self { id, stored, lost_queue, lost_sink, before, after: OnceLock::new() }
    }

    /// Whose books.
    pub fn id(&self) -> &SinkId {
        &self.id
    }

    fn is_there(&self) -> bool {
        self.after.get().is_none()
    }

    /// What became of rows in this sink alone.
    fn own(&self) -> AccountSnapshot {
        let (queue, sink) = (self.lost_queue.load(Relaxed), self.lost_sink.load(Relaxed));
        let lost = Lost { queue, sink, ..Lost::default() };
        AccountSnapshot { stored: self.stored.load(Relaxed), lost, ..AccountSnapshot::default() }
    }
}

impl Account {
    /// The books with each sink that is there, the store first.
    pub fn sinks(&self) -> Vec<Arc<SinkAccount>> {
        read(&self.sinks).iter().filter(|books| books.is_there()).cloned().collect()
    }

    /// The books as seen by the sink of this name, the latest if there were several; for one that never was nothing is
    /// stored.
    ///
    /// Read while records are on their way, the sum of stored, filtered and lost is at most `seen`.
    pub fn snapshot(&self, sink: &SinkName) -> AccountSnapshot {
        self.snapshot_as(|id| id.name == *sink)
    }

    /// The same for this very sink.
    pub fn snapshot_of(&self, sink: &SinkId) -> AccountSnapshot {
        self.snapshot_as(|id| id == sink)
    }

    fn snapshot_as(&self, is_meant: impl Fn(&SinkId) -> bool) -> AccountSnapshot {
        let sinks = read(&self.sinks);
        let books = sinks.iter().filter(|books| is_meant(&books.id)).max_by_key(|books| books.id.generation);
        // What is settled is read before what is seen, so that a reader never finds more settled than seen.
        let own = books.map(|books| books.own()).unwrap_or_default();
        let settled = self.settled();
        let now = AccountSnapshot { seen: self.seen.load(Relaxed), ..settled };
        let before = books.map(|books| books.before).unwrap_or_default();
        let until = books.and_then(|books| books.after.get().copied()).unwrap_or(now);
        AccountSnapshot {
            seen: until.seen.saturating_sub(before.seen),
            stored: own.stored,
            filtered: until.filtered - before.filtered,
            lost: Lost {
                ring: until.lost.ring - before.lost.ring,
                decode: until.lost.decode - before.lost.decode,
                queue: until.lost.queue - before.lost.queue + own.lost.queue,
                sink: until.lost.sink - before.lost.sink + own.lost.sink,
            },
        }
    }

    /// What is settled, or left to the sinks that are there: for a sink that comes now, all that counts is what was
    /// not.
    fn settled(&self) -> AccountSnapshot {
        let lost = |point: LossPoint| self.lost[point as usize].load(Relaxed);
        let lost = Lost {
            ring: lost(LossPoint::Ring),
            decode: lost(LossPoint::Decode),
            queue: lost(LossPoint::Queue),
            sink: lost(LossPoint::Sink),
        };
        let filtered = self.filtered.load(Relaxed);
        AccountSnapshot {
            seen: self.routed.load(Relaxed) + filtered + lost.total(),
            stored: 0,
            filtered,
            lost,
        }
    }

    fn join(&self, sink: &SinkId, first: bool) {
        let books = Arc::new(SinkAccount::new(sink.clone(), self.settled()));
        let mut sinks = write(&self.sinks);
        let point = if first { 0 } else { sinks.len() };
        sinks.insert(point, books);
    }

    fn leave(&self, sink: &SinkId) {
        if let Some(books) = read(&self.sinks).iter().find(|books| books.id == *sink) {
            // It leaves once.
            let _ = books.after.set(self.settled());
        }
    }
}

impl Accounts {
    /// The sinks that are there, the store first.
    pub fn sinks(&self) -> Vec<SinkName> {
        read(&self.sinks).iter().map(|sink| sink.name.clone()).collect()
    }

    /// The identity of the sink of this name that is there, or was last, or comes first.
    pub fn sink_id(&self, name: &SinkName) -> SinkId {
        let present = read(&self.sinks).iter().find(|sink| sink.name == *name).cloned();
        present.unwrap_or_else(|| SinkId { name: name.clone(), generation: 0 })
    }

    /// A new identity for a sink of this name: its books begin when it joins.
    pub fn new_sink_id(&self, name: &SinkName) -> SinkId {
        SinkId { name: name.clone(), generation: self.generations.fetch_add(1, Relaxed) + 1 }
    }

    /// From now on records are routed to this sink too; `first`, if it is the store. To be called by who routes them,
    /// between two batches.
    pub fn join(&self, sink: &SinkId, first: bool) {
        // Held, so that no account is opened meanwhile.
        let accounts = lock(&self.accounts);
        let mut sinks = write(&self.sinks);
        let point = if first { 0 } else { sinks.len() };
        sinks.insert(point, sink.clone());
        accounts.values().for_each(|account| account.join(sink, first));
    }

    /// From now on records are no longer routed to this sink. What it still has is its own to settle.
    pub fn leave(&self, sink: &SinkId) {
        let accounts = lock(&self.accounts);
        write(&self.sinks).retain(|other| other != sink);
        accounts.values().for_each(|account| account.leave(sink));
    }

    /// A sink that left has settled all it had, and told its books: they are no longer needed.
    pub fn forget(&self, sink: &SinkId) {
        for account in lock(&self.accounts).values() {
            write(&account.sinks).retain(|books| books.id != *sink);
        }
    }
}

pub(super) fn read<T>(list: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    list.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(list: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    list.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootNs, Claim};

    const SPAN: (BootNs, BootNs) = (BootNs(1), BootNs(2));

    fn routed(account: &Arc<Account>, count: u64) -> Vec<crate::SinkClaim> {
        Claim::on_new(account.clone(), count, SPAN).route()
    }

    #[test]
    fn a_sink_answers_for_what_was_routed_while_it_was_there() {
        let store = SinkName::new("sqlite");
        let accounts = Accounts::new(std::slice::from_ref(&store));
        let account = accounts.of(&"open".into());
        let mut early = routed(&account, 10);
        account.lose(LossPoint::Decode, 2, SPAN, "short");
        account.add_seen(2);
        let jsonl = accounts.new_sink_id(&"jsonl".into());
        accounts.join(&jsonl, false);
        for claim in &mut routed(&account, 5) {
            claim.store(5);
        }
        accounts.leave(&jsonl);
        routed(&account, 7)[0].store(7);
        early[0].store(10);
        let whole = account.snapshot(&store);
        assert_eq!((whole.seen, whole.stored, whole.lost.decode, whole.in_flight()), (24, 22, 2, 0));
        let part = account.snapshot_of(&jsonl);
        assert_eq!((part.seen, part.stored, part.lost.total(), part.in_flight()), (5, 5, 0, 0));
    }

    #[test]
    fn one_that_takes_anothers_place_begins_anew_while_the_other_still_settles() {
        let store = SinkName::new("sqlite");
        let accounts = Accounts::new(std::slice::from_ref(&store));
        let (account, old) = (accounts.of(&"open".into()), accounts.sink_id(&store));
        let mut waiting = routed(&account, 3);
        let new = accounts.new_sink_id(&store);
        accounts.leave(&old);
        accounts.join(&new, true);
        let opened_later = accounts.of(&"exec".into());
        routed(&account, 4)[0].store(4);
        routed(&opened_later, 6)[0].store(6);
        waiting[0].store(3);
        assert_eq!((account.snapshot_of(&old).stored, account.snapshot_of(&old).in_flight()), (3, 0));
        assert_eq!((account.snapshot(&store).stored, account.snapshot(&store).in_flight()), (4, 0));
        assert_eq!(opened_later.snapshot_of(&new).stored, 6);
        accounts.forget(&old);
        assert_eq!(account.sinks().len(), 1);
        assert_eq!(accounts.sinks(), [store]);
    }
}
