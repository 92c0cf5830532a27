//! Runs a program under ptrace, and counts the bytes and calls that each of its processes had of each file below a
//! folder, from what the kernel returned: what the ledger is compared with. Prints a JSON array.
//!
//! What passes through memory shared with the kernel (libaio, io_uring) is not seen here.

mod calls;

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options as Ptrace};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use calls::{Stop, Use, uses};

#[derive(Parser)]
struct Options {
    /// The program becomes this user and group
    #[arg(long)]
    uid: u32,
    /// Only files below this folder count
    #[arg(long)]
    below: PathBuf,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let options = Options::parse();
    // A shell that becomes the program, once it is told that we are ready.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "read -r go; exec \"$@\"", "sh"]).args(&options.command);
    command.uid(options.uid).gid(options.uid).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn()?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let with = Ptrace::PTRACE_O_TRACESYSGOOD
        | Ptrace::PTRACE_O_TRACEFORK
        | Ptrace::PTRACE_O_TRACEVFORK
        | Ptrace::PTRACE_O_TRACECLONE
        | Ptrace::PTRACE_O_TRACEEXEC
        | Ptrace::PTRACE_O_EXITKILL;
    ptrace::seize(pid, with)?;
    ptrace::interrupt(pid)?;
    let mut input = child.stdin.take().ok_or("no pipe to the program")?;
    let mut count = Count { below: options.below, begun: HashMap::new(), total: HashMap::new() };
    input.write_all(b"\n")?;
    drop(input);
    let code = count.run(pid)?;
    count.say();
    std::process::exit(code)
}

struct Count {
    below: PathBuf,
    /// Calls that have not ended, by thread.
    begun: HashMap<Pid, Vec<Known>>,
    total: HashMap<Known, (u64, u64)>,
}

/// Use of one file by one process in one direction.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Known {
    pid: i32,
    dev: u64,
    ino: u64,
    direction: &'static str,
    /// Number of bytes added; without it, the value the call returns.
    length: Option<u64>,
}

impl Count {
    /// Until the program's first process has ended; gives its exit code.
    fn run(&mut self, first: Pid) -> Result<i32> {
        let mut code = None;
        loop {
            match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Err(Errno::ECHILD) => return Ok(code.unwrap_or(1)),
                Err(why) => return Err(why.into()),
                Ok(WaitStatus::Exited(pid, status)) if pid == first => code = Some(status),
                Ok(WaitStatus::PtraceSyscall(tid)) => {
                    self.stopped(tid)?;
                    go_on(tid, None)?;
                }
                Ok(WaitStatus::PtraceEvent(tid, ..)) => go_on(tid, None)?,
                Ok(WaitStatus::Stopped(tid, signal)) => go_on(tid, Some(signal))?,
                Ok(_) => {}
            }
        }
    }

    /// A call begins or ends.
    fn stopped(&mut self, tid: Pid) -> Result<()> {
        let registers = match ptrace::getregs(tid) {
            Ok(registers) => registers,
            // It was killed meanwhile.
            Err(Errno::ESRCH) => return Ok(()),
            Err(why) => return Err(why.into()),
        };
        let stop = Stop::of(&registers);
        match self.begun.remove(&tid) {
            Some(known) => known.into_iter().filter(|_| stop.returned >= 0).for_each(|known| {
                let bytes = known.length.unwrap_or(stop.returned.unsigned_abs());
                let total = self.total.entry(Known { length: None, ..known }).or_default();
                *total = (total.0 + bytes, total.1 + 1);
            }),
            None if stop.begins => {
                let uses = uses(&stop).into_iter().filter_map(|of| self.known(tid, of)).collect();
                self.begun.insert(tid, uses);
            }
            // The end of a clone() that made this thread.
            None => {}
        }
        Ok(())
    }

    /// Returns the file behind the descriptor at the beginning of the call: at its end it may be another.
    fn known(&self, tid: Pid, of: Use) -> Option<Known> {
        let link = PathBuf::from(format!("/proc/{tid}/fd/{}", of.fd));
        let path = fs::read_link(&link).ok()?;
        let meta = fs::metadata(&link).ok()?;
        let regular = meta.mode() & libc::S_IFMT == libc::S_IFREG;
        (regular && path.starts_with(&self.below)).then(|| Known {
            pid: process_of(tid),
            dev: meta.dev(),
            ino: meta.ino(),
            direction: of.direction,
            length: of.length,
        })
    }

    fn say(&self) {
        let one = |(of, (bytes, calls)): (&Known, &(u64, u64))| {
            let Known { pid, dev, ino, direction, .. } = of;
            format!(
                r#"{{"pid": {pid}, "dev": {dev}, "ino": {ino}, "direction": "{direction}", "bytes": {bytes}, "calls": {calls}}}"#
            )
        };
        let all: Vec<_> = self.total.iter().map(one).collect();
        say(&format!("[{}]", all.join(",\n")));
    }
}

/// Up to the next beginning or end of a call.
fn go_on(tid: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(tid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

/// The process a thread belongs to.
fn process_of(tid: Pid) -> i32 {
    let status = fs::read_to_string(Path::new("/proc").join(tid.to_string()).join("status"));
    let status = status.unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or(tid.as_raw())
}

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(result: &str) {
    println!("{result}");
}
