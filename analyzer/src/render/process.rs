//! Answers to `process`: text for people, JSON for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use model::ZonedTime;

use super::format::{Format, Output, RenderError};
use super::names::Names;
use super::words::bytes;
use super::{escape, evidence, json, table, words};
use crate::Envelope;
use crate::process::{Answer, Process};
use crate::quoting::quoted;

/// Number of entries of a list in a table.
const SHOWN: usize = 20;

/// Writes the answer about a process. As CSV there is none.
///
/// # Errors
/// When the output can't be written.
pub fn process(
    answer: &Envelope<Answer>,
    format: Format,
    output: Output,
    out: &mut dyn Write,
) -> Result<(), RenderError> {
    if format == Format::Table {
        text(&answer.answer, output, out)?;
        evidence::evidence(&answer.evidence, output.evidence, out)?;
    } else {
        json::object(answer, out)?;
    }
    out.flush()?;
    Ok(())
}

/// Returns a line for each of several processes.
pub fn process_lines(processes: &[Process]) -> Vec<String> {
    let names = Names::new(false);
    processes.iter().map(|process| line(process, &names)).collect()
}

/// Returns a process in one line.
fn line(process: &Process, names: &Names) -> String {
    let name = process.exe.as_deref().or(process.comm.as_deref());
    let mut line = words::process(name, process.pid);
    line.extend(process.exec_id.iter().map(|exec_id| format!(" {exec_id}")));
    line.extend(process.argv.as_ref().map(|argv| format!("  {}", argv.join(" "))));
    line.extend(process.uid.map(|uid| format!("  user {}", names.user(uid))));
    line.extend(process.container_name.as_ref().map(|name| format!("  container {name}")));
    line.extend(process.start.map(|at| format!("  started {}", words::time(at))));
    line.extend(process.end.map(|at| format!("  ended {}", words::time(at))));
    line.extend(ending(process));
    escape::visible(&line).into_owned()
}

fn ending(process: &Process) -> Option<String> {
    match (process.code, process.signal) {
        (_, Some(signal)) if signal > 0 => Some(format!("  by signal {signal}")),
        (Some(code), _) => Some(format!("  code {code}")),
        _ => None,
    }
}

fn text(answer: &Answer, output: Output, out: &mut dyn Write) -> io::Result<()> {
    let names = Names::new(output.numeric);
    writeln!(out, "{}", line(&answer.process, &names))?;
    let ancestors: Vec<String> = answer.ancestors.iter().map(|process| line(process, &names)).collect();
    list(out, "comes from (nearest first)", &ancestors)?;
    list(out, "executed", &executed(answer))?;
    let ids: Vec<String> = answer
        .ids
        .iter()
        .map(|change| {
            let call = change.call.as_deref().unwrap_or("?");
            let user = change.euid.map(|uid| names.user(uid)).unwrap_or_default();
            let group = change.egid.map(|gid| names.group(gid)).unwrap_or_default();
            let errno = change.errno.iter().map(|errno| format!(" ({errno})")).collect::<String>();
            format!("{}  {call}: user {user}, group {group}{errno}", time(change.time))
        })
        .collect();
    list(out, "took ids", &ids)?;
    list(out, "made processes", &tree(&answer.process, &answer.descendants, &names))?;
    files(answer, output, out)?;
    peers(answer, output, out)?;
    let signals: Vec<String> = answer
        .signals
        .iter()
        .map(|signal| {
            let other = signal.other_exec_id.clone().or_else(|| signal.other_pid.map(|pid| pid.to_string()));
            let way = if signal.direction == "sent" { "to" } else { "from" };
            let errno = signal.errno.iter().map(|errno| format!(" ({errno})")).collect::<String>();
            let number = signal.signal.map(|number| number.to_string()).unwrap_or_default();
            format!(
                "{}  {} {number} {way} {}{errno}",
                time(signal.time),
                signal.direction,
                other.unwrap_or_default()
            )
        })
        .collect();
    list(out, "signals", &signals)?;
    let refused: Vec<String> = answer
        .refused
        .iter()
        .map(|one| {
            let call = one.call.as_deref().unwrap_or(&one.tracer);
            let (what, errno) =
                (one.what.as_deref().unwrap_or_default(), one.errno.as_deref().unwrap_or_default());
            format!("{}  {call} {what} ({errno})", time(one.time))
        })
        .collect();
    list(out, "was refused", &refused)
}

