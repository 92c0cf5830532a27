//! The actor that serves a socket. If it panics, the agent keeps recording and the supervisor restarts it.
//!
//! Callers may be hostile: their number is limited, and that of one user; a request is limited in size and time; who reads
//! nothing is disconnected.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixListener as Bound;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actors::{ActorCtx, ActorLoop, Exit, LoopCtx, clock};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::control::Answer;

/// A caller that sends or reads nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest wait at the end for callers that still get something.
const LINGER: Duration = Duration::from_secs(1);
/// Interval of looking whether they have it.
const LINGER_POLL: Duration = Duration::from_millis(10);

/// A protocol: the requests on a socket, and their answers.
pub(crate) trait Protocol: Clone + Send + 'static {
    /// The socket in messages, as in `control socket`.
    const WHAT: &'static str;
    /// Longest request in bytes, which limits the agent's memory.
    const MAX_REQUEST: u64;
    /// Number of callers served at the same time. Further ones wait in the socket's backlog.
    const MAX_CALLERS: u32;
    /// Number of callers of one user, other than root and the agent's own, that are served at the same time. Further ones are
    /// refused.
    const MAX_OF_ONE_USER: usize;
    /// Pause after each caller who is another user, so that callers do not take much of the processor's time.
    const PAUSE: Duration;

    /// Prepares the thread that serves the socket.
    fn begin(&self) {}

    /// Returns why a caller is refused, if it is.
    fn refuses(&self, caller: Option<UCred>) -> Option<&'static str>;

    /// Returns whether callers still get something at the end.
    fn is_busy(&self) -> bool {
        false
    }

    /// Answers a request.
    fn serve(&self, request: &[u8], stream: &mut UnixStream) -> impl Future<Output = io::Result<()>>;
}

/// Counters of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ServerState {
    /// Number of requests answered.
    pub(crate) answered: u64,
    /// Number of callers refused.
    pub(crate) refused: u64,
}

/// The actor that serves a socket.
pub(crate) struct SocketServer<P: Protocol> {
    ctx: LoopCtx<ServerState>,
    listener: Arc<Bound>,
    protocol: P,
}

impl<P: Protocol> SocketServer<P> {
    /// Creates the actor. The listener outlives it, so that callers can connect while the actor is restarted.
    pub(crate) fn new(ctx: LoopCtx<ServerState>, listener: Arc<Bound>, protocol: P) -> Self {
        Self { ctx, listener, protocol }
    }
}

impl<P: Protocol + Unpin> ActorLoop for SocketServer<P> {
    type State = ServerState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let (ctx, bound, protocol) = (self.ctx.clone(), self.listener.clone(), self.protocol.clone());
        async move {
            protocol.begin();
            let listener = match bound.try_clone().and_then(UnixListener::from_std) {
                Ok(listener) => listener,
                Err(cause) => return Exit::failed(cause),
            };
            tokio::select! {
                () = ctx.stopped() => {}
                () = accept_callers(&ctx, &listener, &protocol) => return Exit::Finished,
            }
            let give_up_at = clock::now() + LINGER;
            while protocol.is_busy() && clock::now() < give_up_at {
                clock::sleep(LINGER_POLL).await;
            }
            Exit::Stopped
        }
    }
}

/// Number of callers that are served, by user.
type Callers = Rc<RefCell<HashMap<u32, usize>>>;

/// A caller that counts as served until this is dropped.
struct Served {
    callers: Callers,
    uid: u32,
}

impl Drop for Served {
    fn drop(&mut self) {
        let mut callers = self.callers.borrow_mut();
        if let Some(count) = callers.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                callers.remove(&self.uid);
            }
        }
    }
}

async fn accept_callers<P: Protocol>(ctx: &ActorCtx<ServerState>, listener: &UnixListener, protocol: &P) {
    let permits = Arc::new(Semaphore::new(P::MAX_CALLERS as usize));
    let callers = Callers::default();
    // The semaphore is never closed.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let caller = stream.peer_cred().ok();
                let is_other = !caller.is_some_and(is_own);
                let (ctx, protocol) = (ctx.clone(), protocol.clone());
                let (served, refused) = admit(&callers, caller, &protocol);
                actix::spawn(async move {
                    let _held = (permit, served);
                    serve_caller(stream, refused, &ctx, &protocol).await;
                });
                if is_other {
                    clock::sleep(P::PAUSE).await;
                }
            }
            Err(cause) => {
                // Most likely out of file descriptors. The pause prevents a busy loop.
                tracing::warn!(%cause, "could not accept a connection on the {}", P::WHAT);
                clock::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Counts the caller, and returns why it is refused, if it is.
fn admit<P: Protocol>(
    callers: &Callers,
    caller: Option<UCred>,
    protocol: &P,
) -> (Served, Option<&'static str>) {
    let uid = caller.map_or(u32::MAX, |caller| caller.uid());
    let count = {
        let mut callers = callers.borrow_mut();
        let count = callers.entry(uid).or_default();
        *count += 1;
        *count
    };
    let served = Served { callers: callers.clone(), uid };
    let is_one_too_many = count > P::MAX_OF_ONE_USER && !caller.is_some_and(is_own);
    let refused = is_one_too_many.then_some("this user has too many connections to the agent: end some");
    (served, protocol.refuses(caller).or(refused))
}

/// Returns whether a caller is root or the agent's own user.
pub(crate) fn is_own(caller: UCred) -> bool {
    caller.uid() == 0 || caller.uid() == nix::unistd::geteuid().as_raw()
}

async fn serve_caller<P: Protocol>(
    mut stream: UnixStream,
    refused: Option<&'static str>,
    ctx: &ActorCtx<ServerState>,
    protocol: &P,
) {
    let exchange = async {
        if let Some(why) = refused {
            ctx.update(|state| state.refused += 1);
            return reply(&mut stream, &Answer::Error(why.to_owned())).await;
        }
        let mut line = Vec::new();
        let request =
            async { BufReader::new(&mut stream).take(P::MAX_REQUEST).read_until(b'\n', &mut line).await };
        within(PATIENCE, request).await?;
        ctx.update(|state| state.answered += 1);
        protocol.serve(&line, &mut stream).await
    };
    if let Err(cause) = exchange.await {
        tracing::debug!(%cause, "lost the connection to a caller on the {}", P::WHAT);
    }
}

/// Waits for an exchange with a caller, but no longer than the limit.
pub(crate) async fn within<T>(
    limit: Duration,
    exchange: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    tokio::select! {
        done = exchange => done,
        () = clock::sleep(limit) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Sends the answer, after which nothing follows.
pub(crate) async fn reply(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    within(PATIENCE, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    })
    .await
}
