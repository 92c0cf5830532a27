//! `lineage`: where data can have gone, and where they can have come from.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write as _};
use std::time::Duration;

use analyzer::lineage::format::{self, Format, Frame};
use analyzer::lineage::{Ask, Bounds, Deadline, Question, World};
use analyzer::{Envelope, Evidence, Span, Store, Subject, Target, render, when};
use anyhow::Context as _;
use clap::Args;
use clap_complete::ArgValueCompleter;
use model::Size;
use serde_json::json;

use super::asked::{Absent, Asked, other_meanings, with_labels};
use super::meant::Meant;
use super::query::{damage, failure, open_at_one_moment};
use crate::cli_common::{Common, parse_duration};
use crate::completion;
use crate::exit::{Failure, Outcome};
use crate::output::complain;

/// Most others that read or wrote a thing at which `lineage` goes on, unless an option says otherwise.
pub(crate) const HUB: usize = 5000;

/// Options of `lineage`.
#[derive(Debug, Args)]
pub(crate) struct LineageArgs {
    /// Files as for `uses` (path, folder/, pattern, id:DEV:INO[:GENERATION], label:NAME), a process as for `process` (PID, EXEC_ID,
    /// NAME[PID], pid:PID, exec:EXEC_ID, comm:NAME), or an id of an answer (process:EXEC_ID/EPOCH, address:HOST[:PORT], socket:…)
    #[arg(value_name = "TARGET", add = ArgValueCompleter::new(completion::targets))]
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
    #[arg(long, value_name = "TARGET", add = ArgValueCompleter::new(completion::targets))]
    to: Option<OsString>,
    /// Only a process that lived at this time, written as for --since. For a pid or a name that several processes had
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
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
  duetector-actors lineage --both 'train[4711]' --format svg > job.svg

Exit codes: 0 with an answer, 1 if nothing is recorded of a target in this time (stderr says what was searched) or if it can be
several processes (stderr lists them), 2 if a target is wrong.";

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

/// The targets of a question.
struct Named {
    targets: Vec<u32>,
    ask: Ask,
    /// The target and that of `--to`, as they were understood.
    names: [Option<String>; 2],
    /// A target of which nothing is recorded.
    absent: Option<Subject>,
}

fn named(meant: &Meant<'_>, args: &LineageArgs) -> Result<Named, Failure> {
    let (subject, targets) = meant.nodes(&args.target)?;
    let to = args.to.as_ref().map(|to| meant.nodes(to)).transpose()?;
    let names = [Some(subject.to_string()), to.as_ref().map(|(subject, _)| subject.to_string())];
    let both = [Some((&subject, &targets)), to.as_ref().map(|(subject, nodes)| (subject, nodes))];
    let absent = both.into_iter().flatten().find(|(_, nodes)| nodes.is_empty());
    let absent = absent.map(|(subject, _)| subject.clone());
    let ask = match to {
        Some((_, to)) => Ask::To(to),
        None if args.up => Ask::Up,
        None if args.both => Ask::Both,
        None => Ask::Down,
    };
    Ok(Named { targets, ask, names, absent })
}

/// Prints the answer.
pub(crate) fn run(common: &Common, args: &LineageArgs) -> Outcome {
    let (span, zone) = (args.asked.span()?, args.asked.zone());
    let store = open_at_one_moment(common)?;
    let world = World::read(&store, span).map_err(failure)?;
    let at = args.at.as_deref().map(|text| when::since(text, &when::now())).transpose().map_err(failure)?;
    let meant = Meant { common, store: &store, world: &world, span, zone: zone.clone(), at };
    let Named { targets, ask, names, absent } = named(&meant, args)?;
    let bounds = bounds(common, &world, args)?;
    let most = (args.format == Format::Tree && args.limit > 0).then_some(args.limit);
    let answer = world.answer(&Question { targets, ask, span, bounds, most }).map_err(failure)?;
    let tracers: Vec<&str> = World::tracers().collect();
    let mut evidence = Evidence::of(&store, span, &tracers).map_err(failure)?;
    evidence.decide(&answer.traits());
    for cut in &answer.cuts {
        evidence.add_cut(&answer.nodes[cut.node].about.id, cut.why.name(), cut.edges);
    }
    for (why, (nodes, edges)) in &answer.cuts_beyond {
        evidence.add_cut(format!("{nodes} nodes that are not shown"), why.name(), *edges);
    }
    let absent = absent.map(|subject| nothing(args, &store, &subject, &evidence));
    if args.format != Format::Json
        && let Some(absent) = absent
    {
        damage(&store)?;
        return Err(absent);
    }
    let warnings = render::warnings(&evidence);
    let mut text = Vec::new();
    render::evidence(&evidence, args.asked.evidence, &mut text).context("writing the evidence")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let question = json!({
        "command": "lineage",
        "target": names[0],
        "direction": if args.to.is_some() { "to" } else if args.up { "up" } else if args.both { "both" } else { "down" },
        "to": names[1],
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
    damage(&store)?;
    absent.map_or(Ok(()), Err)
}

/// Returns the failure that nothing is recorded of a target.
fn nothing(args: &LineageArgs, store: &Store, subject: &Subject, evidence: &Evidence) -> Failure {
    // Only processes are looked for in the time that is asked for.
    let is_process = matches!(subject, Subject::Process(..));
    let span = if is_process { args.asked.span().unwrap_or_default() } else { Span::ALL };
    let hints = other_meanings(store, (subject, span)).unwrap_or_default();
    let what = subject.to_string();
    args.asked.nothing(store, &Absent { what: &what, why: subject.absence(false), span, hints }, evidence)
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
