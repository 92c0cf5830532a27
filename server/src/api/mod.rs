//! Our own API, `/api/v1`: rows and SQL, with answers of the same form as those of the commands.

mod about;
mod query;
mod sql;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::web::{ServiceConfig, get, post, resource, scope, to};

use crate::gate;
use crate::problem::Problem;
use crate::scope::Scope;

/// Adds the routes.
pub(crate) fn configure(services: &mut ServiceConfig) {
    // A macro, because each handler has a type of its own.
    macro_rules! route {
        ($path:literal, $scope:expr, $handler:path) => {
            resource($path)
                .route(get().to($handler))
                .route(post().to($handler))
                .wrap(from_fn(|request, next| gate::admit(Some($scope), request, next)))
        };
    }
    services.service(
        scope("/api/v1")
            .service(route!("/query", Scope::Rows, query::answer))
            .service(route!("/labels", Scope::Rows, about::labels))
            .service(route!("/evidence", Scope::Rows, about::evidence))
            .service(route!("/sql", Scope::Sql, sql::answer))
            .default_service(to(nothing)),
    );
}

async fn nothing() -> Result<HttpResponse, Problem> {
    Err(Problem::new(StatusCode::NOT_FOUND, "there is no such route"))
}
