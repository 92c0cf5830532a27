//! The pipe to the host: writes whole lines so that Python duetector neither overlooks nor tears any of them.
//!
//! Python duetector reads only while it polls, until its pipe has been empty for a moment, and it checks only the
//! pipe: lines that it has read ahead into its buffer, behind the line it took, wait there until more is written, and
//! are lost when it stops. If a poll takes longer than the interval between polls, two polls share one stream and
//! tear its lines. So a line is written only
//! - when the pipe is empty: then the host can't read ahead. The pipe is made as small as possible, one page, so that
//!   the kernel reports at once when it has been emptied (only then is it writable);
//! - in the first part of the interval between two polls, so that a poll ends before the next one begins;
//! - by one writer at a time, including log lines, which may share the pipe.
//!
//! ```text
//!   host         poll                              poll
//!   time      ────┼───────────────────┬─────────────┼────────▶
//!   pipe          │ open: line, wait  │ closed:     │ open …
//!                 │ until empty, line │ rows wait   │
//! ```
//!
//! A host that always reads needs none of this, and gets lines as fast as it takes them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use actors::clock::{self, Instant};
use model::lock::{lock, unpoisoned};
use rustix::event::{PollFd, PollFlags};

use super::polls::Polls;

/// Number of bytes that can be written without waiting when a pipe is writable (POSIX's `PIPE_BUF`, a page).
pub(crate) const ATOMIC: usize = 4096;
/// Interval at which a writer that waits for the host checks whether it should still wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);
/// Interval between checks of a pipe that is writable but not empty, because it has more than one page.
const EMPTY_POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Time that the host may take to make room once the pipe is to end. A host that reads on after its `stop` does so at
/// once; Python duetector never does.
const LAST_READ: Duration = Duration::from_millis(300);

/// When the host reads from the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostReads {
    /// Only for a moment after each `event` message of its own, as Python duetector does.
    AtPolls {
        /// Highest average number of records per second to send; 0: no limit.
        most_a_second: u32,
    },
    /// All the time, as this agent does.
    Always,
}

/// Reasons why a line was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The host has closed its end of the pipe.
    #[error("the parent program is gone")]
    Gone,
    /// The pipe has ended before the line could be written.
    #[error("the parent program did not read the line in time")]
    Ended,
}

/// Handle to the pipe to the host. Clones share it.
#[derive(Clone)]
pub struct HostPipe(Arc<Inner>);

struct Inner {
    out: Mutex<File>,
    /// Duplicate of the descriptor, to poll the pipe while another thread writes.
    watch: File,
    reads: HostReads,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    polls: Polls,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    Open,
    /// The pipe is to end; all lines must be written by this time.
    Ending(Instant),
    Gone,
}

/// When a line may be written.
enum WriteWhen {
    /// Once the pipe is empty, until this time.
    WhenEmpty(Instant),
    Now,
}

impl HostPipe {
    /// Makes a pipe that writes to `out`, for a host that reads as `reads` says. If `out` is not a pipe, lines are
    /// written at once.
    ///
    /// # Errors
    /// The descriptor can't be used.
    pub fn new(out: OwnedFd, reads: HostReads) -> io::Result<Self> {
        let out = File::from(out);
        let is_pipe = out.metadata()?.file_type().is_fifo();
        let reads = if is_pipe { reads } else { HostReads::Always };
        let most_a_second = match reads {
            HostReads::AtPolls { most_a_second } => most_a_second,
            HostReads::Always => 0,
        };
        if reads != HostReads::Always {
            // The smallest size is one page. If the kernel refuses it, waiting for an empty pipe only takes longer.
            let _ = rustix::pipe::fcntl_setpipe_size(&out, ATOMIC);
        }
        let state = State { polls: Polls::new(most_a_second), phase: Phase::Open };
        let watch = out.try_clone()?;
        let inner =
            Inner { out: Mutex::new(out), watch, reads, state: Mutex::new(state), changed: Condvar::new() };
        Ok(Self(Arc::new(inner)))
    }

    /// Records that the host has polled just now.
    pub fn polled(&self) {
        self.0.state().polls.note(clock::now());
        self.0.changed.notify_all();
    }

    /// Answers a poll with a blank line, which shows a host that always reads that this agent is alive. Python
    /// duetector does not expect one and would log it.
    pub fn show_life(&self) {
        if self.0.reads == HostReads::Always {
            self.say(b"\n", CHECK_INTERVAL);
        }
    }

    /// Ends the pipe: from now on writers wait only for room in the pipe, and at most until `deadline`.
    pub fn end_by(&self, deadline: Instant) {
        let mut state = self.0.state();
        if let Phase::Open = state.phase {
            state.phase = Phase::Ending(deadline);
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Marks the host as gone: nothing is written any more.
    pub fn gone(&self) {
        self.0.state().phase = Phase::Gone;
        self.0.changed.notify_all();
    }

    /// Returns whether the host has closed its end of the pipe; then nothing is written any more.
    pub fn is_closed(&self) -> bool {
        let mut fds = [PollFd::new(&self.0.watch, PollFlags::empty())];
        let now = rustix::event::Timespec::default();
        let ready = rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0);
        let closed = ready && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP);
        if closed {
            self.gone();
        }
        closed
    }