/// Returns a line for each program that was executed. Paths that were searched and do not exist are one line.
fn executed(answer: &Answer) -> Vec<String> {
    let (searched, execs): (Vec<_>, Vec<_>) =
        answer.execs.iter().partition(|exec| exec.errno.as_deref() == Some("ENOENT"));
    let mut execs: Vec<String> = execs
        .iter()
        .map(|exec| {
            let interpreter = exec.interpreter.iter().map(|by| format!(" (by {by})")).collect::<String>();
            let errno = exec.errno.iter().map(|errno| format!(" ({errno})")).collect::<String>();
            let path = exec.path.as_deref().unwrap_or("?");
            format!("{}  {path}{interpreter}: {}{errno}", time(exec.time), exec.argv.join(" "))
        })
        .collect();
    match searched.len() {
        0 => {}
        1 => execs.push("and 1 path that does not exist; --timeline lists it".to_owned()),
        count => execs.push(format!(
            "and {count} paths that do not exist, as in a search of PATH; --timeline lists them"
        )),
    }
    execs
}

fn time(at: Option<ZonedTime>) -> String {
    at.map(words::time).unwrap_or_default()
}

/// Writes a list under a heading, unless it is empty.
fn list(out: &mut dyn Write, heading: &str, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{heading}:")?;
    for line in lines.iter().take(SHOWN) {
        writeln!(out, "  {}", escape::visible(line))?;
    }
    left(out, lines.len())
}

fn left(out: &mut dyn Write, count: usize) -> io::Result<()> {
    match count.saturating_sub(SHOWN) {
        0 => Ok(()),
        left => writeln!(out, "  and {left} more; --format json lists all"),
    }
}

/// Returns a line for each descendant, indented below its parent.
fn tree(process: &Process, descendants: &[Process], names: &Names) -> Vec<String> {
    let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
    let mut children: BTreeMap<&str, Vec<&Process>> = BTreeMap::new();
    for one in descendants {
        children.entry(one.parent_exec_id.as_deref().unwrap_or_default()).or_default().push(one);
    }
    let root = process.exec_id.as_deref().unwrap_or_default();
    depths.insert(root, 0);
    let (mut lines, mut waiting) = (Vec::new(), vec![root]);
    while let Some(parent) = waiting.pop() {
        let depth = depths.get(parent).copied().unwrap_or_default();
        if let Some(one) = descendants.iter().find(|one| one.exec_id.as_deref() == Some(parent)) {
            lines.push(format!("{}{}", "  ".repeat(depth - 1), line(one, names)));
        }
        for child in children.remove(parent).unwrap_or_default().into_iter().rev() {
            let Some(id) = child.exec_id.as_deref() else { continue };
            depths.insert(id, depth + 1);
            waiting.push(id);
        }
    }
    lines
}

fn files(answer: &Answer, output: Output, out: &mut dyn Write) -> io::Result<()> {
    if answer.files.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nused files:")?;
    let header = ["file", "read", "written", "mapped", "opens", "refused"].map(str::to_owned);
    let mut shown = table::new_table(output, &header);
    (1..6).for_each(|index| table::right(&mut shown, index));
    let amount = |count: u64| if count == 0 { String::new() } else { bytes(count) };
    let number = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    for file in answer.files.iter().take(SHOWN) {
        let id = file.file_id.map(|id| format!("id:{id}"));
        let name = file.path.as_deref().map(|path| quoted(path).into_owned()).or(id).unwrap_or_default();
        let sums = &file.sums;
        shown.add_row(vec![
            name,
            amount(sums.bytes_read),
            amount(sums.bytes_written),
            amount(sums.bytes_mapped),
            number(sums.opens),
            number(sums.refused),
        ]);
    }
    table::print(&shown, out)?;
    left(out, answer.files.len())
}

fn peers(answer: &Answer, output: Output, out: &mut dyn Write) -> io::Result<()> {
    if answer.peers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\ntalked to:")?;
    let header = ["peer", "by", "connections", "failed", "sent", "received"].map(str::to_owned);
    let mut shown = table::new_table(output, &header);
    (2..6).for_each(|index| table::right(&mut shown, index));
    for peer in answer.peers.iter().take(SHOWN) {
        let port = peer.port.map(|port| format!(" port {port}")).unwrap_or_default();
        let name = if peer.address.is_empty() {
            peer.family.clone().unwrap_or_default()
        } else {
            peer.address.clone()
        };
        shown.add_row(vec![
            escape::visible(&format!("{name}{port}")).into_owned(),
            peer.via.to_owned(),
            peer.connections.to_string(),
            peer.failed.to_string(),
            bytes(peer.bytes_sent),
            bytes(peer.bytes_received),
        ]);
    }
    table::print(&shown, out)?;
    left(out, answer.peers.len())
}
