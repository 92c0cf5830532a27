//! The sockets in the work folder through which other processes reach the running agent: where each is, who may connect, and
//! the actor that serves it. The requests and answers on a socket are its [`Protocol`]: [`crate::control`] and [`crate::read`].

mod server;

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::trusted::trusted_file;
use store::access::Access;

pub(crate) use server::{Protocol, SocketServer, is_own, reply, within};

/// A socket in the work folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Socket {
    /// Name of its file.
    name: &'static str,
}

/// The socket for requests that may change something. Only root and the agent's own user may connect.
pub(crate) const CONTROL: Socket = Socket { name: "control.sock" };
/// The socket for requests that change nothing. The group that may read the store may connect, too.
pub(crate) const READ: Socket = Socket { name: "read.sock" };

impl Socket {
    /// Returns the path of the socket.
    pub(crate) fn path(self, workdir: &Path) -> PathBuf {
        workdir.join(self.name)
    }

    /// Binds the socket. This process must have locked the work folder: an old socket in it then belongs to an agent that has
    /// ended, and is removed.
    pub(crate) fn bind(self, workdir: &Path, access: Access) -> io::Result<Arc<UnixListener>> {
        match std::fs::remove_file(self.path(workdir)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let (path, _folder) = self.short_path(workdir)?;
        let listener = UnixListener::bind(&path)?;
        listener.set_nonblocking(true)?;
        // What callers will find there must be this socket. A group may write to it, which is how it connects.
        Access::default().open_socket(&path)?;
        trusted_file(&self.path(workdir), &path.symlink_metadata()?)?;
        access.open_socket(&path)?;
        Ok(Arc::new(listener))
    }

    /// Connects to the agent that uses the work folder.
    pub(crate) fn connect(self, workdir: &Path) -> io::Result<UnixStream> {
        let (path, _folder) = self.short_path(workdir)?;
        UnixStream::connect(path)
    }

    /// Returns a path to the socket that fits into a socket address (108 bytes, see unix(7)) even for a deep work folder. The
    /// path leads through the returned descriptor of the folder, which must stay open while the path is used.
    fn short_path(self, workdir: &Path) -> io::Result<(PathBuf, File)> {
        let folder = File::open(workdir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), self.name));
        Ok((path, folder))
    }
}
