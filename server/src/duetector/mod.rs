//! duetector's API: its routes, shapes, redirects and errors, so that its clients work unchanged. The token comes in the query string here,
//! and only here, because these clients send it so.

mod datetime;
mod json_error;
mod open;
mod query_body;
mod refusal;
mod routes;
mod validate;
mod viewer;

use actix_web::web::ServiceConfig;

/// Adds the routes.
pub(crate) fn configure(services: &mut ServiceConfig) {
    open::configure(services);
    routes::configure(services);
}
