//! `sql`: a statement on the store, within its bounds.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use analyzer::Sql;
use analyzer::render::{self, Format};
use analyzer::sql::Limits;

use super::query::OUTPUT;
use crate::params::Params;
use crate::problem::Problem;
use crate::state::State;

/// Answers a statement.
pub(super) async fn answer(
    request: HttpRequest,
    state: Data<State>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::read(&request, payload, state.body).await?;
    let text = params.text("sql")?.ok_or_else(|| Problem::wrong("expected a statement in sql"))?;
    let (format, content_type) = match params.text("format")?.as_deref() {
        None | Some("json") => (Format::Json, "application/json"),
        Some("jsonl") => (Format::Jsonl, "application/jsonl"),
        Some("csv") => (Format::Csv, "text/csv; charset=utf-8"),
        Some(_) => return Err(Problem::wrong("format: expected json, jsonl or csv")),
    };
    params.end()?;
    let limits = Limits { timeout: Some(state.sql.0), memory: Some(state.sql.1), spill: None };
    state
        .questions
        .write(content_type, move |job, out| {
            let sql = Sql::new(job.stores.open()?, limits)?;
            job.stop.watch(sql.meter());
            let answered = sql.query(&text).map_err(Problem::from).and_then(|mut answer| {
                render::rows(&mut answer, format, OUTPUT, out)?;
                Ok(())
            });
            job.stop.forget();
            answered
        })
        .await
}
