//! Evidence of what an answer may lack, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::escape;
use super::words::time;
use crate::evidence::{Blind, Evidence, Gap, Searched};

/// Number of things of a kind that are written one by one.
const SHOWN: usize = 5;

/// Writes what an answer may lack, after the answer; of blind spots those that could touch it, or `all`.
///
/// # Errors
/// When the output can't be written.
pub fn evidence(evidence: &Evidence, all: bool, out: &mut dyn Write) -> io::Result<()> {
    if evidence.complete {
        return writeln!(out, "\nThe answer is complete: no gaps and no blind spots touch it.");
    }
    if evidence.lossless {
        writeln!(out, "\nNothing that the tracers saw is missing.")?;
    } else {
        writeln!(out, "\nThe answer may lack something:")?;
        warnings(evidence).iter().try_for_each(|line| writeln!(out, "- {line}"))?;
    }
    if all { every_spot(evidence, out) } else { touching(evidence, out) }
}

/// Returns a line for each thing that the answer lacks, without blind spots.
pub fn warnings(evidence: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    let cut = evidence.cut.iter().map(|cut| format!("{}: {} ({})", cut.node, cut.edges, cut.why));
    add(&mut lines, cut.collect(), "bounds");
    add(&mut lines, evidence.gaps.iter().map(gap).collect(), "gaps");
    let removed = evidence.removed.iter().map(|part| {
        let (from, to) = (time(part.from), time(part.to));
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
    format!("{what}{whose} from {} to {} ({})", time(gap.from), time(gap.to), gap.cause)
}

/// Writes the blind spots that could touch the answer in one sentence, and the number of the others.
fn touching(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    let (touching, others): (Vec<&Blind>, Vec<&Blind>) = evidence.blind.iter().partition(|spot| spot.touches);
    let mut phrases: Vec<String> = Vec::new();
    for spot in &touching {
        let phrase = spot.brief.map_or_else(|| format!("{} ({})", spot.what, spot.tracer), str::to_owned);
        if !phrases.contains(&phrase) {
            phrases.push(phrase);
        }
    }
    if !phrases.is_empty() {
        let phrases = phrases.join("; ");
        writeln!(
            out,
            "Not seen by any tracer, and could belong to the answer: {}.",
            escape::visible(&phrases)
        )?;
    }
    let whats = |spots: &[&Blind]| spots.iter().map(|spot| spot.what.as_str()).collect::<BTreeSet<_>>().len();
    let (named, left) = (whats(&touching), whats(&others));
    match (named, left) {
        (0, 0) => Ok(()),
        (_, 0) => writeln!(out, "--evidence describes these."),
        (_, 1) => writeln!(out, "1 other blind spot does not touch it; --evidence describes all."),
        (_, left) => writeln!(out, "{left} other blind spots do not touch it; --evidence describes all."),
    }
}

/// Writes all blind spots, each once with its tracers.
fn every_spot(evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    for (touches, heading) in [
        (true, "Not seen, and could belong to the answer:"),
        (false, "Not seen, and does not touch the answer:"),
    ] {
        let mut by_what: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for spot in evidence.blind.iter().filter(|spot| spot.touches == touches) {
            by_what.entry(&spot.what).or_default().push(&spot.tracer);
        }
        if by_what.is_empty() {
            continue;
        }
        writeln!(out, "{heading}")?;
        // What concerns few tracers says most about the answer.
        let mut spots: Vec<_> = by_what.into_iter().collect();
        spots.sort_by_key(|(_, tracers)| tracers.len());
        for (what, tracers) in spots {
            writeln!(out, "- {} ({})", escape::visible(what), tracers.join(", "))?;
        }
    }
    Ok(())
}

/// Returns the message that nothing is recorded of something: the time that was searched, and what can be missing there.
pub fn nothing(what: &str, why: &str, searched: &Searched, evidence: &Evidence) -> String {
    let time = match (searched.from, searched.to) {
        (Some(from), Some(to)) if from <= to => format!("from {} to {}", time(from), time(to)),
        (Some(_), Some(_)) => "and the record has no such time".to_owned(),
        _ => "and the store has no record of any time".to_owned(),
    };
    let part = if searched.is_part { "; other times were not searched" } else { "" };
    let mut text = format!("nothing is recorded of {what}: {why}, {time}{part}");
    let warnings = warnings(evidence);
    if !warnings.is_empty() {
        text.push_str("\nThat it was not used is not certain, because records of this time are missing:");
        warnings.iter().for_each(|line| text.extend(["\n- ", line]));
    }
    text
}
