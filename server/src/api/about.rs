//! `labels` and `evidence`: the names that the configuration gives, and what the record lacks.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use analyzer::{Envelope, Evidence, Span, when};
use jiff::tz::TimeZone;
use serde_json::json;

use crate::params::Params;
use crate::problem::Problem;
use crate::state::State;

/// Answers with all labels.
pub(super) async fn labels(
    request: HttpRequest,
    state: Data<State>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    Params::read(&request, payload, state.body).await?.end()?;
    Ok(HttpResponse::Ok().json(json!({"schema": "labels/1", "labels": state.labels})))
}

/// Answers with what rows of these tracers in this time may lack.
pub(super) async fn evidence(
    request: HttpRequest,
    state: Data<State>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::read(&request, payload, state.body).await?;
    let now = when::now();
    let (tracers, is_utc) = (params.texts("tracer")?, params.flag("utc")?);
    let since = params.text("since")?.map(|text| when::since(&text, &now)).transpose()?;
    let until = params.text("until")?.map(|text| when::until(&text, &now)).transpose()?;
    params.end()?;
    let (span, zone) = (Span::new(since, until), if is_utc { TimeZone::UTC } else { TimeZone::system() });
    let answer = state.questions.ask(move |job| {
        job.stores.ask(job.stop, |store| {
            let all: Vec<String> = store.tables()?.into_iter().map(|table| table.tracer).collect();
            let named = if tracers.is_empty() { &all } else { &tracers };
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            let evidence = Evidence::of(store, span, &named)?;
            let question = json!({"command": "evidence", "tracers": tracers});
            Ok(Envelope::new(store, ("evidence/1", question, &zone), (span, evidence), ())?)
        })
    });
    Ok(HttpResponse::Ok().json(answer.await?))
}
