//! The filters and routes in force, which a change of the configuration replaces while rows flow.
//!
//! A change never interrupts a batch. The code that applies a configuration (`change.rs`) puts one [`PendingChange`]
//! here and waits. The collector's loop takes it between two batches: it closes and opens the accounts of the sinks
//! that leave and join, swaps filters and routes, and confirms. If the collector panics before that, the pending
//! change stays here and the collector's next incarnation takes it.
//!
//! ```text
//!   change.rs                  LiveRouting                   collector's loop
//!   put(change) ─────────────▶ next = change                 batch n
//!        │                         │
//!        │                         └───────────────────────▶ apply_pending()
//!   applied(number) ◀───────── applied = number ◀─────────── new filters, routes, accounts
//!                                                            batch n + 1
//! ```

use std::sync::{Arc, Mutex, MutexGuard};

use model::lock::lock;
use model::{Accounts, SinkId};
use tokio::sync::watch;

use crate::filter::Filters;
use crate::route::Route;

/// Holds the filters and routes in force, and the next change to them.
pub(crate) struct LiveRouting {
    present: Mutex<Present>,
    /// Number of the latest change that was applied.
    applied: watch::Sender<u64>,
}

struct Present {
    filters: Arc<Filters>,
    routes: Arc<[Arc<Route>]>,
    next: Option<PendingChange>,
    asked: u64,
}

/// A change that holds from the next batch on.
#[derive(Default)]
pub(crate) struct PendingChange {
    /// New filters, if they change.
    pub(crate) filters: Option<Arc<Filters>>,
    /// New routes, if they change.
    pub(crate) routes: Option<Vec<Arc<Route>>>,
    /// Sinks whose accounts begin.
    pub(crate) join: Vec<SinkId>,
    /// Sinks whose accounts end.
    pub(crate) leave: Vec<SinkId>,
}

impl LiveRouting {
    /// Starts with these filters and no routes.
    pub(crate) fn new(filters: Filters) -> Self {
        let present = Present { filters: Arc::new(filters), routes: Arc::new([]), next: None, asked: 0 };
        Self { present: Mutex::new(present), applied: watch::Sender::new(0) }
    }

    pub(crate) fn filters(&self) -> Arc<Filters> {
        self.lock().filters.clone()
    }

    pub(crate) fn routes(&self) -> Arc<[Arc<Route>]> {
        self.lock().routes.clone()
    }

    /// Sets the routes at the start, before the collector runs.
    pub(crate) fn set_routes(&self, routes: Vec<Arc<Route>>) {
        self.lock().routes = routes.into();
    }

    /// Sets the next change, and returns its number for [`Self::applied`]. The caller makes only one change at a
    /// time.
    pub(crate) fn put(&self, next: PendingChange) -> u64 {
        let mut present = self.lock();
        present.next = Some(next);
        present.asked += 1;
        present.asked
    }

    /// Waits until the change of that number is applied.
    pub(crate) async fn applied(&self, asked: u64) {
        // The sender is borrowed, so waiting can't fail.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= asked).await;
    }

    /// Applies the pending change. The collector calls this between two batches. Returns false if there is none.
    pub(crate) fn apply_pending(&self, accounts: &Accounts) -> bool {
        let mut present = self.lock();
        let Some(PendingChange { filters, routes, join, leave }) = present.next.take() else { return false };
        leave.iter().for_each(|sink| accounts.leave(sink));
        join.iter().for_each(|sink| accounts.join(sink));
        if let Some(filters) = filters {
            present.filters = filters;
        }
        if let Some(routes) = routes {
            present.routes = routes.into();
        }
        let asked = present.asked;
        drop(present);
        self.applied.send_replace(asked);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        lock(&self.present)
    }
}
