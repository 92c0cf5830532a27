//! Options and output that questions about files and processes have in common.

use analyzer::render::{self, Format, RenderError};
use analyzer::{Evidence, Span, Target, when};
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
