//! A running `query --follow`, of any user.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::wait::until;
use crate::{Agent, Scratch, binary};

/// Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A follower of an agent, killed when dropped.
#[derive(Debug)]
pub struct Follower {
    child: Child,
    scratch: Scratch,
}

/// Output and exit status of a follower that has ended.
#[derive(Debug)]
pub struct Followed {
    pub status: ExitStatus,
    /// Standard output, line by line.
    pub lines: Vec<String>,
    pub stderr: String,
}

impl Follower {
    /// Starts to follow with these options of `query`, and waits until the agent knows of it.
    ///
    /// # Panics
    /// When it does not begin.
    pub fn start(agent: &Agent, options: &[&str]) -> Self {
        let followed = || agent.status()["live"]["followed"].as_u64();
        let before = followed();
        let scratch = Scratch::new();
        let file = |name: &str| File::create(scratch.path().join(name)).expect("no output file");
        let child = command(agent, options).stdout(file("stdout")).stderr(file("stderr")).spawn();
        let follower = Self { child: child.expect("the follower can't be started"), scratch };
        until("the agent is followed", PATIENCE, || (followed() > before).then_some(()));
        follower
    }

    /// Returns the process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends the follower a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.pid(), signal).expect("the follower can't be signalled");
    }

    /// Returns the lines printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.read("stdout").lines().map(str::to_owned).collect()
    }

    /// Returns the messages printed so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits for the follower to end.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait(mut self) -> Followed {
        let status = until("the follower ends", PATIENCE, || {
            self.child.try_wait().expect("the follower can't be waited for")
        });
        Followed { status, lines: self.lines(), stderr: self.stderr() }
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.scratch.path().join(name);
        String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // After a test that failed; else it has ended, and there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the command that follows an agent with these options of `query`.
pub fn command(agent: &Agent, options: &[&str]) -> Command {
    let mut command = Command::new(binary::agent());
    command.args(["query", "--follow"]).args(options).arg("--workdir").arg(agent.store().workdir());
    command.stdin(Stdio::null());
    command
}
