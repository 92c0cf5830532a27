//! `/healthz`, `/readyz` and `/metrics`: whether the server runs, whether it can answer, and counters.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, ServiceConfig, resource};
use model::lock::lock;
use serde_json::json;

use crate::clock;
use crate::gate;
use crate::metrics::OPEN_METRICS;
use crate::problem::Problem;
use crate::state::State;

/// The store is opened for `/readyz` at most once in this time, because everybody may ask.
const FRESH: Duration = Duration::from_secs(1);

/// The latest result of `/readyz`.
#[derive(Debug, Default)]
pub(crate) struct Ready(Mutex<Option<(Instant, bool)>>);

/// Adds the routes.
pub(crate) fn configure(services: &mut ServiceConfig) {
    let healthz = || async { HttpResponse::Ok().json(json!({"status": "ok"})) };
    let admit = from_fn(|request, next| gate::admit(None, request, next));
    services
        .service(resource("/healthz").get(healthz))
        .service(resource("/readyz").get(readyz))
        .service(resource("/metrics").wrap(admit).get(metrics));
}

async fn readyz(state: Data<State>, known: Data<Ready>) -> HttpResponse {
    let latest = lock(&known.0).filter(|(at, _)| at.elapsed() < FRESH);
    let is_ready = match latest {
        Some((_, is_ready)) => is_ready,
        None => {
            let opened = state.questions.ask(|job| job.stores.ask(job.stop, |_| Ok(()))).await;
            *lock(&known.0) = Some((clock::now(), opened.is_ok()));
            opened.is_ok()
        }
    };
    if is_ready {
        HttpResponse::Ok().json(json!({"ready": true}))
    } else {
        let why = "the store can't be read, or too many questions wait";
        HttpResponse::ServiceUnavailable().json(json!({"ready": false, "why": why}))
    }
}

async fn metrics(state: Data<State>) -> Result<HttpResponse, Problem> {
    let agent = state.agent.clone();
    // The agent may take its time, which must not hold up other requests.
    let status = state.questions.ask(move |_| Ok(agent.status())).await?;
    let running = state.questions.running(state.parallel);
    let text = state.metrics.text(running, &status);
    let text = text.map_err(|cause| Problem::busy(format!("the metrics could not be written: {cause}")))?;
    Ok(HttpResponse::Ok().insert_header((CONTENT_TYPE, OPEN_METRICS)).body(text))
}
