//! Answers questions on threads of their own: a bounded number at the same time, each for a bounded time. Answers that are long are sent
//! while they are made.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::Bytes;
use futures::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::Problem;
use crate::stores::{Stop, Stores};

/// Size of the parts in which long answers are sent.
const PART: usize = 64 << 10;
/// Number of parts that wait for a client.
const PARTS: usize = 2;
/// A long answer may take so many times as long as a question.
const SENDING: u32 = 20;

/// The bounds of questions, and the stores that they read.
#[derive(Debug)]
pub(crate) struct Questions {
    stores: Stores,
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    limit: Duration,
    patience: Duration,
}

/// Permission of a question to run, which counts it among those that run or wait.
#[derive(Debug)]
struct Admitted {
    _admitted: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

/// The store that a question reads, and what can stop it.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) stop: &'a Stop,
}

impl Questions {
    /// Sets the bounds: how many questions run, how many more wait, how long one may take, and how long a client may take for a part of an
    /// answer.
    pub(crate) fn new(
        stores: Stores,
        (running, waiting): (usize, usize),
        limit: Duration,
        patience: Duration,
    ) -> Self {
        let admitted = Arc::new(Semaphore::new(running + waiting));
        Self { stores, running: Arc::new(Semaphore::new(running)), admitted, limit, patience }
    }

    /// Returns the stores.
    pub(crate) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Returns how many questions run now.
    pub(crate) fn running(&self, most: usize) -> usize {
        most - self.running.available_permits().min(most)
    }

    async fn admit(&self) -> Result<Admitted, Problem> {
        let full = || Problem::busy("too many questions wait for an answer: ask again later");
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| full())?;
        let running = timeout(self.limit, self.running.clone().acquire_owned()).await;
        let running = running.ok().and_then(Result::ok).ok_or_else(full)?;
        Ok(Admitted { _admitted: admitted, _running: running })
    }

    /// Answers a question whose answer is short.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Job<'_>) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let admitted = self.admit().await?;
        let (stop, own) = (Arc::new(Stop::default()), self.clone());
        let ended = StopAtEnd(stop.clone());
        let work = tokio::task::spawn_blocking(move || {
            let _admitted = admitted;
            question(&Job { stores: &own.stores, stop: &stop })
        });
        let answer = timeout(self.limit, work).await;
        drop(ended);
        answer.map_err(|_| too_long())?.map_err(|_| panicked())?
    }

    /// Answers a question with what it writes. An error before the first part is an answer with its status; later, the connection ends.
    pub(crate) async fn write(
        self: &Arc<Self>,
        content_type: &'static str,
        question: impl FnOnce(&Job<'_>, &mut Parts) -> Result<(), Problem> + Send + 'static,
    ) -> Result<HttpResponse, Problem> {
        let admitted = self.admit().await?;
        let (stop, own) = (Arc::new(Stop::default()), self.clone());
        let ended = StopAtEnd(stop.clone());
        let (send, mut parts) = channel(PARTS);
        let mut out = Parts { buffer: Vec::new(), send, handle: Handle::current(), patience: self.patience };
        tokio::task::spawn_blocking(move || {
            let answered = question(&Job { stores: &own.stores, stop: &stop }, &mut out);
            // A client that has the whole answer may ask again at once.
            drop(admitted);
            match answered {
                Ok(()) => out.end(),
                Err(problem) => out.send(Part::Failed(problem)).unwrap_or_default(),
            }
        });
        let mut response = HttpResponse::Ok();
        response.insert_header((CONTENT_TYPE, content_type));
        match timeout(self.limit, parts.recv()).await.map_err(|_| too_long())? {
            None => Err(panicked()),
            Some(Part::Failed(problem)) => Err(problem),
            Some(Part::Last(bytes)) => Ok(response.body(bytes)),
            Some(Part::More(first)) => {
                let rest = Rest { first: Some(first), parts, is_done: false, _ended: ended };
                let until = tokio::time::sleep(self.limit * SENDING);
                Ok(response.streaming(stream::unfold(
                    (rest, Box::pin(until)),
                    |(mut rest, mut until)| async {
                        let part = tokio::select! {
                            () = &mut until => Some(Err(io::ErrorKind::TimedOut.into())),
                            part = rest.next() => part,
                        };
                        Some((part?, (rest, until)))
                    },
                )))
            }
        }
    }
}

fn too_long() -> Problem {
    analyzer::Error::Stopped.into()
}

fn panicked() -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the server has failed at this question; its log says why",
    )
}

/// Stops a question when nobody waits for its answer any more.
struct StopAtEnd(Arc<Stop>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// A part of an answer.
enum Part {
    More(Bytes),
    Last(Bytes),
    Failed(Problem),
}

/// The parts of an answer that are still to come.
struct Rest {
    first: Option<Bytes>,
    parts: Receiver<Part>,
    is_done: bool,
    _ended: StopAtEnd,
}

impl Rest {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.is_done {
            return None;
        }
        match self.parts.recv().await {
            Some(Part::More(bytes)) => Some(Ok(bytes)),
            Some(Part::Last(bytes)) => {
                self.is_done = true;
                Some(Ok(bytes))
            }
            Some(Part::Failed(problem)) => {
                tracing::warn!(problem = problem.detail, "an answer ended early");
                self.is_done = true;
                Some(Err(io::Error::other(problem.detail)))
            }
            None => {
                self.is_done = true;
                Some(Err(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }
}

/// Takes what a question writes, and hands it on in parts.
pub(crate) struct Parts {
    buffer: Vec<u8>,
    send: Sender<Part>,
    handle: Handle,
    patience: Duration,
}

impl Parts {
    fn send(&mut self, part: Part) -> io::Result<()> {
        let sent = self.handle.block_on(timeout(self.patience, self.send.send(part)));
        match sent {
            Ok(Ok(())) => Ok(()),
            // The client takes nothing, or is gone.
            Ok(Err(_)) | Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn end(&mut self) {
        let last = std::mem::take(&mut self.buffer);
        // Nobody is there to hear of an error.
        let _ = self.send(Part::Last(last.into()));
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART {
            let part = std::mem::take(&mut self.buffer);
            self.send(Part::More(part.into()))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<io::Error> for Problem {
    /// Returns the error for an answer that nobody takes.
    fn from(cause: io::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer could not be written: {cause}"))
    }
}
