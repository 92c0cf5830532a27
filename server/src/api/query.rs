//! `query`: rows that match conditions, page by page, or all at once as JSON lines.

use actix_web::http::header::{CONTENT_TYPE, HeaderName};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use analyzer::query::{DEFAULT_LIMIT, Where};
use analyzer::render::{self, Format, Output};
use analyzer::{Query, Store, when};

use crate::params::Params;
use crate::problem::Problem;
use crate::state::State;

/// Most rows of a page.
const PAGE: u64 = 10_000;
/// Header with the cursor of the next page.
const NEXT: HeaderName = HeaderName::from_static("next-cursor");
/// Answers are for programs: no terminal, and numbers of users.
pub(super) const OUTPUT: Output = Output { terminal: None, numeric: true, evidence: false };

/// Answers a query.
pub(super) async fn answer(
    request: HttpRequest,
    state: Data<State>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::read(&request, payload, state.body).await?;
    let format = params.text("format")?.unwrap_or_else(|| "json".to_owned());
    let cursor = params.parsed::<Cursor>("cursor")?;
    let mut query = query(&mut params, &state)?;
    params.end()?;
    match format.as_str() {
        "jsonl" if cursor.is_none() => {
            state
                .questions
                .write("application/jsonl", move |job, out| {
                    job.stores.ask(job.stop, |store| write(store, &query, Format::Jsonl, out).map(drop))
                })
                .await
        }
        "json" => {
            let now = i64::try_from(when::now().timestamp().as_nanosecond()).unwrap_or(i64::MAX);
            let cursor = cursor.unwrap_or(Cursor { until: query.until.unwrap_or(now), start: query.start });
            (query.until, query.start) = (Some(cursor.until), cursor.start);
            let limit = query.limit;
            let page = state.questions.ask(move |job| {
                job.stores.ask(job.stop, |store| {
                    let mut page = Vec::new();
                    let count = write(store, &query, Format::Json, &mut page)?;
                    Ok((page, count))
                })
            });
            let (page, count) = page.await?;
            let mut response = HttpResponse::Ok();
            response.insert_header((CONTENT_TYPE, "application/json"));
            if count == limit {
                let next = Cursor { start: cursor.start.saturating_add(count), ..cursor };
                response.insert_header((NEXT, next.to_string()));
            }
            Ok(response.body(page))
        }
        "jsonl" => Err(Problem::wrong("jsonl has no pages: leave cursor out")),
        _ => Err(Problem::wrong("format: expected json or jsonl")),
    }
}

fn write(store: &Store, query: &Query, format: Format, out: &mut dyn std::io::Write) -> Result<u64, Problem> {
    let mut answer = store.query(query)?;
    Ok(render::rows(&mut answer, format, OUTPUT, out)?)
}

/// Takes the options of the command `query`.
fn query(params: &mut Params, state: &State) -> Result<Query, Problem> {
    let now = when::now();
    let limit = params.text("limit")?;
    let limit = match limit.map(|limit| limit.parse::<u64>()) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit @ 1..=PAGE)) => limit,
        Some(_) => {
            return Err(Problem::wrong(format!("limit: expected 1 to {PAGE}; follow {NEXT} for more rows")));
        }
    };
    let mut query = Query {
        tracers: params.texts("tracer")?,
        collector_id: params.text("collector_id")?,
        since: params.text("since")?.map(|text| when::since(&text, &now)).transpose()?,
        until: params.text("until")?.map(|text| when::until(&text, &now)).transpose()?,
        columns: params.texts("columns")?,
        order_by: params.texts("order_by")?,
        desc: params.flag("desc")?,
        distinct: params.flag("distinct")?,
        limit,
        ..Query::default()
    };
    let labels = state.labels.expressions();
    for text in params.texts("where")? {
        let wanted = text.parse::<Where>().and_then(|wanted| wanted.with_labels(&labels));
        query.add(wanted.map_err(|cause| Problem::wrong(format!("where: {cause}")))?);
    }
    Ok(query)
}

/// The beginning of a page: rows until this time, after so many. Rows that come later do not shift it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    until: i64,
    start: u64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.until, self.start)
    }
}

impl std::str::FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts =
            text.split_once('.').and_then(|(until, start)| Some((until.parse().ok()?, start.parse().ok()?)));
        let (until, start) = parts.ok_or("expected the value of next-cursor of the page before")?;
        Ok(Self { until, start })
    }
}
