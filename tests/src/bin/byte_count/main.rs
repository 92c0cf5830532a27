//! Runs a program under ptrace, and counts the bytes and calls that each of its processes had of each file, and the calls
//! that make a row each, from what the kernel returned. Prints both as a JSON object, which rows are compared with.
//!
//! What passes through memory shared with the kernel (libaio, io_uring) is not seen here.

mod calls;
mod recorded;
mod thread;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Parser;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options as Ptrace};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use calls::{Stop, Use, uses};
use recorded::recorded;

#[derive(Parser)]
struct Options {
    /// The program becomes this user and group
    #[arg(long)]
    uid: u32,
    /// Count only bytes of regular files below this folder; without it those of all regular files, pipes and sockets
    #[arg(long)]
    below: Option<PathBuf>,
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let options = Options::parse();
    // A shell of root that becomes the user's program, after the line that says that we are ready.
    let mut command = Command::new("/bin/sh");
    let id = options.uid.to_string();
    command.args(["-c", "read -r go; exec setpriv \"$@\" < /dev/null", "sh"]);
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).args(&options.command);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
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
    let mut count = Count { uid: options.uid, below: options.below, ..Count::default() };
    input.write_all(b"\n")?;
    drop(input);
    let code = count.run(pid)?;
    count.say();
    std::process::exit(code)
}

#[derive(Default)]
struct Count {
    uid: u32,
    below: Option<PathBuf>,
    /// Processes of that user.
    processes: HashSet<i32>,
    /// Calls that have not ended, by thread.
    begun: HashMap<Pid, (Vec<Known>, Option<Call>)>,
    bytes: HashMap<Known, (u64, u64)>,
    calls: HashMap<Call, u64>,
}

/// A call that makes a row.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Call {
    pid: i32,
    tracer: &'static str,
    call: &'static str,
    path: String,
    ret: i64,
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
                Ok(WaitStatus::Exited(pid, status)) => {
                    self.ended(pid, status);
                    if pid == first {
                        code = Some(status);
                    }
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, signal as i32),
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
            Some((known, call)) => self.done(known, call, stop.returned),
            None if stop.begins => {
                let begun = self.begins(tid, &stop);
                self.begun.insert(tid, begun);
            }
            // The end of a clone() that made this thread.
            None => {}
        }
        Ok(())
    }

    fn begins(&mut self, tid: Pid, stop: &Stop) -> (Vec<Known>, Option<Call>) {
        let pid = thread::process_of(tid);
        let made = recorded(stop.number);
        if !self.processes.contains(&pid) {
            // What setpriv does before it becomes the program does not count.
            let is_program = !self.processes.is_empty() || made.is_some_and(|call| call.tracer == "exec");
            if !is_program || thread::uid_of(tid) != Some(self.uid) {
                return (Vec::new(), None);
            }
            self.processes.insert(pid);
        }
        let uses = uses(stop).into_iter().filter_map(|of| self.known(pid, tid, of)).collect();
        let call = made.map(|call| {
            let path = call.path.map(|at| thread::path(tid, stop, at)).unwrap_or_default();
            Call { pid, tracer: call.tracer, call: call.call, path, ret: 0 }
        });
        (uses, call)
    }

    fn done(&mut self, known: Vec<Known>, call: Option<Call>, returned: i64) {
        for known in known.into_iter().filter(|_| returned >= 0) {
            let bytes = known.length.unwrap_or(returned.unsigned_abs());
            let total = self.bytes.entry(Known { length: None, ..known }).or_default();
            *total = (total.0 + bytes, total.1 + 1);
        }
        // A clone that failed has no row.
        let call = call.filter(|call| returned >= 0 || call.tracer != "clone");
        if let Some(call) = call {
            *self.calls.entry(Call { ret: returned, ..call }).or_default() += 1;
        }
    }

    /// Counts the end of a process.
    fn ended(&mut self, pid: Pid, code: i32) {
        let pid = pid.as_raw();
        if self.processes.remove(&pid) {
            let call = Call { pid, tracer: "exit", call: "", path: String::new(), ret: code.into() };
            *self.calls.entry(call).or_default() += 1;
        }
    }

    /// Returns the file behind the descriptor at the beginning of the call: at its end it may be another.
    fn known(&self, pid: i32, tid: Pid, of: Use) -> Option<Known> {
        let link = PathBuf::from(format!("/proc/{tid}/fd/{}", of.fd));
        let path = fs::read_link(&link).ok()?;
        let meta = fs::metadata(&link).ok()?;
        let counts = match &self.below {
            Some(below) => meta.mode() & libc::S_IFMT == libc::S_IFREG && path.starts_with(below),
            None => [libc::S_IFREG, libc::S_IFIFO, libc::S_IFSOCK].contains(&(meta.mode() & libc::S_IFMT)),
        };
        let (direction, length) = (of.direction, of.length);
        counts.then(|| Known { pid, dev: meta.dev(), ino: meta.ino(), direction, length })
    }

    fn say(&self) {
        let bytes = self.bytes.iter().map(|(of, (bytes, calls))| {
            let Known { pid, dev, ino, direction, .. } = of;
            json!({"pid": pid, "dev": dev, "ino": ino, "direction": direction, "bytes": bytes, "calls": calls})
        });
        let calls = self.calls.iter().map(|(of, count)| {
            let Call { pid, tracer, call, path, ret } = of;
            json!({"pid": pid, "tracer": tracer, "call": call, "path": path, "ret": ret, "count": count})
        });
        let (bytes, calls): (Vec<Value>, Vec<Value>) = (bytes.collect(), calls.collect());
        say(&json!({"bytes": bytes, "calls": calls}).to_string());
    }
}

/// Up to the next beginning or end of a call.
fn go_on(tid: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::syscall(tid, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

#[expect(clippy::print_stdout, reason = "its result is its output")]
fn say(result: &str) {
    println!("{result}");
}
