//! Surrounds each request: the check of its token, its line in the log, and headers for browsers.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpRequest};

use crate::clock;
use crate::problem::Problem;
use crate::scope::Scope;
use crate::state::State;
use crate::tokens::Token;

/// Name of the token with which a request came, for the log.
#[derive(Clone)]
struct Caller(String);

/// Lets a request through if its header has a token that opens `scope`; `None`: if it has any token.
pub(crate) async fn admit<B: MessageBody>(
    scope: Option<Scope>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let checked = match request.app_data::<Data<State>>() {
        Some(state) => check(state, request.request(), scope),
        None => Err(Problem::busy("the server is starting")),
    };
    match checked {
        Ok(()) => next.call(request).await,
        Err(problem) => Err(problem.into()),
    }
}

fn check(state: &State, request: &HttpRequest, scope: Option<Scope>) -> Result<(), Problem> {
    let unknown = || {
        let what = "a token is needed in the header: \"Authorization: Bearer TOKEN\"";
        Problem::new(StatusCode::UNAUTHORIZED, what)
    };
    let token = bearer(request.headers()).and_then(|sent| state.tokens.find(sent)).ok_or_else(unknown)?;
    note(request, token);
    if let Some(scope) = scope.filter(|scope| !token.opens(*scope)) {
        let what =
            format!("this token does not open {:?} (server.tokens.{}.scopes)", scope.name(), token.name);
        return Err(Problem::new(StatusCode::FORBIDDEN, what));
    }
    within_rate(token)
}

/// Returns an error if a token was used too often in the last second.
pub(crate) fn within_rate(token: &Token) -> Result<(), Problem> {
    if token.admits() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "too many requests a second with this token (server.rate)",
    ))
}

/// Remembers the token of a request for the log.
pub(crate) fn note(request: &HttpRequest, token: &Token) {
    request.extensions_mut().insert(Caller(token.name.clone()));
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION);
    // Of several headers, a proxy may have checked another one.
    let (value, None) = (all.next()?, all.next()) else { return None };
    let value = value.as_bytes();
    let (kind, token) = value.split_at_checked(7)?;
    kind.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Answers a request, counts it, logs it, and adds headers. The line has no query string, which may have a token.
pub(crate) async fn surround<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let began = clock::now();
    let state = request.app_data::<Data<State>>().cloned();
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let peer = request.peer_addr().map(|peer| peer.to_string()).unwrap_or_default();
    let mut response = next.call(request).await?;
    add_headers(response.headers_mut());
    let (status, seconds) = (response.status().as_u16(), began.elapsed().as_secs_f64());
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    if let Some(state) = state {
        state.metrics.count(&route, status, seconds);
    }
    let token = response.request().extensions().get::<Caller>().map(|caller| caller.0.clone());
    let token = token.unwrap_or_default();
    tracing::info!(%method, path, status, ms = (seconds * 1e3).round(), token, peer, "request");
    Ok(response)
}

fn add_headers(headers: &mut HeaderMap) {
    let mut add = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    add(CACHE_CONTROL, "no-store");
    add(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    add(REFERRER_POLICY, "no-referrer");
    add(X_CONTENT_TYPE_OPTIONS, "nosniff");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_one_header_only() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|value| headers.append(AUTHORIZATION, HeaderValue::from_static(value)));
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(with(&["Bearer abc"]), Some(b"abc".to_vec()));
        assert_eq!(with(&["bearer abc"]), Some(b"abc".to_vec()));
        for wrong in [&[][..], &["abc"], &["Basic abc"], &["Bearer"], &["Bearer abc", "Bearer abc"]] {
            assert_eq!(with(wrong), None, "{wrong:?}");
        }
    }
}
