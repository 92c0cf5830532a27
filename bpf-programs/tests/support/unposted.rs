//! io_uring: requests that end without a completion while nothing of their process enters the kernel, requests that still
//! wait, and one user's many requests.

use actors::clock;
use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Record, Usage};

use crate::ledger::flush_both_buffers;
use crate::support::{self, DEADLINE, Kernel, Shared, decode};
use crate::urings::Python;
use crate::{TIMES, Test, usage};

pub const TESTS: &[Test] = &[
    ("uring_what_ends_unseen_is_found_with_its_result", || ends("left", false)),
    ("uring_a_request_whose_memory_is_used_again_has_no_result", || ends("reused", true)),
    ("uring_a_request_whose_ring_is_closed_has_no_result", || ends("closed", true)),
    ("uring_what_waits_is_not_recorded_as_ended", waits),
    ("uring_one_users_requests_hide_no_others", flood),
    ("uring_a_multishot_request_has_its_last_result", multishot),
];

/// Starts the programs, such that requests need not be old to be found.
fn start(folder: &tempfile::TempDir) -> anyhow::Result<(Shared, Python)> {
    std::fs::write(folder.path().join("held"), "held")?;
    let mut kernel = Kernel::start()?;
    kernel.set(|settings| settings.end_within_ms = 1)?;
    Ok((kernel, Python::start(folder.path())?))
}

/// Lets the sweep look for requests that have ended until there is a record of this kind.
fn sweep_until(kernel: &mut Kernel, pid: u32, kind: Kind) -> anyhow::Result<Vec<Record>> {
    let end = clock::now() + DEADLINE;
    loop {
        kernel.sweep_requests()?;
        if kind == Kind::Usage {
            flush_both_buffers(kernel)?;
        }
        kernel.drain();
        let found: Result<Vec<_>, _> = kernel.of(pid, kind).iter().map(|bytes| decode(kind, bytes)).collect();
        let found: Vec<_> = found?.into_iter().filter(is_unseen).collect();
        if !found.is_empty() {
            return Ok(found);
        }
        ensure!(clock::now() < end, "no {kind:?}");
    }
}

/// Returns whether this is about the folder, or the file, of a request that no other hook sees the end of.
fn is_unseen(record: &Record) -> bool {
    match &record.details {
        Details::Fs(fs) => fs.path.to_str().ends_with("/unseen"),
        Details::Usage(usage) => usage.via == ["io_uring"],
        _ => false,
    }
}

/// Checks the records of two requests whose ends no program saw.
fn ends(how: &str, unknown: bool) -> anyhow::Result<()> {
    // Tier function has the result from the functions that do the work.
    let unknown = unknown && support::tier() != Tier::Function;
    let folder = tempfile::tempdir()?;
    let (mut kernel, mut python) = start(&folder)?;
    let pid = match how {
        "reused" => python.run(&mut kernel, how)?.context("no process")?,
        _ => python.begin(&mut kernel, how)?,
    };
    let made = sweep_until(&mut kernel, pid, Kind::Mkdir)?;
    let [made] = &made[..] else { anyhow::bail!("{made:#?}") };
    let identity = made.identity.as_ref().context("identity")?;
    ensure!(
        identity.result_unknown == unknown && identity.uring && made.details.ret() == Some(0),
        "{made:#?}"
    );
    let read = sweep_until(&mut kernel, pid, Kind::Usage)?;
    let [Record { details: Details::Usage(read), identity, .. }] = &read[..] else {
        anyhow::bail!("{read:#?}")
    };
    let Usage { bytes, calls, .. } = **read;
    ensure!((bytes, calls) == (if unknown { 0 } else { 3 }, 1), "{read:#?}");
    ensure!(identity.as_ref().is_some_and(|identity| identity.result_unknown == unknown), "{identity:#?}");
    if how != "reused" {
        python.run(&mut kernel, "")?;
    }
    ensure!(kernel.kept()? == 0, "requests are still kept");
    Ok(())
}

/// Checks that an open that waits is recorded once it has failed, and not before.
fn waits() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut kernel, mut python) = start(&folder)?;
    let pid = python.begin(&mut kernel, "waits")?;
    let opens = |kernel: &Kernel| -> anyhow::Result<Vec<Record>> {
        let all: Result<Vec<_>, _> =
            kernel.of(pid, Kind::Open).iter().map(|bytes| decode(Kind::Open, bytes)).collect();
        Ok(all?.into_iter().filter(|record| is_fifo(&record.details)).collect())
    };
    for _ in 0..TIMES {
        kernel.sweep_requests()?;
        kernel.drain();
        let found = opens(&kernel)?;
        ensure!(found.is_empty(), "{found:#?}");
    }
    // Tier function records the open where the kernel opens the file.
    let kept = usize::from(support::tier() != Tier::Function);
    ensure!(kernel.kept()? == kept, "the open is not kept");
    python.run(&mut kernel, "")?;
    kernel.drain();
    let found = opens(&kernel)?;
    let [open] = &found[..] else { anyhow::bail!("{found:#?}") };
    ensure!(open.details.ret().is_some_and(|ret| ret < 0), "{open:#?}");
    ensure!(kernel.kept()? == 0, "requests are still kept");
    Ok(())
}

fn is_fifo(details: &Details) -> bool {
    matches!(details, Details::Open(open) if open.path.to_str().ends_with("/fifo"))
}

/// Checks that a request which accepts several connections leaves the row of its end alone, as docs/COVERAGE.md says.
fn multishot() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut kernel, mut python) = start(&folder)?;
    let pid = python.run(&mut kernel, "multishot")?.context("no process")?;
    kernel.drain();
    let records: Result<Vec<_>, _> =
        kernel.of(pid, Kind::Accept).iter().map(|bytes| decode(Kind::Accept, bytes)).collect();
    let records = records?;
    let [record] = &records[..] else { anyhow::bail!("{records:#?}") };
    ensure!(record.details.ret() == Some(-i64::from(libc::EINVAL)), "{record:#?}");
    ensure!(record.identity.as_ref().is_some_and(|identity| identity.uring), "{record:#?}");
    Ok(())
}

/// Checks that another user's requests are recorded while one user has many whose ends no program has seen, and that
/// nothing is kept of them when they have been looked for.
fn flood() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut kernel, mut python) = start(&folder)?;
    let another = tempfile::tempdir()?;
    usage::fill(another.path())?;
    let mut others = Python::start(another.path())?;
    python.begin(&mut kernel, "flood")?;
    let pid = others.run(&mut kernel, "mkdirat skip_async")?.context("no process")?;
    kernel.drain();
    let mut roots = 0;
    for bytes in kernel.of(pid, Kind::Mkdir) {
        let identity = decode(Kind::Mkdir, &bytes)?.identity.context("identity")?;
        roots += usize::from(identity.uid == 0);
    }
    // Two variants, by call and by request. The third is the flooding user's, who has used up his share.
    ensure!(roots == 4 * TIMES, "{roots} records");
    let end = clock::now() + DEADLINE;
    while kernel.kept()? > 0 {
        kernel.sweep_requests()?;
        kernel.drain();
        ensure!(clock::now() < end, "{} requests are still kept", kernel.kept()?);
    }
    python.run(&mut kernel, "")?;
    Ok(())
}
