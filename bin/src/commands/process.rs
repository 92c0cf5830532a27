//! `process`: shows the ancestors of a process, what it did, and the processes that it made.

use std::io::{self, BufWriter};

use analyzer::process::Found;
use analyzer::render::{self, Format};
use analyzer::{Condition, Envelope, ProcessQuery, Query, Store, Which, when};
use clap::Args;
use serde_json::json;

use super::asked::{Asked, rendered};
use super::query::{damage, failure, open_at_one_moment, stdout};
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};

/// Examples in the help of the command.
pub(crate) const EXAMPLES: &str = "Examples:
  duetector-actors process 4711                          the process with this pid
  duetector-actors process 4711 --at '2026-01-31 12:00'  the one that had this pid at that time
  duetector-actors process 4711-98765432100 --timeline   all rows of a process, in order of time
  duetector-actors process --comm train.py --since -1h   the process with this command name";

/// Number of processes that are listed if several are meant.
const LISTED: usize = 20;

/// Options of `process`.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["id", "comm", "container"])]
pub(crate) struct ProcessArgs {
    /// The process: its pid, or its exec_id as `uses` shows it
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Only a process that lived at this time, written as for --since. For a pid that several processes had
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// Only a process with this command name (comm, at most 15 bytes)
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// Only a process of the container with this name or id
    #[arg(long, value_name = "CONTAINER")]
    container: Option<String>,
    /// Print all rows of the process in order of time, as `query` does. By default they are summed up
    #[arg(long)]
    timeline: bool,
    #[command(flatten)]
    asked: Asked,
    /// Show users and groups by number. By default, tables show the names that this machine has for them
    #[arg(long)]
    numeric: bool,
    /// Format of the answer: table or json; with --timeline also jsonl (one object per line) or csv
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

/// Prints the answer.
pub(crate) fn run(common: &Common, args: &ProcessArgs) -> Outcome {
    if !args.timeline && matches!(args.format, Format::Csv | Format::Jsonl) {
        return Err(Failure::Usage(anyhow::anyhow!(
            "the formats jsonl and csv are for --timeline: use table or json"
        )));
    }
    let which = which(args)?;
    let (span, zone) = (args.asked.span()?, args.asked.zone());
    let store = open_at_one_moment(common)?;
    let question = json!({
        "command": "process", "exec_id": which.exec_id, "pid": which.pid, "comm": which.comm, "container": which.container,
    });
    let query = ProcessQuery { which, span, zone: zone.clone() };
    let (answer, evidence) = match query.run(&store).map_err(failure)? {
        Found::One(answer, evidence) => (*answer, *evidence),
        Found::Several(processes) if processes.is_empty() => {
            damage(&store)?;
            return Err(Failure::failed("no row of this time names such a process"));
        }
        Found::Several(processes) => return Err(several(&render::process_lines(&processes))),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.timeline {
        let exec_id = answer.process.exec_id.unwrap_or_default();
        return timeline(&store, &exec_id, args, &mut out);
    }
    let answer =
        Envelope::new(&store, ("process/1", question, &zone), (span, evidence), answer).map_err(failure)?;
    rendered(render::process(&answer, args.format, stdout(args.numeric), &mut out))?;
    damage(&store)
}

fn which(args: &ProcessArgs) -> Result<Which, Failure> {
    let named = args.id.as_deref().map(Which::parse).transpose().map_err(failure)?.unwrap_or_default();
    let at = args.at.as_deref().map(|text| when::since(text, &when::now())).transpose().map_err(failure)?;
    Ok(Which { comm: args.comm.clone(), container: args.container.clone(), at, ..named })
}

fn several(lines: &[String]) -> Failure {
    let mut text = format!("{} processes are meant; name one by its exec_id, or --at a time:", lines.len());
    lines.iter().take(LISTED).for_each(|line| text.extend(["\n  ", line]));
    if lines.len() > LISTED {
        text.push_str("\n  …");
    }
    Failure::failed(text)
}

/// Prints all rows of a process in order of time.
fn timeline(store: &Store, exec_id: &str, args: &ProcessArgs, out: &mut impl io::Write) -> Outcome {
    let span = args.asked.span()?;
    let query = Query {
        wheres: vec![Condition::equal("exec_id", exec_id)],
        since: Some(span.since).filter(|since| *since > i64::MIN),
        until: Some(span.until).filter(|until| *until < i64::MAX),
        limit: 0,
        ..Query::default()
    };
    let mut answer = store.query(&query).map_err(failure)?;
    rendered(render::rows(&mut answer, args.format, stdout(args.numeric), out).map(|_| ()))?;
    damage(store)
}
