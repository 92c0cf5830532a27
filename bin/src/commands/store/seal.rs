//! `store seal` and `store prune`, and the process that the agent starts for both.

use std::io::{BufRead as _, Read as _};

use anyhow::Context as _;
use model::Size;
use store::segment::{Limits, Room, Sealer};

use super::store_file::own_file;
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};
use crate::sealer::{self, Report, Work};

/// Longest request that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Seals all rows.
pub(super) fn seal(common: &Common, format: Output) -> Outcome {
    let work =
        Work { path: own_file(common)?, settings: common.load()?.store, everything: true, is_urgent: true };
    let report = sealer::run(&work).map_err(Failure::Failed)?;
    print(&report, format)
}

/// Removes segments as the limits demand, and prints which.
pub(super) fn prune(common: &Common, format: Output) -> Outcome {
    let (path, settings) = (own_file(common)?, common.load()?.store);
    let mut connection = sealer::open(&path)?;
    let limits = Limits::of(&settings, Room::of(&connection).map_err(anyhow::Error::from)?.total);
    let mut sealer = Sealer::new(&mut connection, sealer::moment()).map_err(anyhow::Error::from)?;
    let mut report = Report::default();
    sealer::prune(&mut sealer, &limits, &mut report)?;
    print(&report, format)
}

/// Does what the agent asks for on stdin, and reports on stdout.
pub(super) fn maintain() -> Outcome {
    sealer::restrain();
    let mut request = String::new();
    std::io::stdin().lock().take(LONGEST).read_line(&mut request).context("reading the request")?;
    let work: Work = serde_json::from_str(&request).context("the request")?;
    end_with_the_agent()?;
    if !work.is_urgent {
        sealer::yield_to_others();
    }
    let report = sealer::run(&work).map_err(Failure::Failed)?;
    let report = serde_json::to_string(&report).context("the report")?;
    output::print(&report)
}

/// Ends this process when the agent ends, even if the agent is killed: then the pipe on stdin has no writer any more. The next process
/// completes the work.
fn end_with_the_agent() -> anyhow::Result<()> {
    let wait = || {
        // Nothing more is written to the pipe, so this returns when it is closed.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(1);
    };
    std::thread::Builder::new().name("agent".to_owned()).spawn(wait).context("watching the agent")?;
    Ok(())
}

fn print(report: &Report, format: Output) -> Outcome {
    match format {
        Output::Json => output::print(&to_json(report)?)?,
        Output::Table => output::print(&text(report))?,
    }
    match report.failed.as_ref().or(report.short.as_ref()) {
        Some(cause) => Err(Failure::failed(cause.clone())),
        None => Ok(()),
    }
}

fn text(report: &Report) -> String {
    let size = |bytes: u64| Size(bytes).rounded();
    let sealed = report.sealed.iter().map(|segment| {
        format!("sealed {} rows into {}, {}", segment.rows, segment.name, size(segment.bytes))
    });
    let merged = report.merged.iter().map(|segment| {
        format!(
            "merged small segments with {} rows into {}, {}",
            segment.rows,
            segment.name,
            size(segment.bytes)
        )
    });
    let removed = report.removed.iter().map(|segment| {
        format!(
            "removed {} with {} rows, {}: {}",
            segment.name,
            segment.rows,
            size(segment.bytes),
            segment.cause
        )
    });
    let lines: Vec<String> = sealed.chain(merged).chain(removed).collect();
    if lines.is_empty() { "nothing to do".to_owned() } else { lines.join("\n") }
}
