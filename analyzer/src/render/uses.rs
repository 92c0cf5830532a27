//! Answers to `uses`: a table for people; JSON, JSON lines and CSV for programs.

use std::io::{self, Write};

use comfy_table::Table;
use serde_json::{Map, Value};

use super::format::{Format, Output, RenderError};
use super::names::Names;
use super::words::bytes;
use super::{delimited, escape, evidence, json, table, words};
use crate::Envelope;
use crate::quoting::quoted;
use crate::uses::{By, Group, Sums, TargetFile, Uses, UsesRow};

/// Number of files that a table lists.
const FILES: usize = 10;

/// Writes an answer; a table has at most `limit` rows, unless it is 0.
///
/// # Errors
/// When the output can't be written.
pub fn uses(
    answer: &Envelope<Uses>,
    (format, by, limit): (Format, By, usize),
    output: Output,
    out: &mut dyn Write,
) -> Result<(), RenderError> {
    match format {
        Format::Table => {
            files(&answer.answer, out)?;
            rows(&answer.answer.rows, (by, limit), output, out)?;
            evidence::evidence(&answer.evidence, output.evidence, out)?;
        }
        Format::Json => json::object(answer, out)?,
        Format::Jsonl => {
            for row in &answer.answer.rows {
                json::object(row, out)?;
            }
        }
        Format::Csv => csv(&answer.answer.rows, by, output, out)?,
    }
    out.flush()?;
    Ok(())
}

/// Writes the files with their names.
fn files(answer: &Uses, out: &mut dyn Write) -> io::Result<()> {
    for file in answer.targets.iter().take(FILES) {
        writeln!(out, "{}", file_line(file))?;
    }
    let left = answer.files.saturating_sub(FILES);
    if left > 0 {
        writeln!(out, "and {left} more files")?;
    }
    writeln!(out)
}

fn file_line(file: &TargetFile) -> String {
    let names = file.names.iter().map(|name| quoted(&name.path)).collect::<Vec<_>>().join(", ");
    let aliases = file.aliases.iter().map(|alias| format!(", id:{alias}")).collect::<String>();
    let names = if names.is_empty() { "no name is known".to_owned() } else { names };
    format!("{names} (id:{}{aliases})", file.file_id)
}

fn rows(rows: &[UsesRow], (by, limit): (By, usize), output: Output, out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "No row of this time says that somebody used it.");
    }
    let names = Names::new(output.numeric);
    let group = group_columns(by);
    let sums = ["read", "written", "mapped", "copied", "opens", "refused", "also", "first", "last"];
    let header: Vec<String> = group.iter().chain(&sums).map(|name| (*name).to_owned()).collect();
    let mut shown: Table = table::new_table(output, &header);
    (group.len()..group.len() + 6).for_each(|index| table::right(&mut shown, index));
    let count = if limit == 0 { rows.len() } else { limit };
    for row in rows.iter().take(count) {
        let mut cells = group_cells(&row.group, by, &names);
        cells.extend(sums_cells(&row.sums));
        shown.add_row(cells);
    }
    table::print(&shown, out)?;
    match rows.len().saturating_sub(count) {
        0 => Ok(()),
        left => writeln!(out, "and {left} more; --limit 0 prints all"),
    }
}

fn group_columns(by: By) -> Vec<&'static str> {
    match by {
        By::Process => vec!["process", "exec_id", "program", "user", "container"],
        By::User => vec!["user"],
        By::Exe => vec!["program"],
        By::Container => vec!["container"],
        By::Day => vec!["day"],
    }
}

fn group_cells(group: &Group, by: By, names: &Names) -> Vec<String> {
    let text = |text: &Option<String>| {
        text.as_deref().map(|text| escape::visible(text).into_owned()).unwrap_or_default()
    };
    let user = || group.uid.map(|uid| escape::visible(&names.user(uid)).into_owned()).unwrap_or_default();
    let container = || {
        let id = group.container_id.as_ref().map(|id| id.chars().take(12).collect());
        text(&group.container_name.clone().or(id))
    };
    if group.others {
        return group_columns(by)
            .iter()
            .enumerate()
            .map(|(index, _)| if index == 0 { "others".to_owned() } else { String::new() })
            .collect();
    }
    match by {
        By::Process => {
            let name = group.exe.as_deref().or(group.comm.as_deref());
            vec![words::process(name, group.pid), text(&group.exec_id), text(&group.exe), user(), container()]
        }
        By::User => vec![user()],
        By::Exe => vec![text(&group.exe)],
        By::Container => vec![if group.container_id.is_some() { container() } else { "none".to_owned() }],
        By::Day => vec![text(&group.day)],
    }
}

fn sums_cells(sums: &Sums) -> Vec<String> {
    let amount = |count: u64| if count == 0 { String::new() } else { bytes(count) };
    let number = |count: u64| if count == 0 { String::new() } else { count.to_string() };
    let also = [
        ("failed", sums.failed),
        ("executed", sums.execs),
        ("renamed", sums.renames),
        ("deleted", sums.deletes),
        ("attributes", sums.attrs),
        ("linked", sums.links),
        ("truncated", sums.truncations),
        ("other", sums.others),
    ];
    let also = also.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}"));
    let time = |at: Option<model::ZonedTime>| at.map(words::time).unwrap_or_default();
    vec![
        amount(sums.bytes_read),
        amount(sums.bytes_written),
        amount(sums.bytes_mapped),
        amount(sums.bytes_copied),
        number(sums.opens),
        number(sums.refused),
        also.collect::<Vec<_>>().join(", "),
        time(sums.first),
        time(sums.last),
    ]
}

/// Writes the rows as CSV with the fields of JSON.
fn csv(rows: &[UsesRow], by: By, output: Output, out: &mut dyn Write) -> Result<(), RenderError> {
    let group: &[&str] = match by {
        By::Process => &["exec_id", "pid", "comm", "uid", "exe", "container_id", "container_name"],
        By::User => &["uid"],
        By::Exe => &["exe"],
        By::Container => &["container_id", "container_name"],
        By::Day => &["day"],
    };
    let mut writer = csv::Writer::from_writer(out);
    let names = object(&Sums::default());
    let header = group.iter().copied().chain(names.keys().map(String::as_str));
    writer.write_record(header).map_err(io::Error::from)?;
    for row in rows {
        let (of_group, of_sums) = (object(&row.group), object(&row.sums));
        let cells =
            group.iter().map(|name| of_group.get(*name)).chain(names.keys().map(|name| of_sums.get(name)));
        writer
            .write_record(cells.map(|cell| delimited::shown(&plain(cell), output).into_owned()))
            .map_err(io::Error::from)?;
    }
    writer.flush()?;
    Ok(())
}

fn object(value: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
