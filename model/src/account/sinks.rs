//! Sinks that join and leave while records flow: each sink's counts begin when it joins and end when it leaves.
//!
//! The collector, which routes records, calls [`Accounts::join`] and [`Accounts::leave`] between two batches. Every
//! record is routed to all sinks present at that time, so the conservation law holds for each sink over the records
//! routed while it was present. On joining, a sink remembers the account's settled counts (`before`), on leaving it
//! remembers them again (`after`); its own `seen`, `filtered` and `lost` are the difference:
//!
//! ```text
//!   account  ──────┬───────────────────────┬──────────▶ time
//!                join: before            leave: after
//!                  │◀── counted for sink ─▶│
//! ```
//!
//! A sink that is replaced by one of the same name keeps its [`SinkId`] until its last rows are settled, then
//! [`Accounts::forget`] removes it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use super::{Account, Accounts, SinkAccount};
use crate::ids::{Role, SinkId, SinkName};
use crate::lock::{lock, read, write};
use crate::losses::Owner;
use crate::snapshot::{AccountSnapshot, LossPoint, Lost};
use crate::{BootNs, TracerName};

impl SinkAccount {
    /// Creates counters for a sink; records settled `before` it joined are excluded.
    pub(super) fn new(id: SinkId, before: AccountSnapshot) -> Self {
        let (stored, lost_queue, lost_sink) = Default::default();
        Self { id, stored, lost_queue, lost_sink, before, after: OnceLock::new() }
    }

    /// Returns the sink that these counts are of.
    pub fn id(&self) -> &SinkId {
        &self.id
    }

    fn is_present(&self) -> bool {
        self.after.get().is_none()
    }

    /// Returns the counts of this sink alone, without the account's.
    fn own(&self) -> AccountSnapshot {
        let (queue, sink) = (self.lost_queue.load(Relaxed), self.lost_sink.load(Relaxed));
        let lost = Lost { queue, sink, ..Lost::default() };
        AccountSnapshot { stored: self.stored.load(Relaxed), lost, ..AccountSnapshot::default() }
    }
}

impl Account {
    /// Returns the counters of each present sink, in the order in which they joined.
    pub fn sinks(&self) -> Vec<Arc<SinkAccount>> {
        read(&self.sinks).iter().filter(|sink| sink.is_present()).cloned().collect()
    }

    /// Returns the account as it is for the sink of this name, the latest if there were several. For an unknown sink
    /// nothing is stored.
    ///
    /// While records are in flight, the sum of stored, filtered and lost is at most `seen`.
    pub fn snapshot(&self, sink: &SinkName) -> AccountSnapshot {
        self.snapshot_as(|id| id.name == *sink)
    }

    /// Returns the account as it is for exactly this sink.
    pub fn snapshot_of(&self, sink: &SinkId) -> AccountSnapshot {
        self.snapshot_as(|id| id == sink)
    }

    fn snapshot_as(&self, is_meant: impl Fn(&SinkId) -> bool) -> AccountSnapshot {
        let sinks = read(&self.sinks);
        let sink = sinks.iter().filter(|sink| is_meant(&sink.id)).max_by_key(|sink| sink.id.generation);
        // The settled counts are read before `seen`, so that a reader never finds more settled than seen.
        let own = sink.map(|sink| sink.own()).unwrap_or_default();
        let settled = self.settled();
        let now = AccountSnapshot { seen: self.seen.load(Relaxed), ..settled };
        let before = sink.map(|sink| sink.before).unwrap_or_default();
        let until = sink.and_then(|sink| sink.after.get().copied()).unwrap_or(now);
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

    /// Returns the counts of records that are settled or already routed: those that a sink joining now is not
    /// accountable for.
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

    fn join(&self, sink: &SinkId) {
        let account = Arc::new(SinkAccount::new(sink.clone(), self.settled()));
        write(&self.sinks).push(account);
    }

    fn leave(&self, sink: &SinkId) {
        if let Some(account) = read(&self.sinks).iter().find(|account| account.id == *sink) {
            // Only the first call counts.
            let _ = account.after.set(self.settled());
        }
    }
}

impl Accounts {
    /// Returns the present sinks, in the order in which they joined.
    pub fn sinks(&self) -> Vec<SinkId> {
        read(&self.sinks).clone()
    }

    /// Returns the sink whose accounts are shown to users: the store; without one, the sink that joined first.
    pub fn shown_sink(&self) -> Option<SinkId> {
        let sinks = read(&self.sinks);
        sinks.iter().find(|sink| sink.role == Role::Store).or(sinks.first()).cloned()
    }

    /// Returns a new identity for a sink of this name, to be given to [`Accounts::join`].
    pub fn new_sink_id(&self, name: &SinkName, role: Role) -> SinkId {
        SinkId { name: name.clone(), role, generation: self.generations.fetch_add(1, Relaxed) }
    }

