//! Errors that clients get: a status and a sentence, as JSON (RFC 9457).

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use analyzer::render::RenderError;
use serde_json::json;

/// An error that a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// Sentence that says what is wrong, and what to do about it.
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// Returns the error for a request that is wrong.
    pub(crate) fn wrong(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Returns the error for a request that may succeed later.
    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        match self.status {
            StatusCode::UNAUTHORIZED => drop(response.insert_header((WWW_AUTHENTICATE, "Bearer"))),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                response.insert_header((RETRY_AFTER, "1"));
            }
            _ => {}
        }
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({"title": title, "status": self.status.as_u16(), "detail": self.detail});
        response.insert_header((CONTENT_TYPE, "application/problem+json")).body(body.to_string())
    }
}

impl From<analyzer::Error> for Problem {
    fn from(error: analyzer::Error) -> Self {
        use analyzer::Error;
        match error {
            Error::Missing { .. } => Self::busy("nothing was recorded yet"),
            Error::Stopped | Error::TimeLimit { .. } => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "stopped, because the question has taken the time that it may (server.timeout): ask for less, for example with since",
            ),
            Error::MemoryLimit { limit } => Self::wrong(format!(
                "stopped, because statements need more than {limit} of memory (server.sql_memory): ask for less"
            )),
            error if error.is_usage() => Self::wrong(error.to_string()),
            error => {
                // Causes name files, which clients need not know.
                tracing::error!(cause = %chain(&error), "the store could not be read");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the store could not be read; the server's log says why",
                )
            }
        }
    }
}

impl From<RenderError> for Problem {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Read(error) => error.into(),
            RenderError::Write(cause) => cause.into(),
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
