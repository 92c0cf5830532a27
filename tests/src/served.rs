//! `serve` at work, as its users start it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::http::{Address, Response, ask};
use crate::wait::{until, within};
use crate::{Scratch, binary};

/// Long enough for a loaded machine; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, killed when dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    scratch: Scratch,
    pub address: Address,
    /// The token in the work folder, if there is one.
    pub token: String,
}

impl Served {
    /// Starts `serve` on a work folder, as its owner if `uid` says who that is, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(workdir: &Path, uid: Option<u32>, options: &[&str]) -> Self {
        let scratch = Scratch::new();
        let mut command = Command::new(binary::public_agent(&scratch));
        command.arg("serve").args(options).arg("--insecure-permissions").arg("--workdir").arg(workdir);
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let log = File::create(scratch.path().join("log")).expect("no log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().expect("the server can't be started");
        let read = || fs::read_to_string(scratch.path().join("log")).unwrap_or_default();
        let address = until("the server listens", PATIENCE, || {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("the server ended with {status}:\n{}", read());
            }
            address(&read())
        });
        let token = fs::read_to_string(workdir.join("server.token")).unwrap_or_default().trim().to_owned();
        Self { child, scratch, address, token }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }

    /// Asks a route of our own, with the token.
    pub fn get(&self, target: &str) -> Response {
        ask(&self.address, "GET", target, &[("Authorization", &format!("Bearer {}", self.token))], b"")
    }

    /// Asks a route of our own with a body of JSON, and the token.
    pub fn post(&self, target: &str, body: &str) -> Response {
        let token = format!("Bearer {}", self.token);
        let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
        ask(&self.address, "POST", target, &headers, body.as_bytes())
    }

    /// Asks the server to end, and waits.
    ///
    /// # Panics
    /// When it does not.
    pub fn stop(&mut self) -> ExitStatus {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("the server can't be signalled");
        let ended = within(PATIENCE, || self.child.try_wait().expect("the server can't be waited for"));
        ended.unwrap_or_else(|| panic!("the server did not end:\n{}", self.log()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the address that the log names, when the line is complete.
fn address(log: &str) -> Option<Address> {
    let (_, rest) = log.split_once("serving ")?;
    let (line, _) = rest.split_once('\n')?;
    let (_, address) = line.rsplit_once(" on ")?;
    Some(match address.strip_prefix("http://") {
        Some(address) => Address::Tcp(address.parse().ok()?),
        None => Address::Unix(PathBuf::from(address.strip_prefix("unix:")?)),
    })
}
