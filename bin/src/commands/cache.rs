//! `tracers cache NAME`: shows, sets or clears the cache of a shell tracer. The cache holds the output of the last run;
//! lines of the next run that are in it are not stored again.

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

/// Size limit of a cache file in bytes, so that it fits into a request on the control socket.
const LARGEST: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct CacheArgs {
    /// Name of the shell tracer in `status`
    name: String,
    /// Empty the cache: everything that the next run prints is stored
    #[arg(long, conflicts_with = "load")]
    clear: bool,
    /// Replace the content of the cache with the text of this file (UTF-8, at most 1 MiB): lines of the next run that are
    /// in the file are then not stored
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Change to make before the cache is returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// Leave the cache as it is.
    Keep,
    /// Empty the cache.
    Clear,
    /// Replace the cache by this text.
    Set(String),
}

/// The content of a cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cache {
    tracer: String,
    /// The cached output; none before the first run and after clearing.
    output: Option<String>,
    /// The exact bytes in hexadecimal, if they are not valid UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<String>,
}

/// Requests the cache from the running agent and prints it.
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
            output::complain(&format!("the cache of tracer {} is empty", cache.tracer));
            Ok(())
        }
    }
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let wrong = |why: String| Failure::failed(format!("reading {}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|cause| wrong(cause.to_string()))?;
    if bytes.len() > LARGEST {
        return Err(wrong(format!("it has {} bytes, at most {LARGEST} are allowed", bytes.len())));
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8 text".to_owned()))
}

/// Answers the request in the running agent.
pub(crate) async fn answer(monitor: &Monitor, tracer: String, change: Change) -> Result<Cache, String> {
    let name = TracerName::new(&tracer);
    let Some(shell) = monitor.shell(&name) else {
        return Err(if monitor.tracers().iter().any(|tracer| tracer.name == name) {
            format!("tracer {tracer:?} has no cache: only shell tracers have a cache")
        } else {
            format!("no shell tracer {tracer:?}: `duetector-actors tracers` shows the kind of each")
        });
    };
    let in_words = |cause: AskError| cause.to_string();
    match change {
        Change::Keep => {}
        Change::Clear => shell.ask(ClearCache).await.map_err(in_words)?,
        Change::Set(text) => shell.ask(SetCache(text.into_bytes())).await.map_err(in_words)?,
    }
    let text = shell.ask(GetCache).await.map_err(in_words)?.map(|bytes| Text::from_bytes(&bytes));
    Ok(Cache {
        tracer,
        output: text.as_ref().map(|text| text.as_str().to_owned()),
        output_bytes: text.and_then(|text| text.raw_hex()),
    })
}
