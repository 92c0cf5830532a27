//! The address that the server listens on. Others than this machine reach it only through a proxy, which has to be said.

use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// Prefix of the address of a unix socket.
const UNIX: &str = "unix:";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address of the network.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// The text is neither: a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            if path.starts_with('/') {
                return Ok(Self::Unix(path.into()));
            }
            return Err("the path of a unix socket must be absolute, as in unix:/run/duetector-actors.sock"
                .to_owned());
        }
        let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
        found.map(Self::Tcp).ok_or_else(|| "must be HOST:PORT, as in 127.0.0.1:8120, or unix:PATH".to_owned())
    }

    /// Returns whether only processes of this machine can reach the address.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// Another process listens there, or this user may not.
    pub fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp(address) => {
                let listener = TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Listener::Tcp(listener))
            }
            Self::Unix(path) => {
                let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
                // Nobody answers on the socket of a server that has ended.
                if is_socket && UnixStream::connect(path).is_err() {
                    fs::remove_file(path)?;
                }
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                // As with an address of the network, everybody on this machine may connect, and needs a token.
                fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
                Ok(Listener::Unix(listener))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// A socket that clients can connect to.
#[derive(Debug)]
pub enum Listener {
    /// A socket of the network.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Returns the address at which clients reach the server: with the port that the system has chosen, if it was 0.
    pub fn address(&self) -> Option<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Address::Tcp),
            Self::Unix(listener) => {
                listener.local_addr().ok()?.as_pathname().map(|path| Address::Unix(path.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_those_of_this_machine_known() {
        for local in ["127.0.0.1:0", "[::1]:8120", "localhost:1", "unix:/run/x.sock", "127.1.2.3:80"] {
            assert!(Address::parse(local).unwrap().is_local(), "{local}");
        }
        for open in ["0.0.0.0:8120", "[::]:8120", "192.0.2.1:1"] {
            assert!(!Address::parse(open).unwrap().is_local(), "{open}");
        }
        for wrong in ["", "8120", "127.0.0.1", "unix:x.sock", "unix:", "127.0.0.1:99999"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_socket_that_a_server_has_left_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("s"));
        let first = address.bind().unwrap();
        assert_eq!(address.bind().err().unwrap().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(first.address(), Some(address.clone()));
        drop(first);
        assert!(address.bind().is_ok());
    }
}
