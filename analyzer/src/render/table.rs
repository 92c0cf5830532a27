//! Rows and briefs for people. A long answer is printed as several tables, so that memory never holds all of it.

use std::io::{self, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use model::schema::{Column, ColumnKind};
use model::{Lost, ZonedTime};
use serde_json::{Map, Value};
use terminal_size::{Width, terminal_size_of};

use super::about::{self, Facts};
use super::format::{Output, RenderError};
use super::names::Names;
use super::{escape, json};
use crate::{Answer, Brief, Cell, Row, TracerBrief};

/// Rows of one table; the widest cell among them decides the width of its column.
const ROWS_PER_TABLE: usize = 500;

/// Columns shown of a whole `Tracking`; `--columns` shows others.
const DIGEST: [&str; 6] = ["time", "tracer", "pid", "uid", "comm", "ret"];

/// A terminal that reports fewer columns than this is taken for one that does not know its width.
const NARROWEST: u16 = 40;

/// Prints an answer; returns the number of rows.
pub(super) fn rows(answer: &mut Answer<'_>, output: Output, out: &mut dyn Write) -> Result<u64, RenderError> {
    let layout = Layout::of(answer, output.numeric);
    let mut table = layout.table(output);
    let (mut held, mut count) = (0, 0);
    for row in answer.rows()? {
        if held == ROWS_PER_TABLE {
            print(&std::mem::replace(&mut table, layout.table(output)), out)?;
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

/// A table of which each line is printed at once, so that its columns can only grow.
pub(super) struct Lines {
    layout: Layout,
    widths: Vec<usize>,
}

impl Lines {
    /// Prints the header.
    pub(super) fn begin(answer: &Answer<'_>, output: Output, out: &mut dyn Write) -> io::Result<Self> {
        let layout = Layout::of(answer, output.numeric);
        let names: Vec<String> = layout.header().map(|name| escape::visible(&name).into_owned()).collect();
        let mut lines = Self { widths: vec![0; names.len()], layout };
        lines.print(&names, out)?;
        Ok(lines)
    }

    /// Prints all rows; returns their number.
    pub(super) fn rows(&mut self, answer: &mut Answer<'_>, out: &mut dyn Write) -> Result<u64, RenderError> {
        let mut count = 0;
        for row in answer.rows()? {
            let cells = self.layout.cells(&row?);
            self.print(&cells, out)?;
            count += 1;
        }
        Ok(count)
    }

    fn print(&mut self, cells: &[String], out: &mut dyn Write) -> io::Result<()> {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(&mut self.widths).enumerate() {
            let own = cell.chars().count();
            *width = own.max(*width);
            let padding = " ".repeat(*width - own);
            let is_number = self.layout.shown.get(index).is_some_and(|column| column.kind == Kind::Number);
            let (before, after) = if is_number { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.extend([" ", before, cell, after, " "]);
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// Prints the tracers that have something to show, or `all`; returns how many are left out.
pub(super) fn brief(brief: &Brief, all: bool, output: Output, out: &mut dyn Write) -> io::Result<usize> {
    let names = ["tracer", "collector", "rows", "first", "last", "seen", "stored", "filtered", "lost"];
    let mut table = new_table(output, &names.map(str::to_owned));
    for index in [2, 5, 6, 7] {
        right(&mut table, index);
    }
    let (shown, left_out): (Vec<_>, Vec<_>) =
        brief.tracers.iter().partition(|tracer| all || !tracer.is_quiet());
    for tracer in shown {
        table.add_row(brief_row(tracer));
    }
    print(&table, out)?;
    Ok(left_out.len())
}

fn brief_row(tracer: &TracerBrief) -> Vec<String> {
    // To the second: the table has many columns, and JSON has the rest.
    let time = |time: &Option<ZonedTime>| {
        let text = time.map(ZonedTime::to_local_text);
        let parts = text.as_deref().and_then(|text| Some((text.get(..19)?, text.get(26..)?)));
        parts.map_or_else(|| "-".to_owned(), |(seconds, offset)| format!("{seconds}{offset}"))
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
    let points = [("ring", lost.ring), ("decode", lost.decode), ("queue", lost.queue), ("sink", lost.sink)];
    let points =
        points.iter().filter(|(_, count)| *count > 0).map(|(point, count)| format!("{point} {count}"));
    match lost.total() {
        0 => "0".to_owned(),
        total => format!("{total} ({})", points.collect::<Vec<_>>().join(", ")),
    }
}

/// The cells of a row that are shown, and how.
struct Layout {
    shown: Vec<Shown>,
    /// Indexes of the columns that the phrase in a last column is made from; `None` for an answer that names its columns.
    about: Option<About>,
    names: Names,
}

/// A column that is shown.
struct Shown {
    name: String,
    index: usize,
    kind: Kind,
}

/// How a cell is written.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    User,
    Group,
}

/// Indexes of columns.
struct About {
    tracer: usize,
    path: usize,
    count: usize,
    extended: usize,
}

impl Layout {
    /// The columns that were named; of a whole `Tracking`, its digest and the phrase.
    fn of(answer: &Answer<'_>, numeric: bool) -> Self {
        let columns = answer.columns();
        let index = |name: &str| columns.iter().position(|column| column.name == name);
        let whole = columns.iter().map(|column| column.name.as_str()).eq(crate::query::tracking_names());
        let about = || {
            let (tracer, path) = (index("tracer")?, index("fname")?);
            Some(About { tracer, path, count: index("count")?, extended: index("extended")? })
        };
        let about = if whole { about() } else { None };
        let indexes: Vec<usize> = match about {
            Some(_) => DIGEST.iter().filter_map(|name| index(name)).collect(),
            None => (0..columns.len()).collect(),
        };
        let shown = indexes.into_iter().map(|index| {
            let column = &columns[index];
            let kind = match (column.kind, Column::named(&column.name)) {
                (ColumnKind::Integer, Some(Column::Uid)) if !numeric => Kind::User,
                (ColumnKind::Integer, Some(Column::Gid)) if !numeric => Kind::Group,
                (ColumnKind::Integer, _) => Kind::Number,
                _ => Kind::Text,
            };
            Shown { name: column.name.clone(), index, kind }
        });
        Self { shown: shown.collect(), about, names: Names::new(numeric) }
    }

    fn header(&self) -> impl Iterator<Item = String> {
        let names = self.shown.iter().map(|column| column.name.clone());
        names.chain(self.about.iter().map(|_| "about".to_owned()))
    }

    fn table(&self, output: Output) -> Table {
        let names: Vec<String> = self.header().collect();
        let mut table = new_table(output, &names);
        for (index, column) in self.shown.iter().enumerate() {
            if column.kind == Kind::Number {
                right(&mut table, index);
            }
        }
        table
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let cell = |column: &Shown| match (column.kind, &row.cells[column.index]) {
            (Kind::User, Cell::Integer(uid)) => escape::visible(&self.names.user(*uid)).into_owned(),
            (Kind::Group, Cell::Integer(gid)) => escape::visible(&self.names.group(*gid)).into_owned(),
            (_, cell) => text(cell),
        };
        let mut cells: Vec<String> = self.shown.iter().map(cell).collect();
        cells.extend(self.about.as_ref().map(|about| self.phrase(about, row)));
        cells
    }

    fn phrase(&self, about: &About, row: &Row) -> String {
        let none = Map::new();
        let fields = match &row.cells[about.extended] {
            Cell::Json(Value::Object(fields)) => fields,
            _ => &none,
        };
        let text = |index: usize| match &row.cells[index] {
            Cell::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let count = match row.cells[about.count] {
            Cell::Integer(count) => Some(count),
            _ => None,
        };
        let (tracer, path) = (text(about.tracer).unwrap_or_default(), text(about.path));
        about::phrase(&Facts { tracer, path, count, fields, names: &self.names })
    }
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Null | Cell::Json(Value::Null) => String::new(),
        Cell::Time(at) => at.to_local_text(),
        Cell::Text(text) | Cell::Json(Value::String(text)) => escape::visible(text).into_owned(),
        Cell::Bytes(bytes) => model::text::hex(bytes),
        cell => json::text(cell),
    }
}

pub(super) fn new_table(output: Output, names: &[String]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    match output.terminal {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(names.iter().map(|name| escape::visible(name).into_owned()));
    table
}

/// Returns the width of the terminal, if it reports a useful one.
pub fn terminal_width() -> Option<u16> {
    let (Width(width), _) = terminal_size_of(io::stdout())?;
    // Serial consoles report 0.
    Some(width).filter(|width| *width >= NARROWEST)
}

pub(super) fn right(table: &mut Table, index: usize) {
    if let Some(column) = table.column_mut(index) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

pub(super) fn print(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
