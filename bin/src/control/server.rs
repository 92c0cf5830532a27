//! The actor that answers requests on the control socket. If it panics, the agent keeps recording and the supervisor
//! restarts it.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::{ActorCtx, ActorLoop, Exit, LoopCtx, clock};
use futures::future::BoxFuture;
use model::trusted::trusted_file;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{Answer, MAX_REQUEST, Request, short_path, socket_path};

/// Number of callers served at the same time. Further ones wait in the socket's backlog.
const MAX_CALLERS: usize = 16;
/// A caller that sends or reads nothing for this long is disconnected.
const PATIENCE: Duration = Duration::from_secs(10);

/// The function that answers a request.
pub(crate) type Ask = Arc<dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync>;

/// Counters of the server, shown in `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ControlState {
    /// Number of requests answered.
    pub(crate) answered: u64,
    /// Number of callers refused because they are other users.
    pub(crate) refused: u64,
}

/// The control server actor.
pub(crate) struct ControlServer {
    ctx: LoopCtx<ControlState>,
    listener: Arc<UnixListener>,
    ask: Ask,
}

/// Binds the control socket. This process must have locked the work folder: an old socket in it then belongs to an agent
/// that has ended, and is removed.
pub(crate) fn bind(workdir: &Path) -> io::Result<Arc<UnixListener>> {
    match std::fs::remove_file(socket_path(workdir)) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let (path, _folder) = short_path(workdir)?;
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    // What callers will find there must be this socket.
    trusted_file(&socket_path(workdir), &path.symlink_metadata()?)?;
    Ok(Arc::new(listener))
}

impl ControlServer {
    /// Creates the actor. The listener outlives it, so that callers can connect while the actor is restarted.
    pub(crate) fn new(ctx: LoopCtx<ControlState>, listener: Arc<UnixListener>, ask: Ask) -> Self {
        Self { ctx, listener, ask }
    }
}

impl ActorLoop for ControlServer {
    type State = ControlState;

    fn start(&mut self) -> impl Future<Output = Exit> + 'static {
        let (ctx, listener, ask) = (self.ctx.clone(), self.listener.clone(), self.ask.clone());
        async move {
            tokio::select! {
                () = ctx.stopped() => Exit::Stopped,
                () = accept_callers(&ctx, &listener, &ask) => Exit::Finished,
            }
        }
    }
}

async fn accept_callers(ctx: &ActorCtx<ControlState>, listener: &UnixListener, ask: &Ask) {
    let callers = Arc::new(Semaphore::new(MAX_CALLERS));
    // The semaphore is never closed.
    while let Ok(permit) = callers.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (ctx, ask) = (ctx.clone(), ask.clone());
                actix::spawn(async move {
                    let _permit = permit;
                    serve_caller(stream, &ctx, &ask).await;
                });
            }
            Err(cause) => {
                // Most likely out of file descriptors. The pause prevents a busy loop.
                tracing::warn!(%cause, "could not accept a connection on the control socket");
                clock::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_caller(mut stream: UnixStream, ctx: &ActorCtx<ControlState>, ask: &Ask) {
    let own = nix::unistd::geteuid().as_raw();
    let allowed = stream.peer_cred().is_ok_and(|caller| caller.uid() == 0 || caller.uid() == own);
    let exchange = async {
        if !allowed {
            ctx.update(|state| state.refused += 1);
            return reply(
                &mut stream,
                &Answer::Error("only root and the user that runs the agent may send requests to it".into()),
            )
            .await;
        }
        let mut line = Vec::new();
        let request =
            async { BufReader::new(&mut stream).take(MAX_REQUEST).read_until(b'\n', &mut line).await };
        within(PATIENCE, request).await?;
        let answer = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => answer(ask, request).await,
            Err(cause) => Answer::Error(format!("not a valid request: {cause}")),
        };
        ctx.update(|state| state.answered += 1);
        reply(&mut stream, &answer).await
    };
    if let Err(cause) = exchange.await {
        tracing::debug!(%cause, "lost the connection to a caller on the control socket");
    }
}

async fn answer(ask: &Ask, request: Request) -> Answer {
    let patience = request.patience();
    tokio::select! {
        answer = ask(request) => answer,
        () = clock::sleep(patience) => Answer::Error(format!("not done within {} s; it may still be completed", patience.as_secs())),
    }
}

async fn within<T>(limit: Duration, exchange: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::select! {
        done = exchange => done,
        () = clock::sleep(limit) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn reply(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    within(PATIENCE, async {
        stream.write_all(&line).await?;
        stream.shutdown().await
    })
    .await
}
