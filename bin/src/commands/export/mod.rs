//! `export`: writes rows to files of other formats, or to stdout.

mod folder;
mod parquet;
mod through_sink;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use analyzer::render::{self, Format};
use analyzer::{Query, Store};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use collector::Synchronous;
use collector::sink::sqlite::Sqlite;
use model::schema::COLUMNS;

use super::query::{damage, failure, open, undecided};
use super::selection::Selection;
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::progress::{Progress, stop_on_interrupt};
use folder::NewFolder;
use through_sink::Source;

/// Name of the file of duetector's layout, as duetector has it.
const FILE: &str = "duetector-dbcollector.sqlite3";

/// Options of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The folder to make, which must not exist or be empty; or `-` for stdout
    target: PathBuf,
    /// Format of the files: csv or jsonl, with one file for each tracer; parquet, with one file for each tracer and collector; or
    /// sqlite, one file of duetector's layout, which Python duetector's analyzer reads
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: ExportFormat,
    #[command(flatten)]
    selection: Selection,
}

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    Csv,
    Jsonl,
    Parquet,
    Sqlite,
}

/// Writes the rows.
pub(crate) fn run(common: &Common, args: &ExportArgs) -> Outcome {
    let query = args.query(common)?;
    args.selection.warn();
    let mut store = open(common)?;
    let meter = store.watched().map_err(failure)?;
    stop_on_interrupt(meter.clone());
    let progress = Progress::of(meter, "exported");
    // All tracers as of one moment.
    let _moment = store.moment().map_err(failure)?;
    if args.target == Path::new("-") {
        // A line of progress would stand between the rows if they are printed on a terminal, too.
        let progress = progress.filter(|_| !io::stdout().is_terminal());
        to_stdout(&store, &query, args.format)?;
        drop(progress);
    } else {
        let sources = sources(&store, &query)?;
        let folder = NewFolder::begin(&args.target)?;
        let rows = match args.format {
            ExportFormat::Csv => per_tracer(&store, &query, &sources, &folder, Format::Csv)?,
            ExportFormat::Jsonl => per_tracer(&store, &query, &sources, &folder, Format::Jsonl)?,
            ExportFormat::Parquet => parquet::write(&store, &query, &sources, &folder)?,
            ExportFormat::Sqlite => {
                let make = |run| Box::new(Sqlite::new(folder.path(FILE), Synchronous::Off, run)) as _;
                through_sink::write(&store, &query, &sources, make)?
            }
        };
        folder.finish()?;
        drop(progress);
        output::complain(&format!("{rows} rows exported to {}", args.target.display()));
    }
    damage(&store)
}

impl ExportArgs {
    fn query(&self, common: &Common) -> Result<Query, Failure> {
        let columns =
            ["tracer", "collector_id"].into_iter().chain(COLUMNS.iter().map(|column| column.name()));
        let columns = columns.map(str::to_owned).collect();
        self.selection.query(common, Query { columns, limit: 0, ..Query::default() })
    }
}

/// Returns what the store has rows of, in order.
fn sources(store: &Store, query: &Query) -> Result<Vec<Source>, Failure> {
    let tables = store.tables().map_err(failure)?;
    let mut sources: Vec<Source> =
        tables.into_iter().map(|table| (table.tracer, table.collector_id)).collect();
    sources.retain(|(tracer, _)| query.tracers.is_empty() || query.tracers.contains(tracer));
    sources.sort();
    sources.dedup();
    Ok(sources)
}

fn to_stdout(store: &Store, query: &Query, format: ExportFormat) -> Outcome {
    let format = match format {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Jsonl => Format::Jsonl,
        ExportFormat::Parquet | ExportFormat::Sqlite => {
            return Err(Failure::Usage(anyhow::anyhow!(
                "--format parquet and --format sqlite need a folder: their files can't be written to stdout"
            )));
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match write(store, query, format, &mut out) {
        Err(error) if !error.is_broken_pipe() => Err(Failure::Failed(error.into())),
        _ => Ok(()),
    }
}

/// Writes a file for each tracer that has rows; returns the number of rows.
fn per_tracer(
    store: &Store,
    query: &Query,
    sources: &[Source],
    folder: &NewFolder,
    format: Format,
) -> Result<u64, Failure> {
    let mut tracers: Vec<&String> = sources.iter().map(|(tracer, _)| tracer).collect();
    tracers.dedup();
    let ending = if format == Format::Csv { "csv" } else { "jsonl" };
    let mut total = 0;
    for tracer in tracers {
        let query = Query { tracers: vec![tracer.clone()], ..query.clone() };
        let (name, file) = folder.file(tracer, ending)?;
        let mut out = BufWriter::new(&file);
        let rows = write(store, &query, format, &mut out).context("exporting rows")?;
        out.flush().and_then(|()| file.sync_all()).with_context(|| format!("writing {}", name.display()))?;
        drop(out);
        if rows == 0 {
            folder.remove(&name)?;
        }
        total += rows;
    }
    Ok(total)
}

/// Writes rows and returns their number.
fn write(
    store: &Store,
    query: &Query,
    format: Format,
    out: &mut impl Write,
) -> Result<u64, render::RenderError> {
    let mut answer = store.query(query)?;
    let file = render::Output { terminal: None, numeric: true, evidence: false };
    let rows = render::rows(&mut answer, format, file, out)?;
    undecided(&answer);
    Ok(rows as u64)
}
