//! Answers requests on the control socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actors::clock;
use futures::future::BoxFuture;
use tokio::net::UnixStream;
use tokio::net::unix::UCred;

use super::{Answer, Request};
use crate::socket::{Protocol, is_own, reply};

/// The function that answers a request.
pub(crate) type Ask = Arc<dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync>;

/// The protocol of the control socket.
#[derive(Clone)]
pub(crate) struct Control(pub(crate) Ask);

impl Protocol for Control {
    const WHAT: &'static str = "control socket";
    /// The longest legitimate request sets a cache, with every character escaped.
    const MAX_REQUEST: u64 = 8 << 20;
    const MAX_CALLERS: u32 = 16;
    const MAX_OF_ONE_USER: usize = 16;
    const PAUSE: Duration = Duration::ZERO;

    fn refuses(&self, caller: Option<UCred>) -> Option<&'static str> {
        let why = "only root and the user that runs the agent may send requests to it";
        (!caller.is_some_and(is_own)).then_some(why)
    }

    async fn serve(&self, request: &[u8], stream: &mut UnixStream) -> io::Result<()> {
        let answer = match serde_json::from_slice::<Request>(request) {
            Ok(request) => self.answer(request).await,
            Err(cause) => Answer::Error(format!("not a valid request: {cause}")),
        };
        reply(stream, &answer).await
    }
}

impl Control {
    async fn answer(&self, request: Request) -> Answer {
        let patience = request.patience();
        tokio::select! {
            answer = (self.0)(request) => answer,
            () = clock::sleep(patience) => Answer::Error(format!("not done within {} s; it may still be completed", patience.as_secs())),
        }
    }
}
