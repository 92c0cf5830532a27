//! `uses`: shows who used files, how much, and what else was done to them.

use std::ffi::OsString;
use std::io::{self, BufWriter};

use analyzer::render::{self, Format};
use analyzer::uses::DEFAULT_GROUPS;
use analyzer::{By, Envelope, Evidence, Store, Subject, Target, UsesQuery};
use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;
use serde_json::json;

use super::asked::{Absent, Asked, other_meanings, rendered, subject, with_labels};
use super::derived::Derived;
use super::query::{damage, failure, open_at_one_moment, stdout};
use crate::cli_common::Common;
use crate::completion;
use crate::exit::{Failure, Outcome};

/// Examples in the help of the command.
pub(crate) const EXAMPLES: &str = "Examples:
  duetector-actors uses /data/customers.csv              who used this file, under whatever name
  duetector-actors uses /data/ --by user --since -7d     bytes that each user read and wrote below a folder
  duetector-actors uses '/data/*.csv' --by day           bytes for each day, of the files that match
  duetector-actors uses label:customers                  the files of a label of the configuration
  duetector-actors uses id:65025:12                      the file with this device and inode number

Exit codes: 0 with an answer, 1 if nothing is recorded of the files in this time (stderr says what was searched), 2 if a target is wrong.";

/// Options of `uses`.
#[derive(Debug, Args)]
pub(crate) struct UsesArgs {
    /// The files: a path, folder/ (with the slash), a pattern ('/data/*.csv'; ** also stands for slashes), id:DEV:INO[:GENERATION] (also
    /// file:… as lineage prints it) or label:NAME. A name that was printed as $'…' can be typed so. A file is found under all its names.
    /// The sums are over the files of all targets
    #[arg(value_name = "TARGET", required = true, add = ArgValueCompleter::new(completion::targets))]
    targets: Vec<OsString>,
    /// Add up the rows of each process, user, program, container or day
    #[arg(long, value_enum, default_value_t, value_name = "GROUP")]
    by: Group,
    /// Also the files that data of these can have gone to, as `lineage --down` finds them: a label with all that was made from its files
    #[arg(long)]
    derived: bool,
    #[command(flatten)]
    asked: Asked,
    /// Print at most N rows of a table (0: no limit). Other formats have all rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Show users by number. By default, tables show the names that this machine has for them
    #[arg(long)]
    numeric: bool,
    /// Format of the answer: table, json (one object, with what the answer may lack), jsonl (one row per line) or csv
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

/// The kinds of groups.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Group {
    /// A single process
    #[default]
    Process,
    /// All processes of a user
    User,
    /// All processes that ran a program
    Exe,
    /// All processes of a container
    Container,
    /// A day of local time, or of UTC with --utc
    Day,
}

impl From<Group> for By {
    fn from(group: Group) -> Self {
        match group {
            Group::Process => Self::Process,
            Group::User => Self::User,
            Group::Exe => Self::Exe,
            Group::Container => Self::Container,
            Group::Day => Self::Day,
        }
    }
}

/// Prints the answer.
pub(crate) fn run(common: &Common, args: &UsesArgs) -> Outcome {
    let subjects = args.targets.iter().map(|text| subject(text)).collect::<Result<Vec<_>, _>>()?;
    let targets =
        subjects.iter().cloned().map(Subject::files).collect::<Result<Vec<_>, _>>().map_err(failure)?;
    let names: Vec<String> = targets.iter().map(Target::to_string).collect();
    let targets = with_labels(common, targets)?;
    let (span, zone, by) = (args.asked.span()?, args.asked.zone(), By::from(args.by));
    let store = open_at_one_moment(common)?;
    let derived = args.derived.then(|| Derived::of(common, &store, &targets, span)).transpose()?;
    let mut targets = targets;
    targets.extend(derived.iter().flat_map(|derived| derived.targets.iter().cloned()));
    let query = UsesQuery { targets, span, by, zone: zone.clone(), limit: DEFAULT_GROUPS };
    let (uses, mut evidence) = query.run(&store).map_err(failure)?;
    if let Some(derived) = derived {
        derived.add_to(&mut evidence);
    }
    let question = json!({"command": "uses", "targets": names, "by": by, "derived": args.derived});
    let answer =
        Envelope::new(&store, ("uses/1", question, &zone), (span, evidence), uses).map_err(failure)?;
    let is_nothing = answer.answer.is_nothing();
    let mut out = BufWriter::new(io::stdout().lock());
    if is_nothing && args.format == Format::Table {
        damage(&store)?;
        return Err(nothing(args, &store, (&subjects, &names), &answer.evidence));
    }
    let how = (args.format, by, args.limit);
    let output = render::Output { evidence: args.asked.evidence, ..stdout(args.numeric) };
    rendered(render::uses(&answer, how, output, &mut out))?;
    args.asked.warn(args.format, &answer.evidence);
    damage(&store)?;
    if is_nothing { Err(nothing(args, &store, (&subjects, &names), &answer.evidence)) } else { Ok(()) }
}

/// Returns the failure that nothing is recorded of the targets.
fn nothing(
    args: &UsesArgs,
    store: &Store,
    (subjects, names): (&[Subject], &[String]),
    evidence: &Evidence,
) -> Failure {
    let span = args.asked.span().unwrap_or_default();
    let hints = subjects.iter().map(|subject| other_meanings(store, (subject, span)));
    let hints = hints.filter_map(Result::ok).flatten().collect();
    let why = match subjects {
        [subject] => subject.absence(true),
        _ => "no row is about any of them",
    };
    args.asked.nothing(store, &Absent { what: &names.join(", "), why, span, hints }, evidence)
}
