//! Options and output that questions about files and processes have in common.

use std::ffi::OsStr;

use analyzer::evidence::Searched;
use analyzer::render::{self, Format, RenderError};
use analyzer::{Candidates, Error, Evidence, Identities, Span, Store, Subject, Target, Which, when};
use anyhow::Context as _;
use clap::Args;
use jiff::tz::TimeZone;

use super::query::failure;
use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output;

/// The time that a question is about, and how times are shown.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// Only what was recorded from this time on, for example 2026-01-31, "2026-01-31 12:00:05" (local time),
    /// 2026-01-31T12:00:05Z (UTC), -10m, "1h ago" or now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only what was recorded up to this time, written as for --since
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Show times in UTC. By default they are in local time, with the offset from UTC
    #[arg(long)]
    utc: bool,
    /// Describe all that no tracer could see, not only name what could belong to the answer
    #[arg(long)]
    pub(super) evidence: bool,
}

impl Asked {
    /// Returns the time that the question is about.
    ///
    /// # Errors
    /// A text is not a time, or the end is before the beginning.
    pub(super) fn span(&self) -> Result<Span, Failure> {
        let now = when::now();
        let since = self.since.as_deref().map(|text| when::since(text, &now)).transpose().map_err(failure)?;
        let until = self.until.as_deref().map(|text| when::until(text, &now)).transpose().map_err(failure)?;
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            return Err(Failure::Usage(anyhow::anyhow!(
                "--since is later than --until: no time is between them"
            )));
        }
        Ok(Span::new(since, until))
    }

    /// Returns the failure of a question about something of which nothing is recorded, with hints of what can be meant instead.
    pub(super) fn nothing(&self, store: &Store, absent: &Absent<'_>, evidence: &Evidence) -> Failure {
        let made = || -> Result<String, Failure> {
            let searched = Searched::of(store, absent.span, &self.zone()).map_err(failure)?;
            let mut text = render::nothing(absent.what, absent.why, &searched, evidence);
            absent.hints.iter().for_each(|hint| text.extend(["\n", hint]));
            Ok(text)
        };
        made().map_or_else(|cause| cause, Failure::failed)
    }

    /// Returns the zone in which times are shown.
    pub(super) fn zone(&self) -> TimeZone {
        if self.utc { TimeZone::UTC } else { TimeZone::system() }
    }

    /// Warns of what an answer lacks, if its format has no room for that.
    pub(super) fn warn(&self, format: Format, evidence: &Evidence) {
        if matches!(format, Format::Jsonl | Format::Csv) {
            let lines = render::warnings(evidence);
            lines.iter().for_each(|line| output::complain(&format!("warning: {line}")));
        }
    }
}

/// Something of which nothing is recorded.
pub(super) struct Absent<'a> {
    /// The thing as it was named.
    pub(super) what: &'a str,
    /// The reason why it counts as not recorded.
    pub(super) why: &'a str,
    /// The time that was searched.
    pub(super) span: Span,
    /// Sentences about what else could be asked.
    pub(super) hints: Vec<String>,
}

/// Number of processes that are listed if several are meant.
const LISTED: usize = 20;

/// Parses a target of a question; paths begin at the working folder.
pub(super) fn subject(text: &OsStr) -> Result<Subject, Failure> {
    let folder = std::env::current_dir().context("finding the working folder")?;
    Subject::parse(text, &folder).map_err(failure)
}

/// Returns the failure of a question about one process, if several are meant.
pub(super) fn several(which: &Which, Candidates { processes, is_cut }: &Candidates) -> Failure {
    let lines = render::process_lines(processes);
    let count = lines.len();
    let at_least = if *is_cut { "at least " } else { "" };
    let mut text = format!(
        "{which} can be {at_least}{count} processes; name one by its exec_id (the numbers after the name), or say --at what time it lived:"
    );
    lines.iter().take(LISTED).for_each(|line| text.extend(["\n  ", line]));
    if count > LISTED {
        text.push_str(&format!(
            "\n  and {} more; --since and --until leave out those of other times",
            count - LISTED
        ));
    }
    if *is_cut {
        text.push_str(&format!("\n  the search ended at {count} processes: there are more, of any time"));
    }
    Failure::failed(text)
}

/// Returns what else can be meant by a file of which nothing is recorded: those below it, or a process of that name.
pub(super) fn other_meanings(store: &Store, (subject, span): (&Subject, Span)) -> Result<Vec<String>, Error> {
    let mut hints = Vec::new();
    if let Subject::Files(Target::Path(path)) | Subject::Either(Target::Path(path), _) = subject {
        let folder = Target::Folder(format!("{path}/"));
        let below = Identities::find(store, std::slice::from_ref(&folder), span)?.files.all().len();
        if below > 0 {
            hints.push(format!(
                "It is a folder with {below} files in the record: for those, write {folder} (with the slash)"
            ));
        }
    }
    if let Subject::Either(_, which) = subject
        && let Some(one) = which.candidates(store, span, &jiff::tz::TimeZone::UTC)?.processes.first()
    {
        let line = render::process_lines(std::slice::from_ref(one)).concat();
        hints.push(format!("A process has that name or number, {line}: `process {which}` is about it"));
    }
    Ok(hints)
}

/// Returns the targets, with the files of labels in the place of the labels. The configuration is read only if there are some.
pub(super) fn with_labels(common: &Common, targets: Vec<Target>) -> Result<Vec<Target>, Failure> {
    if !targets.iter().any(|target| matches!(target, Target::Label(_))) {
        return Ok(targets);
    }
    common.load()?.label.resolve(targets).map_err(failure)
}

/// Returns whether an answer was written. A closed pipe is no failure.
pub(super) fn rendered(written: Result<(), RenderError>) -> Outcome {
    match written {
        Err(error) if !error.is_broken_pipe() => Err(Failure::Failed(error.into())),
        _ => Ok(()),
    }
}
