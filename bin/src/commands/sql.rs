//! `sql`: runs a statement of SQL on the store and prints its rows.

use std::io::{self, BufWriter, Read as _, Write};
use std::time::Duration;

use analyzer::render::{self, Format};
use analyzer::sql::Limits;
use analyzer::{Answer, Sql};
use anyhow::Context as _;
use clap::Args;
use model::Size;

use super::query::{damage, failure, open, stdout};
use crate::cli_common::{Common, parse_duration};
use crate::exit::{Failure, Outcome};
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
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["text", "tables"])]
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
    /// Format of the rows: table, json (one array), jsonl (one object per line) or csv
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

/// Least memory that SQLite can work with.
const LEAST_MEMORY: Size = Size(8 << 20);

fn parse_memory(text: &str) -> Result<Size, String> {
    let size = text.parse::<Size>().map_err(|cause| cause.to_string())?;
    if size < LEAST_MEMORY { Err(format!("expected at least {LEAST_MEMORY}")) } else { Ok(size) }
}

/// Prints the rows.
pub(crate) fn run(common: &Common, args: &SqlArgs) -> Outcome {
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
    let progress = Progress::of(sql.meter());
    let mut out = BufWriter::new(Uncovered { out: io::stdout().lock(), progress });
    print(&mut answer, args, &mut out)?;
    drop(out);
    damage(sql.store())
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

fn print(answer: &mut Answer<'_>, args: &SqlArgs, out: &mut dyn Write) -> Outcome {
    match render::rows(answer, args.format, stdout(args.numeric), out) {
        Ok(_) => Ok(()),
        Err(error) if error.is_broken_pipe() => Ok(()),
        Err(render::RenderError::Read(error)) => {
            // The rows before the error are printed first.
            let _ = out.flush();
            Err(failure(error))
        }
        Err(error) => Err(Failure::Failed(error.into())),
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
