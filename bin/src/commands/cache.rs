//! `tracers cache NAME`: what a shell tracer's last run brought, whose like is not stored again; shown, set, cleared.

use std::path::PathBuf;

use actors::AskError;
use analyzer::render::escape;
use model::{Text, TracerName};
use serde::{Deserialize, Serialize};
use shell_monitor::{ClearCache, GetCache, Monitor, SetCache};

use crate::cli::Output;
use crate::cli_common::Common;
use crate::commands::control::{self, to_json};
use crate::control::Request;
use crate::exit::{Failure, Outcome};
use crate::output;

/// Largest file whose text can be set: it has to fit into a request.
const LARGEST: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct CacheArgs {
    /// The tracer's name in `status`
    name: String,
    /// Forget it: all of the next run's output is stored
    #[arg(long, conflicts_with = "load")]
    clear: bool,
    /// Put this file's text in its place: what the next run has beyond it is stored
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// How the answer looks
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// What is to be done before the cache is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// Nothing.
    Keep,
    /// It is to be empty.
    Clear,
    /// It is to hold this.
    Set(String),
}

/// A cache as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cache {
    tracer: String,
    /// Nothing, when it is empty: no run yet, or cleared.
    output: Option<String>,
    /// The exact bytes in hex, where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<String>,
}

/// Asks the running agent, and shows what it says.
pub(crate) fn run(common: &Common, args: &CacheArgs) -> Outcome {
    let change = match &args.load {
        Some(file) => Change::Set(read(file)?),
        None if args.clear => Change::Clear,
        None => Change::Keep,
    };
    let request = Request::Cache { tracer: args.name.clone(), change };
    let cache: Cache = control::fetch_answer(&common.workdir()?, &request)?;
    match (args.format, &cache.output) {
        (Output::Json, _) => output::print(&to_json(&cache)?),
        (Output::Table, Some(text)) => {
            let lines: Vec<_> = text.lines().map(escape::visible).collect();
            output::print(&lines.join("\n"))
        }
        (Output::Table, None) => {
            output::complain(&format!("the cache of {} is empty", cache.tracer));
            Ok(())
        }
    }
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let wrong = |why: String| Failure::failed(format!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|cause| wrong(cause.to_string()))?;
    if bytes.len() > LARGEST {
        return Err(wrong(format!("expected at most {LARGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| wrong("expected UTF-8 text".to_owned()))
}

/// What the running agent answers.
pub(crate) async fn answer(monitor: &Monitor, tracer: String, change: Change) -> Result<Cache, String> {
    let name = TracerName::new(&tracer);
    let Some(shell) = monitor.shell(&name) else {
        return Err(if monitor.tracers().iter().any(|tracer| tracer.name == name) {
            format!("tracer {tracer:?} runs no command again and again: only shell tracers have a cache")
        } else {
            format!("no shell tracer {tracer:?}: `tracers` lists them")
        });
    };
    let told = |cause: AskError| cause.to_string();
    match change {
        Change::Keep => {}
        Change::Clear => shell.ask(ClearCache).await.map_err(told)?,
        Change::Set(text) => shell.ask(SetCache(text.into_bytes())).await.map_err(told)?,
    }
    let text = shell.ask(GetCache).await.map_err(told)?.map(|bytes| Text::from_bytes(&bytes));
    Ok(Cache {
        tracer,
        output: text.as_ref().map(|text| text.as_str().to_owned()),
        output_bytes: text.and_then(|text| text.raw_hex()),
    })
}
