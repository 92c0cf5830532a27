//! `tracers cache NAME`: shows, sets or clears the cache of a shell tracer. The cache holds the output of the last run;
//! lines of the next run that are in it are not stored again.

use std::path::PathBuf;

use analyzer::render::escape;

use crate::cli_common::Common;
use crate::control::{Cache, Change, Request, fetch_answer};
use crate::exit::{Failure, Outcome};
use crate::output::{self, Output, to_json};

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
    /// in the file are not stored
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Format of the output
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

/// Requests the cache from the running agent and prints it.
pub(crate) fn run(common: &Common, args: &CacheArgs) -> Outcome {
    let change = match &args.load {
        Some(file) => Change::Set(read(file)?),
        None if args.clear => Change::Clear,
        None => Change::Keep,
    };
    let request = Request::Cache { tracer: args.name.clone(), change };
    let cache: Cache = fetch_answer(&common.workdir()?, &request)?;
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
