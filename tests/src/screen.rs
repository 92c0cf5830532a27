//! `top` on a terminal of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use vt100::Parser;

use crate::wait::{until, within};
use crate::{Agent, binary};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;
/// Only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `top`, killed when dropped.
pub struct Screen {
    child: Child,
    keys: File,
    terminal: Arc<Mutex<Parser>>,
}

impl Screen {
    /// Starts `top` with these options on a terminal of 80 x 24 characters.
    ///
    /// # Panics
    /// When there is no terminal to be had, or the program can't be started.
    pub fn start(agent: &Agent, options: &[&str]) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("no terminal");
        // Otherwise the program would keep its own terminal open.
        fcntl(&pty.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("the terminal is inherited");
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().expect("no descriptor left"));
        let mut command = Command::new(binary::agent());
        command.arg("top").args(options).arg("--workdir").arg(agent.store().workdir());
        command.env("TERM", "xterm-256color");
        let child = command.stdin(end(&pty.slave)).stdout(end(&pty.slave)).stderr(end(&pty.slave)).spawn();
        drop(pty.slave);
        let size = |length: u16| length.try_into().expect("not zero");
        let terminal = Arc::new(Mutex::new(Parser::new(size(ROWS), size(COLUMNS), 0)));
        let mut output = File::from(pty.master.try_clone().expect("no descriptor left"));
        let shown = terminal.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Ends with an error when the program has ended.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("a panic of the test").process(&bytes[..count]);
            }
        });
        Self { child: child.expect("top can't be started"), keys: File::from(pty.master), terminal }
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the terminal shows.
    ///
    /// # Panics
    /// After a panic of the thread that reads.
    pub fn text(&self) -> String {
        self.terminal.lock().expect("a panic of the reader").screen().contents()
    }

    /// Waits until the terminal shows a text.
    ///
    /// # Panics
    /// When that does not happen in time.
    pub fn until(&self, expected: &str) {
        let shown = within(PATIENCE, || self.text().contains(expected).then_some(()));
        assert!(shown.is_some(), "the screen does not show {expected}:\n{}", self.text());
    }

    /// Presses keys.
    ///
    /// # Panics
    /// When the terminal is closed.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is closed");
    }

    /// Sends the program a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("top has ended");
    }

    /// Waits for the end; the terminal must be as before.
    ///
    /// # Panics
    /// When that does not happen in time.
    pub fn wait(mut self) -> ExitStatus {
        let status = until("top has ended", PATIENCE, || self.child.try_wait().expect("no child"));
        let terminal = self.terminal.clone();
        until("the screen is left", PATIENCE, || {
            let terminal = terminal.lock().expect("a panic of the reader");
            (!terminal.screen().alternate_screen() && !terminal.screen().hide_cursor()).then_some(())
        });
        status
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
