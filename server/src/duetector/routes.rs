//! The routes that ask for a token.

use std::io::Write as _;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Payload, Query, ServiceConfig, get, post, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use analyzer::duetector::{AnalyzerBrief, TrackingQuery, unknown_column};
use serde_json::{Value, json};

use super::open::not_allowed;
use super::query_body::{Wrong, read};
use super::refusal::Refusal;
use crate::gate;
use crate::problem::Problem;
use crate::scope::Scope;
use crate::state::State;

/// Name of the only analyzer.
const ANALYZER: &str = "dbanalyzer";
const JSON: &str = "application/json";

/// An answer, or an error of duetector's form.
type Answer = Result<HttpResponse, Refusal>;

/// Adds the routes.
pub(super) fn configure(services: &mut ServiceConfig) {
    let only = |methods| to(move || async move { not_allowed(methods) });
    services
        .service(resource("/").route(get().to(hello)).default_service(only("GET")))
        .service(resource("/control/").route(get().to(control)).default_service(only("GET")))
        .service(resource("/query/").route(get().to(analyzers)).default_service(only("GET")))
        .service(resource("/query/{analyzer}").route(post().to(query)).default_service(only("POST")))
        .service(resource("/query/{analyzer}/brief").route(get().to(brief)).default_service(only("GET")));
}

/// Lets a request through if its query string has a token for rows.
fn admit(request: &HttpRequest, state: &State) -> Result<(), Refusal> {
    let parameters = Query::<Vec<(String, String)>>::from_query(request.query_string());
    let parameters = parameters.map(Query::into_inner).unwrap_or_default();
    // The last one counts, as in duetector.
    let sent = parameters.iter().rev().find(|(name, _)| name == "token");
    let token = sent.and_then(|(_, sent)| state.tokens.find(sent.as_bytes()));
    let Some(token) = token.filter(|token| token.opens(Scope::Rows)) else {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "Not authenticated"));
    };
    gate::note(request, token);
    Ok(gate::within_rate(token)?)
}

fn check(analyzer: &str) -> Result<(), Refusal> {
    if analyzer == ANALYZER {
        return Ok(());
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, format!("{analyzer} Not found")))
}

async fn hello(request: HttpRequest, state: Data<State>) -> Answer {
    admit(&request, &state)?;
    Ok(HttpResponse::Ok().json(json!({"message": "Hello World"})))
}

async fn control(request: HttpRequest, state: Data<State>) -> Answer {
    admit(&request, &state)?;
    Ok(HttpResponse::Ok().json(Value::Null))
}

async fn analyzers(request: HttpRequest, state: Data<State>) -> Answer {
    admit(&request, &state)?;
    Ok(HttpResponse::Ok().json(json!({"analyzers": [ANALYZER]})))
}

async fn query(request: HttpRequest, state: Data<State>, analyzer: Path<String>, payload: Payload) -> Answer {
    admit(&request, &state)?;
    let body = state.body.read(payload).await?;
    let query = read(request.headers(), &body).map_err(|wrong| match wrong {
        Wrong::Invalid(errors) => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, errors),
        Wrong::Unreadable => Refusal::new(StatusCode::BAD_REQUEST, "There was an error parsing the body"),
    })?;
    check(&analyzer)?;
    let unknown = unknown_columns(&query);
    if !unknown.is_empty() {
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, unknown));
    }
    let written = state.questions.write(JSON, move |job, out| {
        job.stores.ask(job.stop, |store| {
            out.write_all(b"{\"trackings\":[")?;
            let mut count = 0_u64;
            query.run(store, |tracking| {
                if count > 0 {
                    out.write_all(b",")?;
                }
                count += 1;
                serde_json::to_writer(&mut *out, &tracking)
                    .map_err(|cause| Problem::from(std::io::Error::from(cause)))
            })?;
            Ok(write!(out, "],\"count\":{count}}}")?)
        })
    });
    Ok(written.await?)
}

/// Returns an error for each column that is none. Python duetector fails at them.
fn unknown_columns(query: &TrackingQuery) -> Vec<Value> {
    let lists = [
        ("columns", &query.columns),
        ("order_by_asc", &query.ascending),
        ("order_by_desc", &query.descending),
    ];
    let lists = lists.into_iter().flat_map(|(list, names)| names.iter().map(move |name| (list, name)));
    let wheres = query.wheres.iter().map(|(name, _)| ("where", name));
    let error = |(list, name): (&str, &String)| {
        let nearest = unknown_column(name)?;
        let nearest = nearest.map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default();
        let msg = format!("There is no column {name:?}{nearest}");
        Some(json!({"type": "unknown_column", "loc": ["body", list, name], "msg": msg, "input": name}))
    };
    wheres.chain(lists).filter_map(error).collect()
}

async fn brief(request: HttpRequest, state: Data<State>, analyzer: Path<String>) -> Answer {
    admit(&request, &state)?;
    check(&analyzer)?;
    let brief = state.questions.ask(|job| job.stores.ask(job.stop, |store| Ok(AnalyzerBrief::of(store)?)));
    let brief = brief.await?;
    Ok(HttpResponse::Ok().json(json!({"brief": brief, "analyzer_name": *analyzer})))
}
