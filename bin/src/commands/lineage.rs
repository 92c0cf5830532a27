//! `lineage`: where data can have gone, and where they can have come from.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use analyzer::lineage::format::{self, Format, Frame};
use analyzer::lineage::{Ask, Bounds, Deadline, NodeKind, Question, World};
use analyzer::{Envelope, Evidence, Target, render};
use anyhow::Context as _;
use clap::Args;
use model::Size;
use serde_json::json;

use super::asked::{Asked, with_labels};
use super::query::{damage, failure, open_at_one_moment};
use crate::cli_common::{Common, parse_duration};
use crate::exit::{Failure, Outcome};
use crate::output::complain;

/// Most others that read or wrote a thing at which `lineage` goes on, unless an option says otherwise.
pub(crate) const HUB: usize = 5000;

/// Options of `lineage`.
#[derive(Debug, Args)]
pub(crate) struct LineageArgs {
    /// A file (path, folder/, pattern, id:DEV:INO[:GENERATION], label:NAME), or an id from an answer: process:EXEC_ID, address:HOST[:PORT], socket:…
    #[arg(value_name = "TARGET")]
    target: OsString,
    /// Show where the data can have come from
    #[arg(long, conflicts_with_all = ["down", "both", "to"])]
    up: bool,
    /// Show where the data can have gone. This is the default
    #[arg(long, conflicts_with_all = ["both", "to"])]
    down: bool,
    /// Show where the data can have come from, and where they can have gone
    #[arg(long, conflicts_with = "to")]
    both: bool,
    /// Show all ways from the first TARGET to this one, which is written in the same form
    #[arg(long, value_name = "TARGET")]
    to: Option<OsString>,
    #[command(flatten)]
    asked: Asked,
    /// Do not follow flows of fewer bytes, for example 1000 or 1MiB
    #[arg(long, value_name = "SIZE")]
    min_bytes: Option<Size>,
    /// Show only ways of at most this many flows; with --to, so many from each end
    #[arg(long, value_name = "N")]
    depth: Option<u32>,
    /// Do not go on from files with such a path (a path, folder/ or pattern). May be repeated. "common" stands for files that nearly all
    /// programs use, such as those of /usr and /etc, "none" for no file. Default: common
    #[arg(long, value_name = "PATTERN")]
    boundary: Vec<String>,
    /// Do not go on from a file, process or the like that has flows to (with --up: from) more than this many others; 0: no limit
    #[arg(long, value_name = "N", default_value_t = HUB)]
    hub: usize,
    /// Stop the search after this many flows (a number) or this time (for example 2s). May be given twice, once for each
    #[arg(long, value_name = "N|TIME", value_parser = parse_budget)]
    budget: Vec<Budget>,
    /// Show at most this many nodes in a tree (0: no limit)
    #[arg(long, value_name = "N", default_value_t = 500)]
    limit: usize,
    /// Format of the answer: tree, json, dot, svg, mermaid, prov (PROV-JSON) or openlineage (events, one a line)
    #[arg(long, default_value = "tree", value_name = "FORMAT")]
    format: Format,
}

/// Examples in the help of the command.
pub(crate) const EXAMPLES: &str = "Examples:
  duetector-actors lineage /data/train.csv                 where can the data set have gone?
  duetector-actors lineage --up /srv/model.bin             where can its data have come from?
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
    let (span, zone) = (args.asked.span()?, args.asked.zone());
    let store = open_at_one_moment(common)?;
    let world = World::read(&store, span).map_err(failure)?;
    let targets = nodes(common, &world, &args.target)?;
    let ask = match &args.to {
        Some(to) => Ask::To(nodes(common, &world, to)?),
        None if args.up => Ask::Up,
        None if args.both => Ask::Both,
        None => Ask::Down,
    };
    let bounds = bounds(common, &world, args)?;
    let most = (args.format == Format::Tree && args.limit > 0).then_some(args.limit);
    let answer = world.answer(&Question { targets, ask, span, bounds, most }).map_err(failure)?;
    let tracers: Vec<&str> = World::tracers().collect();
    let mut evidence = Evidence::of(&store, span, &tracers).map_err(failure)?;
    for cut in &answer.cuts {
        evidence.add_cut(&answer.nodes[cut.node].about.id, cut.why.name(), cut.edges);
    }
    for (why, (nodes, edges)) in &answer.cuts_beyond {
        evidence.add_cut(&format!("{nodes} nodes that are not shown"), why.name(), *edges);
    }
    let warnings = render::warnings(&evidence);
    let mut text = Vec::new();
    render::evidence(&evidence, &mut text).context("writing the evidence")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let question = json!({
        "command": "lineage",
        "target": args.target.to_string_lossy(),
        "direction": if args.to.is_some() { "to" } else if args.up { "up" } else if args.both { "both" } else { "down" },
        "to": args.to.as_ref().map(|to| to.to_string_lossy()),
    });
    let framed = Envelope::new(&store, ("lineage/1", question, &zone), (span, evidence), ());
    let framed = serde_json::to_value(framed.map_err(failure)?).context("making the answer")?;
    let envelope = framed.as_object().cloned().unwrap_or_default();
    let frame = Frame {
        envelope,
        evidence: text,
        zone,
        host: world.host.clone(),
        most: if args.limit == 0 { usize::MAX } else { args.limit },
    };
    let mut out = BufWriter::new(io::stdout().lock());
    match format::write(&answer, &frame, args.format, &mut out).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::Failed(anyhow::Error::new(cause).context("writing to stdout")));
        }
        _ => {}
    }
    if !matches!(args.format, Format::Tree | Format::Json) {
        warnings.iter().for_each(|line| complain(&format!("warning: {line}")));
    }
    damage(&store)
}

/// Returns the nodes that a target stands for.
fn nodes(common: &Common, world: &World, target: &OsStr) -> Result<Vec<u32>, Failure> {
    let text = target.to_string_lossy();
    let found = if NodeKind::of_id(&text).is_some() {
        world.identified(&text)
    } else {
        let folder = std::env::current_dir().context("finding the working folder")?;
        let target = Target::parse(target, &folder).map_err(failure)?;
        world.files(&with_labels(common, vec![target])?)
    };
    if found.is_empty() {
        return Err(Failure::failed(format!("nothing was recorded of {text}")));
    }
    Ok(found)
}

fn bounds(common: &Common, world: &World, args: &LineageArgs) -> Result<Bounds, Failure> {
    let patterns: Vec<&str> = args.boundary.iter().map(String::as_str).collect();
    let folder = std::env::current_dir().context("finding the working folder")?;
    let named = patterns.iter().filter(|pattern| !["common", "none"].contains(*pattern));
    let named = named.map(|pattern| Target::parse(OsStr::new(pattern), &folder));
    let mut targets = with_labels(common, named.collect::<Result<_, _>>().map_err(failure)?)?;
    if !patterns.contains(&"none") {
        targets.extend(common.load()?.label.boundary().map_err(failure)?);
    }
    let has_common = patterns.is_empty() || patterns.contains(&"common");
    let mut bounds = Bounds {
        min_bytes: args.min_bytes.map_or(0, |size| size.0),
        depth: args.depth,
        hub: (args.hub > 0).then_some(args.hub),
        boundary: world.boundary(&targets, has_common),
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
