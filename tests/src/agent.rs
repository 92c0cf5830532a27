//! One running agent: started with options, waited for, stopped, never left behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::wait::{now, until, within};
use crate::{Scratch, Store, binary};

/// Long enough for a loaded machine; only a failing test waits that long.
const READY: Duration = Duration::from_secs(120);
const ENDED: Duration = Duration::from_secs(60);

/// How an agent is to be started.
#[derive(Debug, Default)]
pub struct Setup {
    options: Vec<String>,
    variables: Vec<(String, String)>,
    launcher: Vec<String>,
    workdir: Option<PathBuf>,
    binary: Option<PathBuf>,
}

impl Setup {
    /// Defaults, in a work folder of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// `--set key=value`; the value is TOML.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.options.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    /// Any other options of `start`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// An environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A program that starts it (and becomes it): setpriv with its options.
    pub fn under(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Another copy of the binary.
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = Some(binary.into());
        self
    }

    /// A work folder that outlives the agent.
    pub fn workdir(mut self, workdir: impl Into<PathBuf>) -> Self {
        self.workdir = Some(workdir.into());
        self
    }

    /// Starts it, without waiting for anything.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn spawn(self) -> Agent {
        let scratch = Scratch::new();
        let workdir = self.workdir.unwrap_or_else(|| scratch.folder("work"));
        let binary = self.binary.unwrap_or_else(|| binary::agent().to_owned());
        let words: Vec<_> = self.launcher.iter().map(PathBuf::from).chain([binary]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("start").args(&self.options).arg("--workdir").arg(&workdir);
        command.envs(self.variables).stdin(Stdio::null());
        // Files, not pipes: nobody has to read them for the agent to go on.
        let log = |name: &str| File::create(scratch.path().join(name)).expect("no log file");
        command.stdout(log("stdout")).stderr(log("stderr"));
        let child = command.spawn().expect("the agent can't be started");
        Agent { child, ended: None, store: Store::at(workdir), scratch }
    }

    /// Starts it and waits until every enabled tracer is attached or reported as degraded.
    ///
    /// # Panics
    /// When that does not happen.
    pub fn start(self) -> Agent {
        let mut agent = self.spawn();
        until("the agent is ready", READY, || {
            if let Some(status) = agent.try_wait() {
                panic!("the agent ended with {status} before it was ready:\n{}", agent.stderr());
            }
            agent.store.run(&["status"]).status.success().then_some(())
        });
        agent
    }
}

/// How an agent ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// How long it took from the signal.
    pub took: Duration,
    /// Data.
    pub stdout: String,
    /// Logs.
    pub stderr: String,
}

/// An agent; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    ended: Option<ExitStatus>,
    store: Store,
    scratch: Scratch,
}

impl Agent {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// What it recorded, and its commands.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its logs so far.
    pub fn stderr(&self) -> String {
        read(&self.scratch.path().join("stderr"))
    }

    /// `status --format json`.
    ///
    /// # Panics
    /// When it does not answer with JSON; its exit code is not looked at.
    pub fn status(&self) -> Value {
        let output = self.store.run(&["status", "--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
            panic!("status printed no JSON: {why}: {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// What `status` tells of the actor of that name.
    ///
    /// # Panics
    /// When there is no such actor.
    pub fn actor(&self, name: &str) -> Value {
        self.entry("actors", "name", name)
    }

    /// What `status` tells of the tracer whose rows are stored under that name.
    ///
    /// # Panics
    /// When there is no such tracer.
    pub fn tracer(&self, name: &str) -> Value {
        self.entry("tracers", "tracer", name)
    }

    fn entry(&self, list: &str, key: &str, name: &str) -> Value {
        let status = self.status();
        let found = status[list].as_array().and_then(|all| all.iter().find(|entry| entry[key] == name));
        found.cloned().unwrap_or_else(|| panic!("no {name} among the {list} of {status}"))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it can't be sent.
    pub fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.pid() as i32), signal).expect("the agent can't be signalled");
    }

    /// Its exit status, once it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the agent can't be waited for");
        }
        self.ended
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait(&mut self) -> Ended {
        let start = now();
        let status = within(ENDED, || self.try_wait());
        let took = start.elapsed();
        let (stdout, stderr) = (read(&self.scratch.path().join("stdout")), self.stderr());
        let status = status.unwrap_or_else(|| panic!("the agent did not end:\n{stderr}"));
        Ended { status, took, stdout, stderr }
    }

    /// Signals it and waits for its end.
    pub fn stop(&mut self, signal: Signal) -> Ended {
        self.signal(signal);
        self.wait()
    }

    /// Stops it in good order, checks that its books balance, and gives what it recorded; the [`Agent`] is
    /// handed back because its folder goes with it.
    ///
    /// # Panics
    /// When it ends badly or its books do not balance.
    pub fn finish_run(mut self) -> Self {
        let ended = self.stop(Signal::SIGTERM);
        assert!(ended.status.success(), "the agent ended with {}:\n{}", ended.status, ended.stderr);
        self.store.assert_conserved();
        self
    }

    /// The same, of the only run on its store: its rows are as many as the books say, too.
    ///
    /// # Panics
    /// When it ends badly or its books do not balance.
    pub fn finish(self) -> Self {
        let agent = self.finish_run();
        agent.store.assert_conserved_to_the_row();
        agent
    }

    /// The most memory it ever had resident, in MiB.
    ///
    /// # Panics
    /// When it does not run.
    pub fn peak_mib(&self) -> u64 {
        let status = read(Path::new(&format!("/proc/{}/status", self.pid())));
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("the agent is gone") / 1024
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.try_wait().is_none() {
            // It may end by itself in this very moment; then there is nothing left to kill.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            show(&format!("--- the agent's log ---\n{}--- end of the agent's log ---", tail(&self.stderr())));
        }
    }
}

#[expect(clippy::print_stderr, reason = "what a failed test leaves behind is for a person")]
fn show(text: &str) {
    eprintln!("{text}");
}

fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(80);
    lines[from..].iter().map(|line| format!("{line}\n")).collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
