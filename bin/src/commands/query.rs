//! `query`: asks the store what happened.

use std::io::{self, BufWriter, IsTerminal as _};
use std::str::FromStr;

use analyzer::render::{self, Format, Paper};
use analyzer::{Condition, Query, Store, when};
use clap::Args;
use model::expression::{Expression, Schema};

use crate::cli_common::Common;
use crate::exit::{Failure, Outcome};
use crate::output;

/// `query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Only rows of this tracer, by the name it is stored under. May be repeated
    #[arg(long = "tracer", value_name = "NAME")]
    tracers: Vec<String>,
    /// Only rows of this collector
    #[arg(long, value_name = "ID")]
    collector_id: Option<String>,
    /// Only rows whose column has this value (null: has none): a column, or a field of `extended` such as
    /// errno or extended.errno. Or an expression (CEL), as in filters: 'fname.startsWith("/data/") && uid != 0';
    /// what a row does not have is null there. May be repeated: all must hold
    #[arg(long = "where", value_name = "COLUMN=VALUE|CEL")]
    wheres: Vec<Where>,
    /// Not before: 2026-01-31, 2026-01-31 12:00:05, 2026-01-31T12:00:05Z, -10m, "1h ago"
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Not after; written like --since
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only these columns, separated by commas; fields of `extended` too
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    columns: Vec<String>,
    /// Order by this column, then by time. Separated by commas, or repeated
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',')]
    order_by: Vec<String>,
    /// Turn the order round: newest first
    #[arg(long)]
    desc: bool,
    /// Rows alike in all columns shown are one
    #[arg(long)]
    distinct: bool,
    /// Leave out the first so many
    #[arg(long, value_name = "N", default_value_t = 0)]
    start: u64,
    /// So many at most; 0 is all
    #[arg(long, value_name = "N", default_value_t = analyzer::query::DEFAULT_LIMIT)]
    limit: u64,
    /// How rows are written: table, json, jsonl, csv
    #[arg(long, default_value = "table", value_name = "FORMAT")]
    format: Format,
}

/// One `--where`.
#[derive(Clone, Debug)]
enum Where {
    Equal(Condition),
    Expression(Expression),
}

impl FromStr for Where {
    type Err = String;

    /// A name and one `=` make a condition, whatever follows: `comm=a == b` asks for a comm of `a == b`. All else is
    /// an expression, which has no `=` of its own.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.split('=').next().unwrap_or(text);
        let is_name = |c: char| c.is_alphanumeric() || "_.-:@".contains(c);
        let is_condition = name.len() < text.len()
            && !name.trim().is_empty()
            && name.trim().chars().all(is_name)
            && !text[name.len() + 1..].starts_with('=');
        if is_condition {
            return text.parse().map(Self::Equal).map_err(|error: analyzer::Error| error.to_string());
        }
        let schema = Schema { localize: when::local, stored: true };
        Expression::compile(text, &schema).map(Self::Expression).map_err(|error| error.show(text))
    }
}

impl Where {
    fn condition(&self) -> Option<&Condition> {
        if let Self::Equal(condition) = self { Some(condition) } else { None }
    }

    fn expression(&self) -> Option<&Expression> {
        if let Self::Expression(expression) = self { Some(expression) } else { None }
    }
}

impl QueryArgs {
    fn query(&self) -> Result<Query, analyzer::Error> {
        let now = when::now();
        let moment = |text: &Option<String>| text.as_deref().map(|text| when::parse(text, &now)).transpose();
        Ok(Query {
            tracers: self.tracers.clone(),
            collector_id: self.collector_id.clone(),
            wheres: self.wheres.iter().filter_map(Where::condition).cloned().collect(),
            expressions: self.wheres.iter().filter_map(Where::expression).cloned().collect(),
            since: moment(&self.since)?,
            until: moment(&self.until)?,
            columns: self.columns.clone(),
            order_by: self.order_by.clone(),
            desc: self.desc,
            distinct: self.distinct,
            start: self.start,
            limit: self.limit,
            ..Query::default()
        })
    }
}

/// Runs it.
pub(crate) fn run(common: &Common, args: &QueryArgs) -> Outcome {
    let query = args.query().map_err(failure)?;
    let store = open(common)?;
    warn_of_unknown_tracers(&store, &query)?;
    let mut answer = store.query(&query).map_err(failure)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match render::rows(&mut answer, args.format, paper(), &mut out) {
        Ok(_) => {}
        Err(error) if error.is_broken_pipe() => {}
        Err(error) => return Err(Failure::Failed(error.into())),
    }
    if let Some(undecided) = answer.undecided() {
        let analyzer::query::Undecided { rows, first } = undecided;
        output::complain(&format!(
            "warning: --where has no answer for {rows} rows, which are left out; the first: {first}"
        ));
    }
    Ok(())
}

/// Opens the store of a configuration.
pub(crate) fn open(common: &Common) -> Result<Store, Failure> {
    Store::open(&common.store()?).map_err(failure)
}

/// What stdout is.
pub(crate) fn paper() -> Paper {
    // A terminal that does not tell its width is as wide as terminals always were.
    let terminal = io::stdout().is_terminal().then(|| render::terminal_width().unwrap_or(80));
    Paper { terminal }
}

/// A wrong question is the caller's to mend (2), all else is a failure (1).
pub(crate) fn failure(error: analyzer::Error) -> Failure {
    if let analyzer::Error::Missing { path } = &error {
        return Failure::failed(format!(
            "no store at {}: nothing was recorded there yet; `duetector-actors start` records, --workdir says where",
            path.display()
        ));
    }
    if error.is_usage() { Failure::Usage(error.into()) } else { Failure::Failed(error.into()) }
}

/// A tracer that nobody has heard of gives no rows, which looks as if nothing happened. Scripts ask for tracers
/// that have not stored yet, so it is no failure.
fn warn_of_unknown_tracers(store: &Store, query: &Query) -> Outcome {
    for tracer in store.unknown_tracers(&query.tracers).map_err(failure)? {
        let nearest = tracer.nearest.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default();
        output::complain(&format!("warning: nothing is stored of tracer {:?}{nearest}", tracer.name));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_one_equals_sign_is_a_condition_and_all_else_an_expression() {
        for text in
            ["uid=0", "comm=a == b", "extended.a-b=1", " fname = x", "comm=", "inspector__docker=true"]
        {
            assert!(matches!(text.parse::<Where>(), Ok(Where::Equal(_))), "{text}");
        }
        for text in
            ["uid==0", "uid == 0", "comm.startsWith('a=b')", "true", "uid >= 0", "uid != 0", "'a=b' == comm"]
        {
            assert!(matches!(text.parse::<Where>(), Ok(Where::Expression(_))), "{text}");
        }
        let error = "uid == 'root'".parse::<Where>().unwrap_err();
        assert_eq!(error, "1:5: operator == does not take int and string\n  uid == 'root'\n      ^");
    }
}
