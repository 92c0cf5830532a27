//! Health measured by progress rather than by answers to a ping.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::lock::lock;

use crate::clock::{self, Instant};

/// Interval at which progress is marked: by the event loop, and by work that waits.
pub(crate) const MARK: Duration = Duration::from_millis(500);

/// Counts a child's steps in two lanes: its event loop (marked by this crate, through a timer on the actor's own
/// context) and its work (marked by the actor; watched from the first mark on). A child is stalled if either lane
/// does not advance for too long.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    context: AtomicU64,
    work: AtomicU64,
    zones: Mutex<Vec<&'static str>>,
}

impl Progress {
    /// Marks progress of the actor's work. Call it for each item and, while idle, at least every second.
    pub fn mark(&self) {
        self.inner.work.fetch_add(1, Relaxed);
    }

    /// Waits for `work`, marking progress meanwhile: waiting for something outside the actor is not a stall.
    pub async fn marking<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            self.mark();
            tokio::select! {
                done = &mut work => return done,
                () = clock::sleep(clock::until_tick(MARK)) => {}
            }
        }
    }

    /// Opens a protected zone around a call that is known to be slow; while it is open, the stall limit is ten times
    /// as long.
    #[must_use = "the zone ends when this is dropped"]
    pub fn zone(&self, name: &'static str) -> Zone {
        self.zones().push(name);
        Zone { progress: self.clone(), name }
    }

    pub(crate) fn mark_context(&self) {
        self.inner.context.fetch_add(1, Relaxed);
    }

    fn zones(&self) -> std::sync::MutexGuard<'_, Vec<&'static str>> {
        lock(&self.inner.zones)
    }
}

/// An open protected zone.
#[derive(Debug)]
pub struct Zone {
    progress: Progress,
    name: &'static str,
}

impl Drop for Zone {
    fn drop(&mut self) {
        // The event loop could not run meanwhile, nor does it between two zones without a wait.
        self.progress.mark_context();
        self.progress.mark();
        let mut zones = self.progress.zones();
        if let Some(index) = zones.iter().rposition(|name| *name == self.name) {
            zones.remove(index);
        }
    }
}

/// The supervisor's view of one incarnation's progress.
pub(crate) struct Watch {
    progress: Progress,
    lanes: [(u64, Instant); 2],
}

/// Factor by which a protected zone extends the stall limit.
const ZONE_FACTOR: u32 = 10;

impl Watch {
    pub(crate) fn new(progress: Progress) -> Self {
        let now = clock::now();
        Self { progress, lanes: [(0, now); 2] }
    }

    /// Reads both lanes; returns a description of the first that has not advanced for `limit`.
    pub(crate) fn stalled(&mut self, limit: Duration) -> Option<String> {
        let now = clock::now();
        let inner = &self.progress.inner;
        let marks = [inner.context.load(Relaxed), inner.work.load(Relaxed)];
        let zone = self.progress.zones().last().copied();
        let limit = if zone.is_some() { limit.saturating_mul(ZONE_FACTOR) } else { limit };
        for (lane, (mark, name)) in self.lanes.iter_mut().zip(marks.into_iter().zip(["event loop", "work"])) {
            if lane.0 != mark {
                *lane = (mark, now);
            }
            let never_marked_work = name == "work" && mark == 0;
            let still = now.duration_since(lane.1);
            if !never_marked_work && still >= limit {
                let zone = zone.map(|zone| format!(" in {zone}")).unwrap_or_default();
                return Some(format!("no progress of its {name}{zone} for {:.1} s", still.as_secs_f64()));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As when a host attaches many tracers one after the other.
    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_zone_is_progress() {
        let progress = Progress::default();
        let mut watch = Watch::new(progress.clone());
        for _ in 0..3 {
            let zone = progress.zone("slow work");
            clock::sleep(Duration::from_secs(6)).await;
            assert_eq!(watch.stalled(Duration::from_secs(1)), None);
            drop(zone);
        }
        clock::sleep(Duration::from_secs(1)).await;
        assert_eq!(watch.stalled(Duration::from_secs(1)), None, "the end of the last zone was not yet seen");
        clock::sleep(Duration::from_secs(1)).await;
        assert!(watch.stalled(Duration::from_secs(1)).is_some());
    }
}
