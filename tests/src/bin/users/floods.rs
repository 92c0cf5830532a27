//! The floods: calls of one kind, as fast as one process can make them.

use std::ffi::CString;
use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;
use nix::fcntl::{AT_FDCWD, OFlag, RenameFlags, open, renameat2};
use nix::sys::signal::kill;
use nix::sys::socket::{SockaddrIn, connect};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, Uid, execv, setresuid};

/// Error of any call.
pub(crate) type Error = Box<dyn std::error::Error>;

/// Calls under one subordinate uid before it is the next one's turn.
const CALLS_OF_ONE_UID: u32 = 100;

/// Refused executions for each that succeeds.
const REFUSED: u32 = 200;

/// A kind of calls.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Flood {
    /// Opens that are refused
    Open,
    /// Refused renames, with two paths of 4 KB that are no UTF-8
    Rename,
    /// Changes between two folders whose paths have 5 KB
    Chdir,
    /// Signal 0 to a process that is not the user's
    Kill,
    /// New processes, and refused executions with long arguments
    Exec,
    /// Connects on the loopback interface that are refused, because the socket is connected
    Connect,
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", clap::builder::PossibleValue::get_name))
    }
}

impl Flood {
    /// Makes such calls until this process is killed.
    pub(crate) fn run(self, folder: &Path, subordinates: u32) -> Result<(), Error> {
        let mut call = self.call(folder)?;
        for uid in 1.. {
            if subordinates > 0 {
                let [root, uid] = [0, 1 + uid % subordinates].map(Uid::from_raw);
                setresuid(root, root, root)?;
                // The saved id leads back.
                setresuid(uid, uid, root)?;
            }
            (0..CALLS_OF_ONE_UID).for_each(|_| call());
        }
        Ok(())
    }

    /// Returns a function that makes one call, or some. That they are refused is no matter: they are recorded.
    fn call(self, folder: &Path) -> Result<Box<dyn FnMut()>, Error> {
        let long = |byte: u8| [[byte; 250].as_slice(), b"/"].concat().repeat(16);
        Ok(match self {
            Self::Open => {
                let path = CString::new("/etc/shadow")?;
                Box::new(move || drop(open(path.as_c_str(), OFlag::O_RDONLY, Mode::empty())))
            }
            Self::Rename => {
                let (from, to) = (CString::new(long(0xff))?, CString::new(long(0xfe))?);
                Box::new(move || {
                    let (from, to) = (from.as_c_str(), to.as_c_str());
                    let _ = renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::empty());
                })
            }
            Self::Chdir => {
                enter_deep(folder)?;
                let mut other = ["../b", "../a"].map(PathBuf::from).into_iter().cycle();
                Box::new(move || drop(other.next().map(std::env::set_current_dir)))
            }
            Self::Kill => Box::new(|| {
                let _ = kill(Pid::from_raw(1), None);
            }),
            Self::Exec => {
                let program = CString::new("/etc/passwd")?;
                let arguments = vec![CString::new([b'x'; 250])?; 16];
                Box::new(move || {
                    for _ in 0..REFUSED {
                        let _ = execv(&program, &arguments);
                    }
                    drop(Command::new("/bin/true").status());
                })
            }
            Self::Connect => {
                let listener = TcpListener::bind(("127.0.0.1", 0))?;
                let address = listener.local_addr()?;
                let connected = TcpStream::connect(address)?;
                let accepted = listener.accept()?;
                let SocketAddr::V4(address) = address else { return Err("no IPv4 address".into()) };
                Box::new(move || {
                    let _ = (connect(connected.as_raw_fd(), &SockaddrIn::from(address)), &accepted);
                })
            }
        })
    }
}

/// Names of the folders on the way to the deep ones.
const DEPTH: usize = 23;

/// Makes two folders whose paths have some 5 KB, in one that all may enter.
pub(crate) fn make_deep(folder: &Path) -> Result<(), Error> {
    std::env::set_current_dir(folder)?;
    let name = "d".repeat(240);
    for _ in 0..DEPTH {
        std::fs::create_dir_all(&name)?;
        std::env::set_current_dir(&name)?;
    }
    ["a", "b"].iter().try_for_each(std::fs::create_dir_all)?;
    Ok(std::env::set_current_dir("/")?)
}

fn enter_deep(folder: &Path) -> Result<(), Error> {
    std::env::set_current_dir(folder)?;
    let name = "d".repeat(240);
    (0..DEPTH).try_for_each(|_| std::env::set_current_dir(&name))?;
    Ok(std::env::set_current_dir("a")?)
}
