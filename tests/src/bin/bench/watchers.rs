//! Watchers that run during a measurement: none, the agent, or another tool.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::{Agent, Scratch, Setup, until};

/// Long enough for bpftrace to compile.
const READY: Duration = Duration::from_secs(30);

/// A kind of watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watcher {
    Nobody,
    /// The agent with its open tracer only.
    AgentOpen,
    /// The agent with its defaults.
    Agent,
    /// libbpf-tools' opensnoop.
    Opensnoop,
    /// opensnoop of bpftrace.
    Bpftrace,
}

/// A running watcher.
pub(crate) enum Watching {
    Nobody,
    Agent(Box<Agent>),
    Tool(Child, Scratch),
}

const OPENSNOOP: &str = "/usr/sbin/opensnoop";
const BPFTRACE: [&str; 2] = ["/usr/bin/bpftrace", "/usr/sbin/opensnoop.bt"];

impl Watcher {
    /// Returns all watchers available here, none first.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = vec![Self::Nobody, Self::AgentOpen, Self::Agent];
        if Path::new(OPENSNOOP).exists() {
            all.push(Self::Opensnoop);
        }
        if BPFTRACE.iter().all(|file| Path::new(file).exists()) {
            all.push(Self::Bpftrace);
        }
        all
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::AgentOpen => "open tracer only",
            Self::Agent => "all tracers",
            Self::Opensnoop => "libbpf-tools opensnoop",
            Self::Bpftrace => "bpftrace opensnoop.bt",
        }
    }

    /// Starts the watcher and waits until it records events.
    pub(crate) fn start(self) -> Watching {
        match self {
            Self::Nobody => Watching::Nobody,
            Self::AgentOpen => Watching::Agent(Box::new(open_only().start())),
            Self::Agent => Watching::Agent(Box::new(Setup::new().start())),
            Self::Opensnoop => tool(OPENSNOOP, &[]),
            Self::Bpftrace => tool(BPFTRACE[0], &[BPFTRACE[1]]),
        }
    }
}

/// The agent with its open tracer only.
pub(crate) fn open_only() -> Setup {
    tests::catalog::built_in()
        .into_iter()
        .filter(|tracer| tracer != "open")
        .fold(Setup::new(), |setup, tracer| setup.set(&format!("tracer.{tracer}.disabled"), "true"))
}

/// A tool that prints what it sees into a file; it watches once the file shows one of our own opens.
fn tool(program: &str, arguments: &[&str]) -> Watching {
    let scratch = Scratch::new();
    let (output, mark) = (scratch.path().join("output"), scratch.file("mark", ""));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    let child = command.stdout(File::create(&output).expect("no file for a tool's output")).spawn();
    let child = child.unwrap_or_else(|why| panic!("{program} can't be started: {why}"));
    until("the tool watches", READY, || {
        // Its output is buffered: many opens push it out.
        (0..200).for_each(|_| drop(File::open(&mark)));
        std::fs::metadata(&output).is_ok_and(|meta| meta.len() > 4096).then_some(())
    });
    Watching::Tool(child, scratch)
}

impl Watching {
    /// Stops the watcher.
    pub(crate) fn stop(self) {
        match self {
            Self::Nobody => {}
            Self::Agent(mut agent) => {
                agent.stop(Signal::SIGTERM);
            }
            Self::Tool(mut child, _scratch) => {
                let ended = kill(Pid::from_raw(child.id() as i32), Signal::SIGINT);
                ended
                    .map_err(std::io::Error::from)
                    .and_then(|()| child.wait())
                    .expect("a tool can't be stopped");
            }
        }
    }
}
