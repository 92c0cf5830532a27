//! `lineage`: where data can have gone, and where they can have come from.

use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use analyzer::lineage::format::{self, Format, Frame};
use analyzer::lineage::{Ask, Bounds, Deadline, Question, World, is_common};
use analyzer::when;
use clap::Args;
use model::Size;
use serde_json::json;

use super::query::{damage, failure, open};
use crate::cli_common::{Common, parse_duration};
use crate::exit::{Failure, Outcome};

/// Options of `lineage`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LineageArgs {
    /// A file (path, folder/, pattern, id:DEV:INO[:GENERATION], label:NAME), or what an answer names: process:EXEC_ID, address:HOST[:PORT], socket:…
    #[arg(value_name = "TARGET")]
    target: String,
    /// Ask where the data can have come from
    #[arg(long, conflicts_with_all = ["down", "both", "to"])]
    up: bool,
    /// Ask where the data can have gone. This is the default
    #[arg(long, conflicts_with_all = ["both", "to"])]
    down: bool,
    /// Ask both
    #[arg(long, conflicts_with = "to")]
    both: bool,
    /// Ask for all ways from TARGET to this, which is written as TARGET is
    #[arg(long, value_name = "TARGET")]
    to: Option<String>,
    /// Only data that moved from this time on, for example 2026-01-31, "2026-01-31 12:00:05", -10m or "1h ago"
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only data that moved until this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Do not follow flows of fewer bytes, for example 1000 or 1MiB
    #[arg(long, value_name = "SIZE")]
    min_bytes: Option<Size>,
    /// Follow at most this many flows one after the other
    #[arg(long, value_name = "N")]
    depth: Option<u32>,
    /// Do not go on from files with such a path (a path, folder/ or pattern). May be repeated. "common" stands for files that nearly all
    /// programs use, such as those of /usr and /etc, "none" for no file. Default: common
    #[arg(long, value_name = "PATTERN")]
    boundary: Vec<String>,
    /// Do not go on from what more than this many others read or wrote; 0: no limit
    #[arg(long, value_name = "N", default_value_t = 5000)]
    hub: usize,
    /// Stop after this many flows (a number) or this time (for example 2s). May be given twice
    #[arg(long, value_name = "N|TIME", value_parser = parse_budget)]
    budget: Vec<Budget>,
    /// Show at most this many nodes in a tree
    #[arg(long, value_name = "N", default_value_t = 500)]
    limit: usize,
    /// Show times in UTC
    #[arg(long)]
    utc: bool,
    /// Format of the answer: tree, json, dot, svg, mermaid, prov (PROV-JSON) or openlineage (events, one a line)
    #[arg(long, default_value = "tree", value_name = "FORMAT")]
    format: Format,
}

const EXAMPLES: &str = "Examples:
  duetector-actors lineage /data/train.csv                 where did the data set go?
  duetector-actors lineage --up /srv/model.bin             what was this file made of?
  duetector-actors lineage /data/train.csv --to address:203.0.113.7
  duetector-actors lineage --both process:1234-567890 --format svg > job.svg";

/// A limit of the work.
#[derive(Clone, Copy, Debug)]
enum Budget {
    Edges(u64),
    Time(Duration),
}

fn parse_budget(text: &str) -> Result<Budget, String> {
    match text.parse() {
        Ok(edges) => Ok(Budget::Edges(edges)),
        Err(_) => parse_duration(text).map(Budget::Time),
    }
}

/// Prints the answer.
pub(crate) fn run(common: &Common, args: &LineageArgs) -> Outcome {
    let now = when::now();
    let since = args.since.as_deref().map(|text| when::since(text, &now)).transpose().map_err(failure)?;
    let until = args.until.as_deref().map(|text| when::until(text, &now)).transpose().map_err(failure)?;
    let span = (since.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
    let store = open(common)?;
    let world = World::read(&store, span).map_err(failure)?;
    let targets = nodes(&world, &args.target)?;
    let ask = match &args.to {
        Some(to) => Ask::To(nodes(&world, to)?),
        None if args.up => Ask::Up,
        None if args.both => Ask::Both,
        None => Ask::Down,
    };
    let bounds = bounds(&world, args)?;
    let answer = world.answer(&Question { targets, ask, span, bounds });
    let envelope = json!({"schema": "lineage/1", "query": {"target": args.target}});
    let envelope = envelope.as_object().cloned().unwrap_or_default();
    let frame = Frame { envelope, most: args.limit, ..Frame::new(&now, args.utc, &world.host) };
    let mut out = BufWriter::new(io::stdout().lock());
    match format::write(&answer, &frame, args.format, &mut out).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::Failed(anyhow::Error::new(cause).context("writing to stdout")));
        }
        _ => {}
    }
    damage(&store)
}

fn nodes(world: &World, text: &str) -> Result<Vec<u32>, Failure> {
    let is_id = ["process:", "address:", "socket:", "pipe:", "fifo:", "queue:", "file:"]
        .iter()
        .any(|kind| text.starts_with(kind));
    let found = if is_id {
        world.identified(text)
    } else {
        world.files_named(|path| path == text || (text.ends_with('/') && path.starts_with(text)))
    };
    if found.is_empty() {
        return Err(Failure::failed(format!("nothing is recorded of {text:?}")));
    }
    Ok(found)
}

fn bounds(world: &World, args: &LineageArgs) -> Result<Bounds, Failure> {
    let patterns: Vec<&str> = if args.boundary.is_empty() {
        vec!["common"]
    } else {
        args.boundary.iter().map(String::as_str).collect()
    };
    let marked = world.marked(|path| {
        patterns.iter().any(|pattern| match *pattern {
            "common" => is_common(path),
            "none" => false,
            pattern => path == pattern || (pattern.ends_with('/') && path.starts_with(pattern)),
        })
    });
    let mut bounds = Bounds {
        min_bytes: args.min_bytes.map_or(0, |size| size.0),
        depth: args.depth,
        hub: (args.hub > 0).then_some(args.hub),
        boundary: marked,
        ..Bounds::default()
    };
    for budget in &args.budget {
        match budget {
            Budget::Edges(edges) => bounds.edges = Some(*edges),
            Budget::Time(time) => bounds.deadline = Deadline::after(*time),
        }
    }
    Ok(bounds)
}
