//! Rows and briefs for people. Long answers come as several tables, so that none is held in memory whole.

use std::borrow::Cow;
use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use model::Lost;
use model::schema::ColumnKind;
use serde_json::Value;

use super::{Paper, RenderError, escape, json};
use crate::{Answer, Brief, Cell, Row, TracerBrief};

/// Rows of one table: what decides how wide its columns are.
const ROWS_PER_TABLE: usize = 500;

/// What a person wants to see of a whole `Tracking`; the rest is a `--columns` away.
const DIGEST: [&str; 6] = ["dt", "tracer", "pid", "uid", "comm", "ret"];

/// A terminal narrower than this is taken for one that does not know its width.
const NARROWEST: u16 = 40;

/// Characters of a command line in the digest; `--columns argv` shows all of it.
const ARGUMENTS_SHOWN: usize = 80;

/// Fields that say where, not what: left out of the digest.
const PLACE_FIELDS: [&str; 4] = ["cgroup_id", "pid_ns", "mnt_ns", "tracer_name"];

pub(super) fn rows(answer: &mut Answer<'_>, paper: Paper, out: &mut dyn Write) -> Result<u64, RenderError> {
    let layout = Layout::of(answer);
    let mut table = layout.table(paper);
    let (mut held, mut count) = (0, 0);
    for row in answer.rows()? {
        if held == ROWS_PER_TABLE {
            print(&std::mem::replace(&mut table, layout.table(paper)), out)?;
            held = 0;
        }
        table.add_row(layout.cells(&row?));
        held += 1;
        count += 1;
    }
    if held > 0 || count == 0 {
        print(&table, out)?;
    }
    Ok(count)
}

pub(super) fn brief(brief: &Brief, paper: Paper, out: &mut dyn Write) -> io::Result<()> {
    let names = ["tracer", "collector", "rows", "first", "last", "seen", "stored", "filtered", "lost"];
    let mut table = new_table(paper, &names.map(str::to_owned));
    for place in [2, 5, 6, 7] {
        right(&mut table, place);
    }
    for tracer in &brief.tracers {
        table.add_row(brief_row(tracer));
    }
    print(&table, out)?;
    out.flush()
}

fn brief_row(tracer: &TracerBrief) -> Vec<String> {
    // To the second: the table has many columns, and JSON has the rest.
    let time = |time: &Option<String>| {
        let seconds = time.as_deref().map(|time| time.split('.').next().unwrap_or(time));
        seconds.map_or_else(|| "-".to_owned(), |time| escape::visible(time).into_owned())
    };
    vec![
        escape::visible(&tracer.tracer).into_owned(),
        escape::visible(&tracer.collector_id).into_owned(),
        tracer.count.to_string(),
        time(&tracer.start),
        time(&tracer.end),
        tracer.seen.to_string(),
        tracer.stored.to_string(),
        tracer.filtered.to_string(),
        lost_in_words(&tracer.lost),
    ]
}

/// `12 (ring 10, sink 2)`
fn lost_in_words(lost: &Lost) -> String {
    let places = [("ring", lost.ring), ("decode", lost.decode), ("queue", lost.queue), ("sink", lost.sink)];
    let places =
        places.iter().filter(|(_, count)| *count > 0).map(|(place, count)| format!("{place} {count}"));
    match lost.total() {
        0 => "0".to_owned(),
        total => format!("{total} ({})", places.collect::<Vec<_>>().join(", ")),
    }
}

/// Which cells of a row are shown.
struct Layout {
    names: Vec<String>,
    numbers: Vec<usize>,
    places: Vec<usize>,
    /// Places of `fname` and `extended`, where a last column tells what it is about.
    about: Option<(usize, usize)>,
}

impl Layout {
    /// The columns asked for; of a whole `Tracking`, its digest.
    fn of(answer: &Answer<'_>) -> Self {
        let columns = answer.columns();
        let place = |name: &str| columns.iter().position(|column| column.name == name);
        let whole = columns.iter().map(|column| column.name.as_str()).eq(crate::query::tracking_names());
        let about = place("fname").zip(place("extended")).filter(|_| whole);
        let places: Vec<usize> = match about {
            Some(_) => DIGEST.iter().filter_map(|name| place(name)).collect(),
            None => (0..columns.len()).collect(),
        };
        let mut names: Vec<String> = places.iter().map(|&place| columns[place].name.clone()).collect();
        if about.is_some() {
            names.push("about".to_owned());
        }
        let numbers =
            places.iter().enumerate().filter(|(_, place)| columns[**place].kind == ColumnKind::Integer);
        Self { names, numbers: numbers.map(|(at, _)| at).collect(), places, about }
    }

    fn table(&self, paper: Paper) -> Table {
        let mut table = new_table(paper, &self.names);
        for &place in &self.numbers {
            right(&mut table, place);
        }
        table
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let mut cells: Vec<String> = self.places.iter().map(|&place| text(&row.cells[place])).collect();
        if let Some((fname, extended)) = self.about {
            cells.push(match &row.cells[fname] {
                Cell::Null => fields(&row.cells[extended]),
                fname => arguments(&row.cells[extended])
                    .map_or_else(|| text(fname), |line| format!("{} $ {line}", text(fname))),
            });
        }
        cells
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null | Cell::Json(Value::Null) => String::new(),
        Cell::Text(text) | Cell::Json(Value::String(text)) => escape::visible(text).into_owned(),
        cell => json::text(cell),
    }
}

/// What was run, on one line and cut where it is long.
fn arguments(extended: &Cell) -> Option<String> {
    let Cell::Json(Value::Object(fields)) = extended else { return None };
    let arguments = fields.get("argv")?.as_array()?.iter().filter_map(Value::as_str);
    let line = arguments.map(escape::visible).collect::<Vec<_>>().join(" ");
    let cut = line.char_indices().nth(ARGUMENTS_SHOWN);
    Some(cut.map_or_else(|| line.clone(), |(at, _)| format!("{}…", &line[..at])))
}

/// An object on one line: `daddr=10.0.0.1 dport=443`.
fn fields(extended: &Cell) -> String {
    let Cell::Json(Value::Object(fields)) = extended else { return text(extended) };
    let fields = fields.iter().filter(|(name, _)| !PLACE_FIELDS.contains(&name.as_str()));
    let fields = fields.map(|(name, value)| {
        let value = match value {
            Value::String(text) => escape::visible(text),
            value => Cow::Owned(json::text(value)),
        };
        format!("{}={value}", escape::visible(name))
    });
    fields.collect::<Vec<_>>().join(" ")
}

fn new_table(paper: Paper, names: &[String]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    match paper.terminal {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(names.iter().map(|name| escape::visible(name).into_owned()));
    table
}

pub(super) fn terminal_width() -> Option<u16> {
    // Serial consoles say 0; nothing can be laid out in that.
    Table::new().width().filter(|width| *width >= NARROWEST)
}

fn right(table: &mut Table, place: usize) {
    if let Some(column) = table.column_mut(place) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn print(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
