//! The work of the process: completes what is unfinished, removes what there is no room for, seals what is due, merges.

use std::path::{Path, PathBuf};
use std::time::Duration;

use actors::clock;
use anyhow::Context as _;
use nix::sys::resource::{Resource, UsageWho, getrusage, setrlimit};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use store::segment::{Limits, Moment, Room, Sealed, Sealer, unsealed};
use store::settings::StoreSettings;

/// Memory that the process may have, in bytes; what it needs is a quarter of that.
const MEMORY: u64 = 384 << 20;
/// Time after which the process begins no further segment. It reports to the agent only when it ends, and the agent then decides
/// whether the next process is urgent.
const LONGEST: Duration = Duration::from_secs(20);
/// Time to wait for the agent's transactions.
const PATIENCE: Duration = Duration::from_secs(30);

/// Work for the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Work {
    /// The store's file.
    pub(crate) path: PathBuf,
    /// Settings of the store.
    pub(crate) settings: StoreSettings,
    /// Whether all rows are sealed, whether that is due or not.
    pub(crate) everything: bool,
    /// Whether rows come faster than they are sealed at the lowest priority.
    pub(crate) is_urgent: bool,
}

/// A report of the work done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Segments that were sealed.
    pub(crate) sealed: Vec<SealedSegment>,
    /// Segments of a lost file that the store goes on with, and the number of their rows.
    pub(crate) adopted: (Vec<String>, i64),
    /// Segments of a lost file that are not as they were written, with the reason.
    pub(crate) refused: Vec<(String, String)>,
    /// The segment that was merged from smaller ones.
    pub(crate) merged: Option<SealedSegment>,
    /// Segments that were removed.
    pub(crate) removed: Vec<RemovedSegment>,
    /// The limit that is exceeded although nothing more may be removed.
    pub(crate) short: Option<String>,
    /// Whether another process works on the segments, so that this one has done nothing.
    pub(crate) is_busy: bool,
    /// The reason why not everything was done.
    pub(crate) failed: Option<String>,
    /// Highest memory use of the process, in KiB.
    pub(crate) peak_kib: u64,
}

/// A segment that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SealedSegment {
    pub(crate) name: String,
    pub(crate) rows: i64,
    pub(crate) bytes: u64,
    /// Rows of batches that could not be read.
    pub(crate) damaged_rows: i64,
}

/// A segment that was removed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RemovedSegment {
    pub(crate) name: String,
    pub(crate) rows: i64,
    pub(crate) bytes: u64,
    pub(crate) cause: String,
}

impl From<Sealed> for SealedSegment {
    fn from(sealed: Sealed) -> Self {
        let damaged_rows = sealed.damaged.iter().map(|damage| damage.rows).sum();
        Self { name: sealed.name, rows: sealed.rows, bytes: sealed.bytes, damaged_rows }
    }
}

/// Bounds the memory of the process.
pub(crate) fn restrain() {
    // If that is refused, it has no more than it needs all the same.
    let _ = setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY);
}

/// Gives the process a low priority, so that it disturbs nobody.
pub(crate) fn yield_to_others() {
    // Whatever is refused makes the work dearer for others, but does not harm it. A session of its own has a group of its own
    // in the scheduler, whose weight is set in /proc.
    let _ = nix::unistd::setsid();
    let _ = std::fs::write("/proc/self/autogroup", "10");
    let _ = rustix::process::nice(10);
}

/// Opens the store for changes by this process.
pub(crate) fn open(path: &Path) -> anyhow::Result<Connection> {
    store::open::for_changes(path, PATIENCE).with_context(|| format!("opening {}", path.display()))
}

/// Returns the present moment.
pub(crate) fn moment() -> Moment {
    clock::sample();
    Moment { utc_ns: clock::unix_ns(), zone: clock::zone() }
}

/// Does the work.
///
/// # Errors
/// The store can't be opened, or another process works on it. Later errors are in the report, with what was done before.
pub(crate) fn run(work: &Work) -> anyhow::Result<Report> {
    let mut connection = open(&work.path)?;
    let mut report = Report::default();
    let limits = Limits::of(&work.settings, Room::of(&connection)?.total);
    let mut sealer = match Sealer::new(&mut connection, moment()) {
        // One that an agent before has left, or `store seal`: it does the same.
        Err(store::Error::Busy) if !work.everything => return Ok(Report { is_busy: true, ..report }),
        other => other?,
    };
    if let Err(cause) = steps(&mut sealer, work, &limits, &mut report) {
        report.failed = Some(format!("{cause:#}"));
    }
    let usage = getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.max_rss());
    report.peak_kib = usage.unwrap_or_default().unsigned_abs();
    Ok(report)
}

fn steps(sealer: &mut Sealer<'_>, work: &Work, limits: &Limits, report: &mut Report) -> anyhow::Result<()> {
    let adopted = sealer.adopt()?;
    report.adopted = (adopted.segments, adopted.rows);
    report.refused = adopted.refused;
    // Room first: sealing needs some.
    prune(sealer, limits, report)?;
    report.sealed.extend(sealer.recover()?.map(SealedSegment::from));
    let began = clock::now();
    while work.everything || (clock::now() < began + LONGEST && is_due(sealer, &work.settings)?) {
        let Some(sealed) = sealer.seal(work.settings.seal_size.0)? else { break };
        report.sealed.push(sealed.into());
        prune(sealer, limits, report)?;
    }
    report.merged = sealer.merge()?.map(SealedSegment::from);
    prune(sealer, limits, report)
}

fn is_due(sealer: &Sealer<'_>, settings: &StoreSettings) -> anyhow::Result<bool> {
    let unsealed = unsealed(sealer.connection())?;
    let age = unsealed.first.map(|first| clock::unix_ns().saturating_sub(first).max(0).unsigned_abs());
    let is_old = age.is_some_and(|age| u128::from(age) >= settings.seal_after.0.as_nanos());
    Ok(is_old || unsealed.bytes.unsigned_abs() >= settings.seal_size.0)
}

/// Removes segments as the limits demand.
pub(crate) fn prune(sealer: &mut Sealer<'_>, limits: &Limits, report: &mut Report) -> anyhow::Result<()> {
    let pruned = sealer.prune(limits)?;
    report.removed.extend(pruned.removed.into_iter().map(|removed| RemovedSegment {
        name: removed.name,
        rows: removed.rows,
        bytes: removed.bytes,
        cause: removed.cause,
    }));
    report.short = pruned.short;
    Ok(())
}
