//! Reads the bodies of requests, within their bounds of size and time.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Payload};
use tokio::time::timeout;

use crate::problem::Problem;

/// The bounds of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) size: usize,
    pub(crate) time: Duration,
}

impl Bounds {
    /// Reads a body.
    pub(crate) async fn read(self, payload: Payload) -> Result<Bytes, Problem> {
        match timeout(self.time, payload.to_bytes_limited(self.size)).await {
            Err(_) => Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the body did not come within {} s (server.slow_client)", self.time.as_secs()),
            )),
            Ok(Err(_)) => Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body has more than {} bytes (server.max_body)", self.size),
            )),
            Ok(Ok(Err(cause))) => Err(Problem::wrong(format!("the body could not be read: {cause}"))),
            Ok(Ok(Ok(bytes))) => Ok(bytes),
        }
    }
}
