//! Options that select rows, which `query` and `export` have in common.

use analyzer::query::Where;
use analyzer::{Query, when};
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::failures::failure;
use crate::cli_common::Common;
use crate::exit::Failure;
use crate::{completion, output};

/// Options that select rows.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only rows of this tracer, such as open or exec. May be repeated: then rows of all these tracers
    #[arg(long = "tracer", value_name = "NAME", add = ArgValueCandidates::new(completion::tracers))]
    tracers: Vec<String>,
    /// Only rows that match this condition. COLUMN=VALUE: the column equals the value, for example uid=1000 or
    /// errno=ENOENT; fields of `extended` count as columns, and COLUMN=null selects rows without a value. Or an expression
    /// (CEL) as in filters, for example 'fname.startsWith("/data/") && uid != 0'; in it, a field that a row lacks is null.
    /// May be repeated: then all conditions must be true
    #[arg(long = "where", value_name = "COLUMN=VALUE|CEL", add = ArgValueCandidates::new(completion::conditions))]
    wheres: Vec<Where>,
    /// Only rows from this time on, for example 2026-01-31, "2026-01-31 12:00:05" (local time),
    /// 2026-01-31T12:00:05Z (UTC), -10m, "1h ago" or now. Of a local time that occurs twice, because clocks are set back, the
    /// first counts here and the second for --until
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only rows up to this time, written as for --since
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
}

impl Selection {
    /// Warns of conditions that no row can meet.
    pub(super) fn warn(&self) {
        for warning in self.wheres.iter().flat_map(Where::never_true) {
            output::complain(&format!("warning: --where: {warning}"));
        }
    }

    /// Returns a query for the rows, with the properties of `rest` otherwise.
    ///
    /// # Errors
    /// A time is not one, or a label is not known.
    pub(super) fn query(&self, common: &Common, rest: Query) -> Result<Query, Failure> {
        let now = when::now();
        let mut query = Query {
            tracers: self.tracers.clone(),
            since: self.since.as_deref().map(|text| when::since(text, &now)).transpose().map_err(failure)?,
            until: self.until.as_deref().map(|text| when::until(text, &now)).transpose().map_err(failure)?,
            ..rest
        };
        for wanted in self.wheres.iter().cloned() {
            query.add(with_labels(common, wanted)?);
        }
        Ok(query)
    }
}

/// Returns a condition with the labels that it names. The configuration is read only if it names some.
///
/// # Errors
/// A label is not known, or the configuration can't be read.
pub(super) fn with_labels(common: &Common, wanted: Where) -> Result<Where, Failure> {
    if !wanted.has_labels() {
        return Ok(wanted);
    }
    let labels = common.load()?.label.expressions();
    wanted.with_labels(&labels).map_err(|cause| Failure::Usage(anyhow::anyhow!("--where: {cause}")))
}
