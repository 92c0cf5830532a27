//! The way to the host: whole lines, written so that none of them gets stuck or torn in Python duetector.
//!
//! That host reads only while it polls, until its pipe has been empty for a moment, and looks at the pipe alone: lines
//! that it read ahead, behind the one it took, wait unseen until more is written, and are lost when it stops. Polls
//! that last longer than the time between them share one stream and tear its lines. So a line is written only
//! - when the pipe is empty: then there is nothing to read ahead. The pipe is made as small as it can be, one page, so
//!   that the kernel says at once when it has been emptied (it is writable exactly then);
//! - in the first part of the time between two polls, so that a poll is over before the next one begins;
//! - by one writer at a time, log lines included: they may share the pipe.
//!
//! A host that reads always needs none of this, and gets lines as fast as it takes them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use actors::clock::{self, Instant};
use rustix::event::{PollFd, PollFlags};

use super::polls::Polls;

/// So much can be written at once without waiting when a pipe says it is writable (POSIX's `PIPE_BUF`, a page).
pub(crate) const ATOMIC: usize = 4096;
/// How often who waits for the host looks whether it is still to wait.
const LOOK: Duration = Duration::from_millis(20);
/// Between two looks at a pipe that is writable and not empty: it has more than one page.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// When asked to end: how long the host may take to make room. One that reads on after its `stop` does so at once;
/// Python duetector never does.
const LAST_READ: Duration = Duration::from_millis(300);

/// How the host reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostReads {
    /// Only for a moment after each `event` message of its own: Python duetector.
    AtPolls {
        /// It is not to be told more than so many records a second, on average; 0: as many as it reads.
        most_a_second: u32,
    },
    /// Always: this agent.
    Always,
}

/// Why a line was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsaid {
    /// Nobody reads any more.
    #[error("the host has gone")]
    Gone,
    /// The time to end is over.
    #[error("the host did not read it before the end")]
    TimeIsUp,
}

/// The way to the host. Clones are the same.
#[derive(Clone)]
pub struct HostPipe(Arc<Inner>);

struct Inner {
    out: Mutex<File>,
    /// For looking at it while somebody writes.
    watch: File,
    reads: HostReads,
    turn: Mutex<Turn>,
    changed: Condvar,
}

struct Turn {
    polls: Polls,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Open,
    /// All that is left is to be written by then.
    Ending(Instant),
    Gone,
}

/// Whose turn it is.
enum Go {
    /// A line may be written once the pipe is empty, until then.
    WhenEmpty(Instant),
    Now,
}

impl HostPipe {
    /// The way out over `out`, to a host that reads so. What is no pipe is written to as it is.
    ///
    /// # Errors
    /// When the descriptor can't be used.
    pub fn new(out: OwnedFd, reads: HostReads) -> io::Result<Self> {
        let out = File::from(out);
        let is_pipe = out.metadata()?.file_type().is_fifo();
        let reads = if is_pipe { reads } else { HostReads::Always };
        let most_a_second = match reads {
            HostReads::AtPolls { most_a_second } => most_a_second,
            HostReads::Always => 0,
        };
        if reads != HostReads::Always {
            // The least there is: one page. Where that is refused, waiting for it to be empty only takes longer.
            let _ = rustix::pipe::fcntl_setpipe_size(&out, ATOMIC);
        }
        let turn = Turn { polls: Polls::new(most_a_second), phase: Phase::Open };
        let watch = out.try_clone()?;
        let inner =
            Inner { out: Mutex::new(out), watch, reads, turn: Mutex::new(turn), changed: Condvar::new() };
        Ok(Self(Arc::new(inner)))
    }

    /// The host has polled just now.
    pub fn polled(&self) {
        self.0.turn().polls.note(clock::now());
        self.0.changed.notify_all();
    }

    /// Answers a poll with a blank line, by which a host that reads always knows that we live. Python duetector, which
    /// does not ask for that, would log it.
    pub fn show_life(&self) {
        if self.0.reads == HostReads::Always {
            self.say(b"\n", LOOK);
        }
    }

    /// From now on nothing is waited for but room in the pipe, and that not longer than until `deadline`.
    pub fn end_by(&self, deadline: Instant) {
        let mut turn = self.0.turn();
        if let Phase::Open = turn.phase {
            turn.phase = Phase::Ending(deadline);
        }
        drop(turn);
        self.0.changed.notify_all();
    }

    /// Nobody reads any more.
    pub fn gone(&self) {
        self.0.turn().phase = Phase::Gone;
        self.0.changed.notify_all();
    }

