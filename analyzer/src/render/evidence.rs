//! Evidence of what an answer may lack, in words.

use std::collections::BTreeMap;
use std::io::{self, Write};

use model::ZonedTime;

use super::escape;
use crate::evidence::{Evidence, Gap};

/// Number of things of a kind that are written one by one.
const SHOWN: usize = 5;

/// Writes what an answer may lack, after the answer.
///
/// # Errors
/// When the output can't be written.
pub fn evidence(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    if evidence.complete {
        return writeln!(out, "\nThe answer is complete: no gaps and no blind spots touch it.");
    }
    let lead = if evidence.lossless {
        "Nothing that the tracers saw is missing. They could not see:"
    } else {
        "The answer may lack something:"
    };
    writeln!(out, "\n{lead}")?;
    if !evidence.lossless {
        warnings(evidence).iter().try_for_each(|line| writeln!(out, "- {line}"))?;
    }
    blind(evidence, out)
}

/// Returns a line for each thing that the answer lacks, without blind spots.
pub fn warnings(evidence: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    let cut = evidence.cut.iter().map(|cut| format!("{}: {} ({})", cut.node, cut.edges, cut.why));
    add(&mut lines, cut.collect(), "bounds");
    add(&mut lines, evidence.gaps.iter().map(gap).collect(), "gaps");
    let removed = evidence.removed.iter().map(|part| {
        let (from, to) = (short(part.from), short(part.to));
        format!("removed: {} rows from {from} to {to} ({})", part.rows, part.cause)
    });
    add(&mut lines, removed.collect(), "removed segments");
    let damaged = evidence
        .damaged
        .iter()
        .map(|one| format!("damaged: {} rows of {} ({})", one.rows, one.batch, one.cause));
    add(&mut lines, damaged.collect(), "damaged batches");
    lines.iter().map(|line| escape::visible(line).into_owned()).collect()
}

fn add(lines: &mut Vec<String>, mut more: Vec<String>, what: &str) {
    let left = more.len().saturating_sub(SHOWN);
    more.truncate(SHOWN);
    lines.extend(more);
    if left > 0 {
        lines.push(format!("{left} more {what}; --format json lists all"));
    }
}

fn gap(gap: &Gap) -> String {
    let what = match (&gap.tracer, gap.count) {
        (None, _) => "no records".to_owned(),
        (Some(tracer), None) => format!("lost: an unknown number of records of {tracer}"),
        (Some(tracer), Some(count)) => format!("lost: {count} records of {tracer}"),
    };
    let whose = gap.uid.map(|uid| format!(" of user {uid}")).unwrap_or_default();
    format!("{what}{whose} from {} to {} ({})", short(gap.from), short(gap.to), gap.cause)
}

/// Writes the blind spots, each once with its tracers.
fn blind(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    let mut by_what: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for spot in &evidence.blind {
        by_what.entry(&spot.what).or_default().push(&spot.tracer);
    }
    // What concerns few tracers says most about the answer.
    let mut spots: Vec<_> = by_what.into_iter().collect();
    spots.sort_by_key(|(_, tracers)| tracers.len());
    let left = spots.len().saturating_sub(SHOWN);
    for (what, tracers) in spots.iter().take(SHOWN) {
        let tracers = if tracers.len() > SHOWN { "most tracers".to_owned() } else { tracers.join(", ") };
        writeln!(out, "- not seen by {tracers}: {}", escape::visible(what))?;
    }
    if left > 0 {
        writeln!(out, "- {left} more blind spots; --format json lists all")?;
    }
    Ok(())
}

/// Returns a time to the second, with its offset.
pub(super) fn short(at: ZonedTime) -> String {
    let text = at.to_local_text();
    let parts = text.get(..19).zip(text.get(26..));
    parts.map_or_else(|| text.clone(), |(seconds, offset)| format!("{seconds}{offset}"))
}
