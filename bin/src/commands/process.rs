//! `process`: shows the ancestors of a process, what it did, and the processes that it made.

use std::ffi::OsString;
use std::io::{self, BufWriter};

use analyzer::process::{Answer, Found};
use analyzer::render::{self, Format};
use analyzer::{Condition, Envelope, Evidence, ProcessQuery, Query, Store, Which, when};
use clap::Args;
use serde_json::json;

use super::asked::{Absent, Asked, rendered, several, subject};
use super::query::{damage, failure, open_at_one_moment, stdout};
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};

/// Examples in the help of the command.
pub(crate) const EXAMPLES: &str = "Examples:
  duetector-actors process 4711                          the process with this pid
  duetector-actors process 4711 --at '2026-01-31 12:00'  the one that had this pid at that time
  duetector-actors process 4711-98765432100 --timeline   all rows of a process, in order of time
  duetector-actors process 'gzip[4711]'                  the same, as answers print processes
  duetector-actors process --comm train.py --since -1h   the process with this command name

Exit codes: 0 with an answer, 1 if no process or more than one is meant (stderr lists them), 2 if the target is wrong.";

/// Options of `process`.
#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["id", "comm", "container"])]
pub(crate) struct ProcessArgs {
    /// The process: its pid, its exec_id, its name, or NAME[PID] as answers print it; also pid:PID, exec:EXEC_ID, comm:NAME
    #[arg(value_name = "TARGET")]
    id: Option<OsString>,
    /// Only a process that lived at this time, written as for --since. For a pid that several processes had
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// Only a process with this command name (comm, at most 15 bytes), or whose program's file has this name
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
    let (answer, evidence, absent) = match query.run(&store).map_err(failure)? {
        Found::One(answer, evidence) => (*answer, *evidence, None),
        Found::Several(candidates) => return Err(several(&query.which, &candidates)),
        Found::Nothing(evidence) => {
            damage(&store)?;
            let absent = nothing(args, &store, &query.which, &evidence);
            if args.timeline || args.format != Format::Json {
                return Err(absent);
            }
            (Answer::default(), *evidence, Some(absent))
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.timeline {
        let exec_id = answer.process.exec_id.unwrap_or_default();
        return timeline(&store, &exec_id, args, &mut out);
    }
    let answer =
        Envelope::new(&store, ("process/1", question, &zone), (span, evidence), answer).map_err(failure)?;
    let output = render::Output { evidence: args.asked.evidence, ..stdout(args.numeric) };
    rendered(render::process(&answer, args.format, output, &mut out))?;
    damage(&store)?;
    absent.map_or(Ok(()), Err)
}

/// Returns the failure that nothing is recorded of the process.
fn nothing(args: &ProcessArgs, store: &Store, which: &Which, evidence: &Evidence) -> Failure {
    let why = "no row is of such a process";
    let span = args.asked.span().unwrap_or_default();
    args.asked.nothing(store, &Absent { what: &which.to_string(), why, span, hints: Vec::new() }, evidence)
}

fn which(args: &ProcessArgs) -> Result<Which, Failure> {
    let named = args.id.as_deref().map(|id| subject(id)?.process().map_err(failure)).transpose()?;
    let named = named.unwrap_or_default();
    let at = args.at.as_deref().map(|text| when::since(text, &when::now())).transpose().map_err(failure)?;
    Ok(Which { comm: args.comm.clone().or(named.comm), container: args.container.clone(), at, ..named })
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
