//! `sql`: runs a statement of SQL on the store and prints its rows.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use analyzer::render::{self, Format, Output, RenderError};
use analyzer::sql::Limits;
use analyzer::{Answer, Sql};
use anyhow::Context as _;
use clap::Args;
use clap_complete::ArgValueCandidates;
use model::Size;

use super::query::{damage, failure, open, stdout};
use crate::cli_common::{Common, parse_duration};
use crate::completion;
use crate::exit::{Failure, Outcome};
use crate::new_file::NewFile;
use crate::output::complain;
use crate::progress::{Progress, stop_on_interrupt};

/// Options of `sql`.
#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    /// The statement: one SELECT, as SQLite understands it. "-" reads it from stdin
    #[arg(value_name = "TEXT", required_unless_present_any = ["tables", "describe"])]
    text: Option<String>,
    /// List the tables and views. There is a table for each tracer, and the views events, processes, files and losses
    #[arg(long, conflicts_with = "text")]
    tables: bool,
    /// List the columns of this table or view
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["text", "tables"], add = ArgValueCandidates::new(completion::tables))]
    describe: Option<String>,
    /// Stop after this time, for example 5m; 0s: no limit. The time in which rows are printed does not count
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    timeout: Duration,
    /// Stop if SQLite needs more than this memory. Sorting and grouping write to the work folder before that, or, if it
    /// can't be written, to the system's folder for temporary files
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_memory)]
    memory: Size,
    /// Show the numbers of users and groups in columns named uid and gid. By default, tables show the names that this
    /// machine has for them; other formats always have the numbers
    #[arg(long)]
    numeric: bool,
    /// Format of the rows: table, json (one array), jsonl (one object per line), csv, or parquet, which needs --output or a pipe
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: SqlFormat,
    /// Write the rows to this file, which must not exist. It appears when it is complete
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// A format of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SqlFormat {
    Text(Format),
    Parquet,
}

impl FromStr for SqlFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "parquet" {
            return Ok(Self::Parquet);
        }
        text.parse()
            .map(Self::Text)
            .map_err(|_: String| format!("expected table, json, jsonl, csv or parquet, found {text:?}"))
    }
}

/// Least memory that SQLite can work with.
const LEAST_MEMORY: Size = Size(8 << 20);

fn parse_memory(text: &str) -> Result<Size, String> {
    let size = text.parse::<Size>().map_err(|cause| cause.to_string())?;
    if size < LEAST_MEMORY { Err(format!("expected at least {LEAST_MEMORY}")) } else { Ok(size) }
}

/// Prints the rows.
pub(crate) fn run(common: &Common, args: &SqlArgs) -> Outcome {
    if args.format == SqlFormat::Parquet && args.output.is_none() && io::stdout().is_terminal() {
        return Err(Failure::Usage(anyhow::anyhow!(
            "Parquet is not for terminals: name a file with --output, or use a pipe"
        )));
    }
    let text = args.text.as_deref().map(read_text).transpose()?;
    let limits = Limits {
        timeout: (!args.timeout.is_zero()).then_some(args.timeout),
        memory: Some(args.memory.0),
        spill: Some(common.workdir()?),
    };
    let sql = Sql::new(open(common)?, limits).map_err(failure)?;
    stop_on_interrupt(sql.meter());
    let mut answer = match (&text, &args.describe) {
        (Some(text), _) => sql.query(text),
        (None, Some(table)) => sql.describe(table),
        (None, None) => sql.tables(),
    }
    .map_err(failure)?;
    let progress = Progress::of(sql.meter(), "read");
    match (&args.output, args.format) {
        (Some(path), format) => to_file(&mut answer, path, (format, args.numeric), progress)?,
        (None, SqlFormat::Text(format)) => {
            let mut out = BufWriter::new(Uncovered { out: io::stdout().lock(), progress });
            print(&mut answer, (format, stdout(args.numeric)), &mut out)?;
        }
        (None, SqlFormat::Parquet) => parquet_to_stdout(&mut answer, &common.workdir()?, progress)?,
    }
    damage(sql.store())
}

/// Writes the rows to a new file.
fn to_file(
    answer: &mut Answer<'_>,
    path: &Path,
    (format, numeric): (SqlFormat, bool),
    progress: Option<Progress>,
) -> Outcome {
    let file = NewFile::begin(path)?;
    let rows = match format {
        SqlFormat::Parquet => render::parquet(answer, file.file()),
        SqlFormat::Text(format) => {
            let mut out = BufWriter::new(file.file());
            render::rows(answer, format, Output { terminal: None, numeric, evidence: false }, &mut out)
        }
    };
    let rows = rows.map_err(failed)?;
    file.finish()?;
    drop(progress);
    complain(&format!("{rows} rows written to {}", path.display()));
    Ok(())
}

/// Writes the rows to stdout after all were read, because a column's type is known only then.
fn parquet_to_stdout(answer: &mut Answer<'_>, workdir: &Path, progress: Option<Progress>) -> Outcome {
    let file = tempfile::tempfile_in(workdir).or_else(|_| tempfile::tempfile());
    let mut file: File = file.context("making a temporary file")?;
    render::parquet(answer, &file).map_err(failed)?;
    drop(progress);
    file.rewind().context("reading the temporary file")?;
    match io::copy(&mut file, &mut io::stdout().lock()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::Error::new(cause).context("writing to stdout")))
        }
        _ => Ok(()),
    }
}

/// Returns the statement: the argument, or what stdin has.
fn read_text(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("reading the statement from stdin")?;
    Ok(text)
}

fn print(answer: &mut Answer<'_>, (format, output): (Format, Output), out: &mut dyn Write) -> Outcome {
    match render::rows(answer, format, output, out) {
        Ok(_) => Ok(()),
        Err(error) if error.is_broken_pipe() => Ok(()),
        Err(error) => {
            // The rows before the error are printed first.
            let _ = out.flush();
            Err(failed(error))
        }
    }
}

fn failed(error: RenderError) -> Failure {
    match error {
        RenderError::Read(error) => failure(error),
        RenderError::Write(_) => Failure::Failed(error.into()),
    }
}

/// Stdout, which the progress gives way to.
struct Uncovered<W> {
    out: W,
    progress: Option<Progress>,
}

impl<W: Write> Write for Uncovered<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.progress = None;
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
