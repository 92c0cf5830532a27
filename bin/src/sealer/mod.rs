//! The actor that keeps the columnar store within its limits: it looks how much is unsealed and how much room is left, and
//! starts a process that seals, merges and removes segments when that is due.
//!
//! The process has a low priority and a memory limit of its own. Whenever it ends, the next one completes its work.

mod process;
mod shown;
mod work;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::{ActorLoop, Exit, LoopCtx, clock};
use collector::{CollectorHandle, Gate};
use model::lock::lock;
use serde::{Deserialize, Serialize};
use store::segment::{Folder, Limits, Room, Unsealed, has_unfinished, unsealed};
use store::settings::StoreSettings;

pub(crate) use shown::lines;
pub(crate) use work::{Report, Work, moment, open, prune, restrain, run, yield_to_others};

/// Interval between looks at the store.
const TICK: Duration = Duration::from_secs(2);
/// Time to wait for a lock on the file. The next look is soon.
const PATIENCE: Duration = Duration::from_millis(200);
/// Number of looks that are skipped after a process has failed or has found nothing more to remove. It doubles with each further
/// failure, up to [`LONGEST_PAUSE`].
const PAUSE: u32 = 5;
const LONGEST_PAUSE: u32 = 20;

/// Number of segments that are named in the state.
const NAMED: usize = 3;

/// Settings that a reload replaces.
pub(crate) type SharedSettings = Arc<Mutex<StoreSettings>>;

/// The actor's view of the store and its work so far, shown in `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SealerState {
    /// Size of the batches that are not sealed, in bytes.
    pub(crate) unsealed_bytes: i64,
    /// Rows that are not sealed.
    pub(crate) unsealed_rows: i64,
    /// Size of the whole store on the disk, in bytes.
    pub(crate) used_bytes: u64,
    /// Segments that were sealed since the start.
    pub(crate) sealed: u64,
    /// Rows in them.
    pub(crate) sealed_rows: i64,
    /// Number of segments of a lost file that the store goes on with.
    pub(crate) adopted: u64,
    /// Rows in them.
    pub(crate) adopted_rows: i64,
    /// Segments of a lost file that are not as they were written, with the reason.
    pub(crate) refused: Vec<(String, String)>,
    /// Names of the first segments in the folder that are not part of the store, and the number of all of them.
    pub(crate) strangers: (Vec<String>, usize),
    /// Size of removed files that readers keep, in bytes.
    pub(crate) kept_for_readers: u64,
    /// Segments that were merged from smaller ones since the start.
    pub(crate) merged: u64,
    /// Segments that were removed since the start.
    pub(crate) removed: u64,
    /// Rows that were removed with them.
    pub(crate) removed_rows: i64,
    /// Rows that could not be sealed because they are damaged.
    pub(crate) damaged_rows: i64,
    /// The limit that is exceeded although nothing more may be removed: then no rows are stored.
    pub(crate) full: Option<String>,
    /// The reason why sealing or removing fails at the moment.
    pub(crate) failing: Option<String>,
    /// Highest memory use of a sealing process, in KiB.
    pub(crate) peak_kib: u64,
}

/// The actor that seals and removes rows.
pub(crate) struct Sealer {
    ctx: LoopCtx<SealerState>,
    collector: CollectorHandle,
    settings: SharedSettings,
}

impl Sealer {
    /// Makes the actor.
    pub(crate) fn new(
        ctx: LoopCtx<SealerState>,
        collector: CollectorHandle,
        settings: SharedSettings,
    ) -> Self {
        Self { ctx, collector, settings }
    }
}

impl ActorLoop for Sealer {
    type State = SealerState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let (ctx, collector, settings) = (self.ctx.clone(), self.collector.clone(), self.settings.clone());
        async move {
            let work = async {
                let (mut pause, mut next) = (0_u32, PAUSE);
                loop {
                    clock::sleep(clock::until_tick(TICK)).await;
                    ctx.progress().mark();
                    let Some(path) = collector.columnar_store() else {
                        collector.gate.set(None);
                        continue;
                    };
                    let settings = lock(&settings).clone();
                    pause = pause.saturating_sub(1);
                    if !inspect(&ctx, &path, &settings, &collector.gate).await || pause > 0 {
                        continue;
                    }
                    (pause, next) = if work(&ctx, &path, settings, &collector.gate).await {
                        (0, PAUSE)
                    } else {
                        (next, (next * 2).min(LONGEST_PAUSE))
                    };
                }
            };
            tokio::select! {
                () = ctx.stopped() => {}
                () = work => {}
            }
            Exit::Stopped
        }
    }
}

