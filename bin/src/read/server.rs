//! Answers requests on the read socket. Its actor has a thread of its own with a low priority, on which rows are encoded: callers
//! cost the rest of the agent nothing.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::clock::{self, Instant};
use collector::CollectorHandle;
use collector::feed::{Event, Stored, Subscription};
use model::lock::lock;
use store::carry::Packer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::UCred;

use super::{Begun, Message, Request};
use crate::control::Answer;
use crate::socket::{Protocol, reply, within};
use crate::status::Status;

/// A follower that takes nothing for this long, while there is something for it, is disconnected. A person who reads page by page
/// takes a while.
const FOLLOWER_PATIENCE: Duration = Duration::from_secs(60);
/// Priority of the thread, as for nice(1).
const NICE: i32 = 10;
/// Time for which one answer to `status` serves all callers.
const FRESH: Duration = Duration::from_millis(250);

/// The function that returns the state of the agent.
type GetStatus = Arc<dyn Fn() -> Status + Send + Sync>;

/// The protocol of the read socket.
#[derive(Clone)]
pub(crate) struct Read {
    status: GetStatus,
    collector: CollectorHandle,
    /// The latest answer to `status`, and when it was made.
    latest: Arc<Mutex<Option<(Instant, Answer)>>>,
}

impl Read {
    /// Serves the rows of this collector.
    pub(crate) fn new(status: GetStatus, collector: CollectorHandle) -> Self {
        Self { status, collector, latest: Arc::default() }
    }

    fn status(&self) -> Answer {
        let mut latest = lock(&self.latest);
        match &*latest {
            Some((at, answer)) if at.elapsed() < FRESH => answer.clone(),
            _ => {
                let answer = Answer::of(Ok((self.status)()));
                *latest = Some((clock::now(), answer.clone()));
                answer
            }
        }
    }

    async fn follow(&self, tracers: Vec<String>, recent: bool, stream: &mut UnixStream) -> io::Result<()> {
        let mut subscription = self.collector.follow(tracers, recent);
        let begun = Begun {
            collector_id: self.collector.collector_id.clone(),
            output: subscription.output(),
            store: self.collector.store().map(|path| path.display().to_string()),
        };
        send(stream, &line(&Answer::of(Ok(begun)))?).await?;
        let mut packer = Packer::new().map_err(io::Error::other)?;
        while let Some(event) = next(&mut subscription, stream).await? {
            match event {
                Event::Stored(stored) => send_rows(stream, &stored, &mut packer).await?,
                Event::LeftOut(count) => send(stream, &line(&Message::LeftOut(count))?).await?,
            }
        }
        send(stream, &line(&Message::End("stopped".to_owned()))?).await?;
        stream.shutdown().await
    }
}

impl Protocol for Read {
    const WHAT: &'static str = "read socket";
    /// The longest legitimate request names all tracers.
    const MAX_REQUEST: u64 = 64 << 10;
    const MAX_CALLERS: u32 = 32;
    const MAX_OF_ONE_USER: usize = 8;
    const PAUSE: Duration = Duration::from_millis(5);

    fn begin(&self) {
        // In Linux the priority is that of the calling thread.
        if let Err(cause) = rustix::process::setpriority_process(None, NICE) {
            tracing::debug!(%cause, "the thread of the read socket keeps its priority");
        }
    }

    /// Whoever the socket's mode lets connect may.
    fn refuses(&self, _: Option<UCred>) -> Option<&'static str> {
        None
    }

    fn is_busy(&self) -> bool {
        self.collector.feed().state().followers > 0
    }

    async fn serve(&self, request: &[u8], stream: &mut UnixStream) -> io::Result<()> {
        match serde_json::from_slice::<Request>(request) {
            Ok(Request::Status) => reply(stream, &self.status()).await,
            Ok(Request::Follow { tracers, recent }) => self.follow(tracers, recent, stream).await,
            Err(cause) => reply(stream, &Answer::Error(format!("not a valid request: {cause}"))).await,
        }
    }
}

/// Waits for what comes next; fails if the follower goes away, or says something.
async fn next(subscription: &mut Subscription, stream: &mut UnixStream) -> io::Result<Option<Event>> {
    tokio::select! {
        biased;
        event = subscription.next() => Ok(event),
        _ = stream.read_u8() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn send_rows(stream: &mut UnixStream, stored: &Stored, packer: &mut Packer) -> io::Result<()> {
    for part in &stored.parts {
        let mut bytes = Vec::new();
        let carried = packer.pack(part.rows(), part.first_id, &mut bytes).map_err(io::Error::other)?;
        send(stream, &line(&Message::Rows(carried))?).await?;
        send(stream, &bytes).await?;
        // Other callers are served meanwhile.
        tokio::task::yield_now().await;
    }
    send(stream, &line(&Message::Stored { output: stored.output })?).await
}

async fn send(stream: &mut UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = within(FOLLOWER_PATIENCE, stream.write(bytes)).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

fn line(message: &impl serde::Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}
