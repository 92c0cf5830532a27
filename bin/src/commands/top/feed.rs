//! Receives rows and states of the running agent on threads of their own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use analyzer::top::Counter;
use anyhow::Context as _;
use flume::{Receiver, RecvTimeoutError, Sender};
use store::BatchRows;
use store::arrivals::Arrivals;

use crate::exit::Failure;
use crate::read::{self, FollowError, Following, Message, Request};
use crate::status::Status;

/// Number of messages that may wait. If the screen is too slow, the agent leaves rows out and says how many.
const WAITING: usize = 256;
/// Time between two states, and between two attempts to reach an agent.
const PERIOD: Duration = Duration::from_secs(1);

/// News of the agent.
pub(super) enum News {
    /// Rows of one tracer were stored.
    Rows { tracer: String, rows: BatchRows },
    /// The agent left out this number of rows, because this program was too slow.
    LeftOut(u64),
    /// The agent's state.
    Status(Box<Status>),
    /// No agent can be followed at the moment, for this reason. It is tried again.
    Gone(String),
}

/// The news, until this is dropped.
pub(super) struct Feed {
    pub(super) news: Receiver<News>,
    reads_all: Arc<AtomicBool>,
    /// Ends the threads when dropped.
    _stop: Sender<()>,
}

impl Feed {
    /// Begins to follow. `reads_all` says whether all columns are read, as filters need them, or those that are summed.
    ///
    /// # Errors
    /// No agent can be followed now.
    pub(super) fn begin(workdir: &Path, reads_all: bool) -> Result<Self, Failure> {
        let (sender, news) = flume::bounded(WAITING);
        let (stop, stopped) = flume::bounded(0);
        let first = follow(workdir)?;
        let reads_all = Arc::new(AtomicBool::new(reads_all));
        let rows = Rows {
            workdir: workdir.to_owned(),
            reads_all: reads_all.clone(),
            sender: sender.clone(),
            stopped: stopped.clone(),
        };
        let workdir = workdir.to_owned();
        start("rows", move || rows.run(first))?;
        start("states", move || states(&workdir, &sender, &stopped))?;
        Ok(Self { news, reads_all, _stop: stop })
    }

    /// Sets whether all columns are read of rows to come.
    pub(super) fn read_all(&self, all: bool) {
        self.reads_all.store(all, Ordering::Relaxed);
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(run);
    started.context("starting a thread")?;
    Ok(())
}

fn follow(workdir: &Path) -> Result<Following, FollowError> {
    Following::begin(workdir, &Request::Follow { tracers: Vec::new(), recent: false })
}

struct Rows {
    workdir: PathBuf,
    reads_all: Arc<AtomicBool>,
    sender: Sender<News>,
    stopped: Receiver<()>,
}

impl Rows {
    /// Sends rows until nobody takes them. After the end of an agent the next one is waited for.
    fn run(&self, first: Following) {
        let mut following = Ok(first);
        loop {
            let why = match following {
                Ok(mut following) => match self.pass_on(&mut following) {
                    Some(why) => why,
                    None => return,
                },
                Err(cause) => describe(&cause),
            };
            if self.sender.send(News::Gone(why)).is_err()
                || self.stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout)
            {
                return;
            }
            following = follow(&self.workdir);
        }
    }

    /// Passes rows on. Returns why the agent no longer sends; nothing if nobody takes the news any more.
    fn pass_on(&self, following: &mut Following) -> Option<String> {
        let (mut arrivals, mut bytes) = (Arrivals::default(), Vec::new());
        let wants = |column: &str| self.reads_all.load(Ordering::Relaxed) || Counter::reads(column);
        loop {
            let news = match following.next(&mut bytes) {
                Ok(Message::Rows(carried)) => match arrivals.rows(&carried, &bytes, wants) {
                    Ok(rows) => News::Rows { tracer: carried.tracer, rows },
                    Err(cause) => return Some(describe(&cause)),
                },
                Ok(Message::Stored { .. }) => continue,
                Ok(Message::LeftOut(count)) => News::LeftOut(count),
                Ok(Message::End(_)) => return Some("the agent has stopped".to_owned()),
                Err(cause) => return Some(describe(&cause)),
            };
            self.sender.send(news).ok()?;
        }
    }
}

/// Sends the agent's state each second.
fn states(workdir: &Path, sender: &Sender<News>, stopped: &Receiver<()>) {
    loop {
        // That no agent answers is news of the other thread.
        if let Ok(status) = read::status(workdir)
            && sender.send(News::Status(Box::new(status))).is_err()
        {
            return;
        }
        if stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

fn describe(cause: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(cause.source(), |cause| cause.source());
    sources.fold(cause.to_string(), |text, cause| format!("{text}: {cause}"))
}