    /// Adds a sink that records are routed to from now on. To be called by the router of records, between two batches.
    pub fn join(&self, sink: &SinkId) {
        // The lock is held so that no account is opened in between.
        let accounts = lock(&self.accounts);
        write(&self.sinks).push(sink.clone());
        accounts.values().for_each(|account| account.join(sink));
    }

    /// Removes a sink: no more records are routed to it, and it still settles the rows it has.
    pub fn leave(&self, sink: &SinkId) {
        let accounts = lock(&self.accounts);
        write(&self.sinks).retain(|other| other != sink);
        accounts.values().for_each(|account| account.leave(sink));
    }

    /// Counts rows that a sink had stored as lost in it, because its output was removed; at most as many as it had stored.
    /// The gap becomes a `loss` row.
    pub fn unstore(
        &self,
        tracer: &TracerName,
        sink: &SinkId,
        rows: u64,
        span: (BootNs, BootNs),
        cause: &str,
    ) -> u64 {
        let account = self.of(tracer);
        let of_sink = read(&account.sinks).iter().find(|of_sink| of_sink.id == *sink).cloned();
        let Some(of_sink) = of_sink else { return 0 };
        let rows = rows.min(of_sink.stored.load(Relaxed));
        if rows > 0 {
            of_sink.stored.fetch_sub(rows, Relaxed);
            of_sink.lost_sink.fetch_add(rows, Relaxed);
            if sink.role == Role::Store {
                account.with_track(|track| track.unstore(rows));
            }
            account.note_gap(Owner::Unknown, LossPoint::Sink, Some(sink.name.clone()), rows, span, cause);
        }
        rows
    }

    /// Deletes the counters of a sink that has left, settled all its rows and stored its final counts.
    pub fn forget(&self, sink: &SinkId) {
        for account in lock(&self.accounts).values() {
            write(&account.sinks).retain(|account| account.id != *sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Claim;

    const SPAN: (BootNs, BootNs) = (BootNs(1), BootNs(2));

    fn routed(account: &Arc<Account>, count: u64) -> Vec<crate::SinkClaim> {
        Claim::on_new(account.clone(), count, SPAN).route()
    }

    #[test]
    fn a_sink_counts_what_was_routed_while_it_was_present() {
        let store = SinkName::new("sqlite");
        let accounts = Accounts::new(std::slice::from_ref(&store));
        let account = accounts.of(&"open".into());
        let mut early = routed(&account, 10);
        account.lose(LossPoint::Decode, 2, SPAN, "short");
        account.add_seen(2);
        let jsonl = accounts.new_sink_id(&"jsonl".into(), Role::Copy);
        accounts.join(&jsonl);
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
    fn a_sink_that_replaces_another_starts_at_zero_while_the_other_still_settles() {
        let store = SinkName::new("sqlite");
        let accounts = Accounts::default();
        let (account, old) = (accounts.of(&"open".into()), accounts.new_sink_id(&store, Role::Store));
        accounts.join(&old);
        let mut waiting = routed(&account, 3);
        let new = accounts.new_sink_id(&store, Role::Store);
        accounts.leave(&old);
        accounts.join(&new);
        let opened_later = accounts.of(&"exec".into());
        routed(&account, 4)[0].store(4);
        routed(&opened_later, 6)[0].store(6);
        waiting[0].store(3);
        assert_eq!((account.snapshot_of(&old).stored, account.snapshot_of(&old).in_flight()), (3, 0));
        assert_eq!((account.snapshot(&store).stored, account.snapshot(&store).in_flight()), (4, 0));
        assert_eq!(opened_later.snapshot_of(&new).stored, 6);
        accounts.forget(&old);
        assert_eq!(account.sinks().len(), 1);
        assert_eq!(accounts.sinks(), [new]);
    }

    #[test]
    fn rows_that_are_gone_with_an_output_count_as_lost_in_its_sink() {
        let accounts = Accounts::default();
        let (account, store) =
            (accounts.of(&"open".into()), accounts.new_sink_id(&"sqlite".into(), Role::Store));
        accounts.join(&store);
        account.follow(crate::Checkpoint::default());
        routed(&account, 5)[0].store(5);
        assert_eq!(accounts.unstore(&"open".into(), &store, 7, SPAN, "removed"), 5);
        let snapshot = account.snapshot_of(&store);
        assert_eq!((snapshot.stored, snapshot.lost.sink, snapshot.in_flight()), (0, 5, 0));
        let gaps = account.take_gaps();
        assert_eq!((gaps[0].count, gaps[0].cause.as_str()), (5, "removed"));
    }

    #[test]
    fn users_see_the_store_and_without_one_the_first_sink() {
        let accounts = Accounts::new(&["memory".into(), "jsonl".into()]);
        let shown = || accounts.shown_sink().unwrap().name;
        assert_eq!(shown(), "memory".into());
        let store = accounts.new_sink_id(&"sqlite".into(), Role::Store);
        accounts.join(&store);
        assert_eq!(shown(), "sqlite".into());
        accounts.leave(&store);
        assert_eq!(shown(), "memory".into());
    }
}