    /// Writes a line that is not a record as soon as the pipe is empty; returns whether that was possible within
    /// `patience`.
    pub fn say(&self, line: &[u8], patience: Duration) -> bool {
        let give_up_at = clock::now() + patience;
        while clock::now() < give_up_at {
            let out = match self.0.out.try_lock() {
                Ok(out) => out,
                Err(TryLockError::Poisoned(out)) => out.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(EMPTY_POLL_INTERVAL);
                    continue;
                }
            };
            if self.0.reads == HostReads::Always || self.0.unread() == 0 {
                return self.0.push(out, line, Some(give_up_at)).is_ok();
            }
            drop(out);
            self.0.wait_writable(CHECK_INTERVAL.min(give_up_at.saturating_duration_since(clock::now())));
        }
        false
    }

    /// Writes a record's line as soon as the host can take it.
    ///
    /// # Errors
    /// The host is gone, or the pipe has ended before.
    pub(super) fn event(&self, line: &[u8]) -> Result<(), NotSent> {
        loop {
            let until = match self.0.wait_until_allowed()? {
                WriteWhen::Now => return self.0.push(self.0.out(), line, None),
                WriteWhen::WhenEmpty(until) => until,
            };
            if !self.0.wait_empty(until) {
                continue;
            }
            let out = self.0.out();
            // A log line may have been written in between.
            if self.0.unread() == 0 {
                self.0.state().polls.note_line();
                return self.0.push(out, line, None);
            }
        }
    }

    /// Waits until the host has read everything, if it reads at polls; returns how many bytes it has not read.
    pub(super) fn unread(&self) -> u64 {
        if self.0.reads == HostReads::Always {
            return 0;
        }
        let mut give_up_at = None;
        loop {
            let unread = self.0.unread();
            let phase = self.0.state().phase;
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
            self.0.wait_writable(CHECK_INTERVAL);
        }
    }
}

impl Inner {
    fn out(&self) -> MutexGuard<'_, File> {
        lock(&self.out)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits until a record may be written.
    fn wait_until_allowed(&self) -> Result<WriteWhen, NotSent> {
        let mut state = self.state();
        loop {
            match (state.phase, self.reads) {
                (Phase::Gone, _) => return Err(NotSent::Gone),
                (Phase::Ending(_), _) | (Phase::Open, HostReads::Always) => return Ok(WriteWhen::Now),
                (Phase::Open, HostReads::AtPolls { .. }) => {}
            }
            if let Some(until) = state.polls.open_until(clock::now()) {
                return Ok(WriteWhen::WhenEmpty(until));
            }
            state = unpoisoned(self.changed.wait(state));
        }
    }

    /// Waits until the host has emptied the pipe. Returns false if that did not happen in time, or the pipe is
    /// ending.
    fn wait_empty(&self, until: Instant) -> bool {
        loop {
            if self.unread() == 0 {
                return true;
            }
            let left = until.saturating_duration_since(clock::now());
            if left.is_zero() || !matches!(self.state().phase, Phase::Open) {
                return false;
            }
            self.wait_writable(left.min(CHECK_INTERVAL));
        }
    }

    /// Returns the number of bytes in the pipe.
    fn unread(&self) -> u64 {
        // A descriptor that can't report it (not a pipe) counts as empty.
        rustix::io::ioctl_fionread(&self.watch).unwrap_or(0)
    }

    /// Waits for room in the pipe; a pipe of one page has room only when it is empty. Returns false if there is none
    /// in time.
    fn wait_writable(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.watch, PollFlags::OUT)];
        let patience = rustix::event::Timespec::try_from(patience).ok();
        let ready = rustix::event::poll(&mut fds, patience.as_ref()).is_ok_and(|ready| ready > 0);
        let events = fds[0].revents();
        if events.contains(PollFlags::ERR) {
            self.state().phase = Phase::Gone;
            self.changed.notify_all();
        }
        if ready && self.unread() > 0 && self.reads != HostReads::Always {
            std::thread::sleep(EMPTY_POLL_INTERVAL);
        }
        ready && events.contains(PollFlags::OUT)
    }

    /// Writes a line in pieces that fit into the pipe, waiting for room until `deadline` at most.
    fn push(
        &self,
        mut out: MutexGuard<'_, File>,
        line: &[u8],
        deadline: Option<Instant>,
    ) -> Result<(), NotSent> {
        for piece in line.chunks(ATOMIC) {
            self.wait_for_room(deadline)?;
            if out.write_all(piece).is_err() {
                self.state().phase = Phase::Gone;
                return Err(NotSent::Gone);
            }
        }
        Ok(())
    }

    fn wait_for_room(&self, deadline: Option<Instant>) -> Result<(), NotSent> {
        let mut last_read = None;
        loop {
            let now = clock::now();
            let deadline = match self.state().phase {
                Phase::Gone => return Err(NotSent::Gone),
                Phase::Open => deadline,
                Phase::Ending(end) => Some(end.min(*last_read.get_or_insert(now + LAST_READ))),
            };
            let left = deadline.map_or(CHECK_INTERVAL, |deadline| deadline.saturating_duration_since(now));
            if self.wait_writable(left.min(CHECK_INTERVAL)) {
                return Ok(());
            }
            if left.is_zero() {
                if last_read.is_some() {
                    // The host has stopped reading, so further lines need not be tried.
                    self.state().phase = Phase::Gone;
                }
                return Err(NotSent::Ended);
            }
        }
    }
}

/// Returns whether two descriptors refer to the same pipe: then text written to either is read as one stream.
pub fn same_pipe(one: impl AsFd, other: impl AsFd) -> bool {
    let (one, other) = (nix::sys::stat::fstat(one).ok(), nix::sys::stat::fstat(other).ok());
    one.zip(other).is_some_and(|(one, other)| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
