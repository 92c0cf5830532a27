//! Read end of a pipe, which can also be emptied without waiting.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::FcntlArg;
use tokio::net::unix::pipe::Receiver;

/// Default capacity of a pipe in bytes (`pipe(7)`).
const USUAL_CAPACITY: usize = 64 * 1024;

/// Result of one read from a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollResult {
    /// Number of bytes read.
    Bytes(usize),
    /// No bytes at the moment.
    Empty,
    /// End of the stream.
    End,
}

/// Read end of a pipe.
pub(crate) struct Pipe {
    receiver: Receiver,
}

impl Pipe {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { receiver: Receiver::from_owned_fd(fd)? })
    }

    /// Waits until there may be something to read. The future can be dropped at any time without losing data.
    pub(crate) async fn readable(&self) {
        if self.receiver.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads what is available, after [`Pipe::readable`].
    pub(crate) fn read(&self, buffer: &mut [u8]) -> PollResult {
        match self.receiver.try_read(buffer) {
            Ok(0) => PollResult::End,
            Ok(count) => PollResult::Bytes(count),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => PollResult::Empty,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => PollResult::Empty,
            // A pipe that can't be read counts as ended.
            Err(_) => PollResult::End,
        }
    }

    /// Returns the pipe's capacity in bytes. A writer that has exited can't have left more than this.
    pub(crate) fn capacity(&self) -> usize {
        let size = nix::fcntl::fcntl(&self.receiver, FcntlArg::F_GETPIPE_SZ);
        size.ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(USUAL_CAPACITY)
    }

    /// Reads what is available, asking the kernel even if the runtime has not been notified yet: after a child's exit
    /// this finds everything it wrote.
    pub(crate) fn read_now(&self, buffer: &mut [u8]) -> PollResult {
        loop {
            return match nix::unistd::read(&self.receiver, buffer) {
                Ok(0) => PollResult::End,
                Ok(count) => PollResult::Bytes(count),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => PollResult::Empty,
                Err(_) => PollResult::End,
            };
        }
    }
}
