//! The routes that ask for no token: the description of the API. And what is no route: redirects to one, or an error.

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use actix_web::web::{ServiceConfig, resource, to};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::refusal::Refusal;
use super::viewer;

/// The description of the API, as duetector 0.1.3 gives it.
const OPENAPI: &str = include_str!("openapi.json");
/// The pages have a style of their own and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// Adds the routes.
pub(super) fn configure(services: &mut ServiceConfig) {
    let only_get = || to(|| async { not_allowed("GET") });
    let openapi =
        || async { HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(OPENAPI) };
    let page = || async {
        let headers = (CONTENT_TYPE, "text/html; charset=utf-8");
        let mut response = HttpResponse::Ok();
        response.insert_header(headers).insert_header((CONTENT_SECURITY_POLICY, PAGE_POLICY));
        response.body(viewer::page(OPENAPI))
    };
    services
        .service(resource("/openapi.json").get(openapi).default_service(only_get()))
        .service(resource("/docs").get(page).default_service(only_get()))
        .service(resource("/redoc").get(page).default_service(only_get()))
        .default_service(to(elsewhere));
}

/// Returns the answer to a request with another method than the route has.
pub(super) fn not_allowed(methods: &'static str) -> HttpResponse {
    let mut response = HttpResponse::MethodNotAllowed();
    response.insert_header((ALLOW, methods)).json(json!({"detail": "Method Not Allowed"}))
}

/// Sends the client to a route that has one slash more or less at its end, or says that there is no such route.
async fn elsewhere(request: HttpRequest) -> Result<HttpResponse, Refusal> {
    let path = request.uri().path();
    let other = match path.strip_suffix('/') {
        Some(shorter) => shorter.to_owned(),
        None => format!("{path}/"),
    };
    if !is_route(&other) {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "Not Found"));
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(HttpResponse::TemporaryRedirect().insert_header((LOCATION, format!("{other}{query}"))).finish())
}

fn is_route(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["", "docs" | "redoc" | "openapi.json"] | ["", "query" | "control", ""] => true,
        ["", "query", name] | ["", "query", name, "brief"] => !name.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_routes_are_redirected_to() {
        for route in ["/query/", "/control/", "/docs", "/query/x", "/query/x/brief", "/openapi.json"] {
            assert!(is_route(route), "{route}");
        }
        for other in ["", "/", "/query", "//example.org", "/query/x/y", "/api/v1/sql", "/query//brief"] {
            assert!(!is_route(other), "{other}");
        }
    }
}