/// Looks at the store; returns whether there is work.
async fn inspect(ctx: &LoopCtx<SealerState>, path: &Path, settings: &StoreSettings, gate: &Gate) -> bool {
    let asked = path.to_owned();
    let seen = tokio::task::spawn_blocking(move || see(&asked)).await;
    let Ok(Ok(seen)) = seen else {
        // There is no file yet, or it is locked, or damaged: the sink reports that.
        return false;
    };
    let (Unsealed { first, bytes, rows }, room) = (seen.unsealed, seen.room);
    ctx.update(|state| {
        (state.unsealed_bytes, state.unsealed_rows, state.used_bytes) = (bytes, rows, room.used());
        (state.strangers, state.kept_for_readers) = (seen.strangers, seen.kept_for_readers);
    });
    let limits = Limits::of(settings, room.total);
    let exceeded = limits.exceeded(&room);
    if let Some(cause) = limits.exceeded_by_far(&room) {
        // Whoever leaves the process no processor time does not fill the disk for all that.
        close(ctx, gate, &cause);
    }
    if exceeded.is_none() && gate.closed().is_some() {
        tracing::info!("the store has room again");
        gate.set(None);
        ctx.update(|state| state.full = None);
    }
    let age = |first: i64| clock::unix_ns().saturating_sub(first).max(0).unsigned_abs();
    let is_old = |age: u64| u128::from(age) >= settings.seal_after.0.as_nanos();
    let is_due =
        first.is_some_and(|first| is_old(age(first))) || bytes.unsigned_abs() >= settings.seal_size.0;
    let is_too_old = seen.oldest.is_some_and(|last| {
        let most = settings.max_age.0;
        !most.is_zero() && u128::from(age(last)) > most.as_nanos()
    });
    seen.is_unfinished || is_due || exceeded.is_some() || is_too_old
}

/// The state of the store at one moment.
struct Seen {
    unsealed: Unsealed,
    room: Room,
    is_unfinished: bool,
    /// Last time in the oldest segment.
    oldest: Option<i64>,
    strangers: (Vec<String>, usize),
    kept_for_readers: u64,
}

fn see(path: &Path) -> Result<Seen, store::Error> {
    let connection = store::open::for_reading(path, PATIENCE)?;
    let _moment = connection.unchecked_transaction()?;
    let mut strangers = store::segment::strangers(&connection)?;
    let count = strangers.len();
    strangers.truncate(NAMED);
    Ok(Seen {
        strangers: (strangers, count),
        kept_for_readers: Folder::beside(path).kept_for_readers(),
        unsealed: unsealed(&connection)?,
        room: Room::of(&connection)?,
        is_unfinished: has_unfinished(&connection)?,
        oldest: store::segment::oldest(&connection)?,
    })
}

/// Has a process do the work; returns whether all is done.
async fn work(ctx: &LoopCtx<SealerState>, path: &Path, settings: StoreSettings, gate: &Gate) -> bool {
    let unsealed = ctx.read().unsealed_bytes.unsigned_abs();
    let is_urgent = unsealed > settings.seal_size.0.saturating_mul(2);
    let work = Work { path: PathBuf::from(path), settings, everything: false, is_urgent };
    let running = async {
        let mut running = std::pin::pin!(process::run(&work));
        loop {
            tokio::select! {
                done = &mut running => break done,
                // The limits hold also while the process gets no processor time.
                () = clock::sleep(TICK) => drop(inspect(ctx, path, &work.settings, gate).await),
            }
        }
    };
    let done = ctx.progress().marking(running).await;
    match done {
        Ok(report) if report.is_busy => {
            tracing::info!("another process seals or removes segments: this agent waits for it");
            false
        }
        Ok(report) => {
            note(ctx, &report);
            match &report.short {
                Some(cause) => close(ctx, gate, cause),
                None => gate.set(None),
            }
            // What is not there can't be removed: that is no reason to start a process at each look.
            report.failed.is_none() && report.short.is_none()
        }
        Err(cause) => {
            let cause = format!("{cause:#}");
            tracing::error!(cause, "sealing failed");
            ctx.update(|state| state.failing = Some(cause));
            false
        }
    }
}

/// Has the store take no more rows.
fn close(ctx: &LoopCtx<SealerState>, gate: &Gate, cause: &str) {
    if gate.closed().is_none() {
        tracing::error!(cause, "the store is full: no rows are stored until there is room");
    }
    gate.set(Some(cause.to_owned()));
    ctx.update(|state| state.full = Some(cause.to_owned()));
}

fn note(ctx: &LoopCtx<SealerState>, report: &Report) {
    for segment in &report.sealed {
        let (segment, rows, bytes) = (segment.name.as_str(), segment.rows, segment.bytes);
        tracing::info!(segment, rows, bytes, "rows are sealed");
    }
    if !report.adopted.0.is_empty() {
        let (segments, rows) = (report.adopted.0.len(), report.adopted.1);
        tracing::warn!(segments, rows, "the store goes on with segments of a lost file");
    }
    for (segment, cause) in &report.refused {
        tracing::error!(
            segment,
            cause,
            "a segment of a lost file is not as it was written: it is left alone"
        );
    }
    for segment in &report.removed {
        let (name, rows, cause) = (segment.name.as_str(), segment.rows, segment.cause.as_str());
        tracing::warn!(segment = name, rows, cause, "a segment was removed");
    }
    if let Some(cause) = &report.failed {
        tracing::error!(cause, "sealing failed");
    }
    let damaged: i64 = report.sealed.iter().map(|segment| segment.damaged_rows).sum();
    ctx.update(|state| {
        state.sealed += report.sealed.len() as u64;
        state.sealed_rows += report.sealed.iter().map(|segment| segment.rows).sum::<i64>();
        state.adopted += report.adopted.0.len() as u64;
        state.adopted_rows += report.adopted.1;
        state.refused.extend_from_slice(&report.refused);
        state.merged += u64::from(report.merged.is_some());
        state.removed += report.removed.len() as u64;
        state.removed_rows += report.removed.iter().map(|segment| segment.rows).sum::<i64>();
        state.damaged_rows += damaged;
        state.full.clone_from(&report.short);
        state.failing.clone_from(&report.failed);
        state.peak_kib = state.peak_kib.max(report.peak_kib);
    });
}
