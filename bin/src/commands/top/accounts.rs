//! The agent's counters: their sums, and what each tracer adds in a second.

use std::collections::{BTreeMap, VecDeque};

use model::AccountSnapshot;

use crate::status::Status;

/// The counters of all tracers at some moments of the window, the oldest first.
#[derive(Debug)]
pub(super) struct Accounts {
    seconds: u64,
    moments: VecDeque<(u64, BTreeMap<String, AccountSnapshot>)>,
}

/// The counters of all tracers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Conservation {
    pub(super) seen: u64,
    pub(super) stored: u64,
    pub(super) filtered: u64,
    pub(super) lost: u64,
    /// Records on their way to the store.
    pub(super) in_flight: i64,
}

/// Events and losses of a tracer in the window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rate {
    pub(super) tracer: String,
    /// Events a second.
    pub(super) seen: f64,
    /// Records lost in the window.
    pub(super) lost: u64,
}

impl Accounts {
    pub(super) fn new(seconds: u64) -> Self {
        Self { seconds, moments: VecDeque::new() }
    }

    /// Adds the state of a second, and forgets moments that are no longer needed.
    pub(super) fn add(&mut self, second: u64, status: &Status) {
        let of = status.tracers.iter().map(|tracer| (tracer.tracer.clone(), tracer.account));
        let accounts: BTreeMap<_, _> = of.collect();
        let began_anew = |(_, before): &(u64, BTreeMap<String, AccountSnapshot>)| {
            before.iter().any(|(tracer, before)| {
                accounts.get(tracer).is_some_and(|account| account.seen < before.seen)
            })
        };
        if self.moments.back().is_some_and(began_anew) {
            self.moments.clear();
        }
        self.moments.push_back((second, accounts));
        while self.moments.get(1).is_some_and(|(at, _)| at + self.seconds <= second) {
            self.moments.pop_front();
        }
    }

    /// Returns the sums of the latest moment.
    pub(super) fn conservation(&self) -> Conservation {
        let latest = self.moments.back().into_iter().flat_map(|(_, accounts)| accounts.values());
        latest.fold(Conservation::default(), |sums, account| Conservation {
            seen: sums.seen + account.seen,
            stored: sums.stored + account.stored,
            filtered: sums.filtered + account.filtered,
            lost: sums.lost + account.lost.total(),
            in_flight: sums.in_flight + account.in_flight(),
        })
    }

    /// Returns what each tracer added in the window, the busiest first. Tracers that added nothing are left out.
    pub(super) fn rates(&self) -> Vec<Rate> {
        let (Some((from, before)), Some((to, after))) = (self.moments.front(), self.moments.back()) else {
            return Vec::new();
        };
        let seconds = to.saturating_sub(*from).max(1) as f64;
        let rate = |(tracer, account): (&String, &AccountSnapshot)| {
            let none = AccountSnapshot::default();
            let before = before.get(tracer).unwrap_or(&none);
            let seen = account.seen.saturating_sub(before.seen);
            let lost = account.lost.total().saturating_sub(before.lost.total());
            (seen > 0 || lost > 0).then(|| Rate { tracer: tracer.clone(), seen: seen as f64 / seconds, lost })
        };
        let mut rates: Vec<_> = after.iter().filter_map(rate).collect();
        rates.sort_by(|one, other| other.seen.total_cmp(&one.seen));
        rates
    }
}
