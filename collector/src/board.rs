//! What the collector goes by and others may change: filters and routes. A change is taken up between two batches, by
//! whichever incarnation of the collector is at work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Accounts, SinkId};
use tokio::sync::watch;

use crate::filter::Filters;
use crate::route::Route;

/// Shared by the collector's incarnations and whoever changes it.
pub(crate) struct Board {
    present: Mutex<Present>,
    /// How many arrangements were asked for and taken up.
    taken: watch::Sender<u64>,
}

struct Present {
    filters: Arc<Filters>,
    routes: Arc<[Arc<Route>]>,
    next: Option<Arrangement>,
    asked: u64,
}

/// What is to hold from the next batch on.
#[derive(Default)]
pub(crate) struct Arrangement {
    /// Other filters, if these change.
    pub(crate) filters: Option<Arc<Filters>>,
    /// Other routes, if these change.
    pub(crate) routes: Option<Vec<Arc<Route>>>,
    /// Sinks whose books begin, and whether each is the store.
    pub(crate) join: Vec<(SinkId, bool)>,
    /// Sinks whose books end.
    pub(crate) leave: Vec<SinkId>,
}

impl Board {
    /// With filters and, so far, no routes.
    pub(crate) fn new(filters: Filters) -> Self {
        let present = Present { filters: Arc::new(filters), routes: Arc::new([]), next: None, asked: 0 };
        Self { present: Mutex::new(present), taken: watch::Sender::new(0) }
    }

    pub(crate) fn filters(&self) -> Arc<Filters> {
        self.lock().filters.clone()
    }

    pub(crate) fn routes(&self) -> Arc<[Arc<Route>]> {
        self.lock().routes.clone()
    }

    /// For the start, before anybody routes.
    pub(crate) fn set_routes(&self, routes: Vec<Arc<Route>>) {
        self.lock().routes = routes.into();
    }

    /// Puts up what is to hold next, and says what to wait for. Whoever does has to see to it that there is one change
    /// at a time.
    pub(crate) fn put(&self, next: Arrangement) -> u64 {
        let mut present = self.lock();
        present.next = Some(next);
        present.asked += 1;
        present.asked
    }

    /// Waits until an arrangement is taken up.
    pub(crate) async fn taken(&self, asked: u64) {
        // The sender is borrowed, so waiting can't fail.
        let _ = self.taken.subscribe().wait_for(|taken| *taken >= asked).await;
    }

    /// For who routes, between two batches: what was put up holds from now on. False if nothing was.
    pub(crate) fn take_up(&self, accounts: &Accounts) -> bool {
        let mut present = self.lock();
        let Some(Arrangement { filters, routes, join, leave }) = present.next.take() else { return false };
        leave.iter().for_each(|sink| accounts.leave(sink));
        join.iter().for_each(|(sink, first)| accounts.join(sink, *first));
        if let Some(filters) = filters {
            present.filters = filters;
        }
        if let Some(routes) = routes {
            present.routes = routes.into();
        }
        let asked = present.asked;
        drop(present);
        self.taken.send_replace(asked);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
