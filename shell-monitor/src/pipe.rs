//! The reading end of a pipe, which can also be emptied without waiting.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::FcntlArg;
use tokio::net::unix::pipe::Receiver;

/// The kernel's default (`pipe(7)`).
const USUAL_CAPACITY: usize = 64 * 1024;

/// What one look at a pipe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// So many bytes.
    Bytes(usize),
    /// None now.
    Empty,
    /// None ever again.
    End,
}

/// The reading end.
pub(crate) struct Pipe {
    receiver: Receiver,
}

impl Pipe {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { receiver: Receiver::from_owned_fd(fd)? })
    }

    /// Waits until there is something to look at. Can be given up at any time without loss.
    pub(crate) async fn readable(&self) {
        if self.receiver.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads what is there, after [`Pipe::readable`].
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Look {
        match self.receiver.try_read(buffer) {
            Ok(0) => Look::End,
            Ok(count) => Look::Bytes(count),
            Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => Look::Empty,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => Look::Empty,
            // A pipe that can't be read has nothing more to say.
            Err(_) => Look::End,
        }
    }

    /// How much it can hold. So much, at most, did a writer that has ended leave in it.
    pub(crate) fn capacity(&self) -> usize {
        let size = nix::fcntl::fcntl(&self.receiver, FcntlArg::F_GETPIPE_SZ);
        size.ok().and_then(|size| usize::try_from(size).ok()).unwrap_or(USUAL_CAPACITY)
    }

    /// Reads what is there, asking the kernel even when the runtime has not heard of it yet: after a child's
    /// end everything it wrote is found this way.
    pub(crate) fn read_now(&self, buffer: &mut [u8]) -> Look {
        loop {
            return match nix::unistd::read(&self.receiver, buffer) {
                Ok(0) => Look::End,
                Ok(count) => Look::Bytes(count),
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => Look::Empty,
                Err(_) => Look::End,
            };
        }
    }
}