    /// Says something that is no record, as soon as the pipe is empty; says whether it could within `patience`.
    pub fn say(&self, line: &[u8], patience: Duration) -> bool {
        let give_up_at = clock::now() + patience;
        while clock::now() < give_up_at {
            let out = match self.0.out.try_lock() {
                Ok(out) => out,
                Err(TryLockError::Poisoned(out)) => out.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(LOOK_AGAIN);
                    continue;
                }
            };
            if self.0.reads == HostReads::Always || self.0.unread() == 0 {
                return self.0.push(out, line, Some(give_up_at)).is_ok();
            }
            drop(out);
            self.0.wait_writable(LOOK.min(give_up_at.saturating_duration_since(clock::now())));
        }
        false
    }

    /// Writes a record's line when it is its turn.
    ///
    /// # Errors
    /// When that will not come any more.
    pub(super) fn event(&self, line: &[u8]) -> Result<(), Unsaid> {
        loop {
            let until = match self.0.wait_for_turn()? {
                Go::Now => return self.0.push(self.0.out(), line, None),
                Go::WhenEmpty(until) => until,
            };
            if !self.0.wait_empty(until) {
                continue;
            }
            let out = self.0.out();
            // A log line may have come between.
            if self.0.unread() == 0 {
                self.0.turn().polls.note_line();
                return self.0.push(out, line, None);
            }
        }
    }

    /// Waits until the host has read everything, if that is how it is to be; says how many bytes it has not.
    pub(super) fn unread(&self) -> u64 {
        if self.0.reads == HostReads::Always {
            return 0;
        }
        let mut give_up_at = None;
        loop {
            let unread = self.0.unread();
            let phase = self.0.turn().phase;
            let now = clock::now();
            match phase {
                _ if unread == 0 => return 0,
                Phase::Gone => return unread,
                Phase::Ending(deadline) => {
                    if now >= *give_up_at.get_or_insert(deadline.min(now + LAST_READ)) {
                        return unread;
                    }
                }
                Phase::Open => {}
            }
            self.0.wait_writable(LOOK);
        }
    }
}

impl Inner {
    fn out(&self) -> MutexGuard<'_, File> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a record may be written.
    fn wait_for_turn(&self) -> Result<Go, Unsaid> {
        let mut turn = self.turn();
        loop {
            match (turn.phase, self.reads) {
                (Phase::Gone, _) => return Err(Unsaid::Gone),
                (Phase::Ending(_), _) | (Phase::Open, HostReads::Always) => return Ok(Go::Now),
                (Phase::Open, HostReads::AtPolls { .. }) => {}
            }
            if let Some(until) = turn.polls.open_until(clock::now()) {
                return Ok(Go::WhenEmpty(until));
            }
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the host has emptied the pipe; false if it has not by then, or things have changed.
    fn wait_empty(&self, until: Instant) -> bool {
        loop {
            if self.unread() == 0 {
                return true;
            }
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() || !matches!(self.turn().phase, Phase::Open) {
                return false;
            }
            self.wait_writable(left.min(LOOK));
        }
    }

    /// Bytes that wait in the pipe.
    fn unread(&self) -> u64 {
        // What does not tell (no pipe) is not waited for.
        rustix::io::ioctl_fionread(&self.watch).unwrap_or(0)
    }

    /// Waits for room in the pipe, which in a pipe of one page is that it is empty. False if there is none by then.
    fn wait_writable(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.watch, PollFlags::OUT)];
        let patience = rustix::event::Timespec::try_from(patience).ok();
        let ready = rustix::event::poll(&mut fds, patience.as_ref()).is_ok_and(|ready| ready > 0);
        let said = fds[0].revents();
        if said.contains(PollFlags::ERR) {
            self.turn().phase = Phase::Gone;
            self.changed.notify_all();
        }
        if ready && self.unread() > 0 && self.reads != HostReads::Always {
            std::thread::sleep(LOOK_AGAIN);
        }
        ready && said.contains(PollFlags::OUT)
    }

    /// Writes a line in pieces that the pipe has room for, waiting for that room until `deadline` at most.
    fn push(
        &self,
        mut out: MutexGuard<'_, File>,
        line: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), Unsaid> {
        for piece in line.chunks(ATOMIC) {
            self.wait_for_room(deadline)?;
            if out.write_all(piece).is_err() {
                self.turn().phase = Phase::Gone;
                return Err(Unsaid::Gone);
            }
        }
        Ok(())
    }

    fn wait_for_room(&self, deadline: Option<Instant>) -> Result<(), Unsaid> {
        let mut last_read = None;
        loop {
            let now = clock::now();
            let deadline = match self.turn().phase {
                Phase::Gone => return Err(Unsaid::Gone),
                Phase::Open => deadline,
                Phase::Ending(end) => Some(end.min(*last_read.get_or_insert(now + LAST_READ))),
            };
            let left = deadline.map_or(LOOK, |deadline| deadline.saturating_duration_since(now));
            if self.wait_writable(left.min(LOOK)) {
                return Ok(());
            }
            if left.is_zero() {
                if last_read.is_some() {
                    // It does not read any more: nothing else needs to be tried.
                    self.turn().phase = Phase::Gone;
                }
                return Err(Unsaid::TimeIsUp);
            }
        }
    }
}

/// Whether two descriptors are the same pipe: then what is written to either is read as one.
pub fn same_pipe(one: impl AsFd, other: impl AsFd) -> bool {
    let (one, other) = (nix::sys::stat::fstat(one).ok(), nix::sys::stat::fstat(other).ok());
    one.zip(other).is_some_and(|(one, other)| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
