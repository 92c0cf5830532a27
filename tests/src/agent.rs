//! Starts an agent with options, waits for it, stops it, and never leaves it behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;

use crate::wait::{now, until, within};
use crate::{Scratch, Store, binary, catalog};

/// Long enough for a loaded machine; only a failing test waits that long.
const READY: Duration = Duration::from_secs(600);
const ENDED: Duration = Duration::from_secs(300);

/// Options of an agent that is about to be started.
#[derive(Debug, Default)]
pub struct Setup {
    options: Vec<String>,
    variables: Vec<(String, String)>,
    launcher: Vec<String>,
    workdir: Option<PathBuf>,
    binary: Option<PathBuf>,
    checks_permissions: bool,
}

impl Setup {
    /// Returns the defaults, with a work folder of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `--set key=value`; the value is TOML.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.options.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    /// Disables the kernel tracers that are not in the list. An agent with few tracers starts sooner, which matters in a
    /// virtual machine.
    pub fn only(mut self, tracers: &[&str]) -> Self {
        for tracer in catalog::kernel_tracers().iter().filter(|tracer| !tracers.contains(&tracer.as_str())) {
            self = self.set(&format!("tracer.{tracer}.disabled"), "true");
        }
        self
    }

    /// Stores rows in a file of duetector's layout instead of the columnar store.
    pub fn duetector_layout(self) -> Self {
        self.set("collector.store.disabled", "true").set("collector.sqlite.disabled", "false")
    }

    /// Records only opens, of one user only, and seals all the time.
    pub fn sealing(self, uid: u32) -> Self {
        self.set("ebpf.uids", &format!("[{uid}]"))
            .set("tracer.uname.disabled", "true")
            .set("collector.id", "\"sealing\"")
            .set("store.seal_after", "\"1s\"")
            .only(&["open"])
    }

    /// Adds any other options of `start`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// Adds an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the agent refuse configuration files and programs that other users may change, as it does outside of tests.
    pub fn checks_permissions(mut self) -> Self {
        self.checks_permissions = true;
        self
    }

    /// Sets a program that starts the agent and becomes it, such as setpriv with its options.
    pub fn under(mut self, launcher: &[&str]) -> Self {
        self.launcher = launcher.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Runs another copy of the binary.
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Self {
        self.binary = Some(binary.into());
        self
    }

    /// Sets a work folder that outlives the agent.
    pub fn workdir(mut self, workdir: impl Into<PathBuf>) -> Self {
        self.workdir = Some(workdir.into());
        self
    }

    /// Starts the agent without waiting for anything.
    ///
    /// # Panics
    /// If the agent cannot be started.
    pub fn spawn(self) -> Agent {
        let scratch = Scratch::new();
        let workdir = self.workdir.unwrap_or_else(|| scratch.path().join("work"));
        let binary = self.binary.unwrap_or_else(|| binary::agent().to_owned());
        let words: Vec<_> = self.launcher.iter().map(PathBuf::from).chain([binary]).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg("start").args(&self.options).arg("--workdir").arg(&workdir);
        if !self.checks_permissions {
            // The workspace, which has examples that tests run, may belong to a user.
            command.arg("--insecure-permissions");
        }
        command.envs(self.variables).stdin(Stdio::null());
        // Files, not pipes: nobody has to read them for the agent to go on.
        let log = |name: &str| File::create(scratch.path().join(name)).expect("no log file");
        command.stdout(log("stdout")).stderr(log("stderr"));
        let child = command.spawn().expect("the agent can't be started");
        Agent { child, ended: None, store: Store::at(workdir), scratch }
    }

    /// Starts the agent and waits until every enabled tracer is attached or reported as degraded.
    ///
    /// # Panics
    /// If that does not happen in time.
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

/// Exit status and outputs of an agent that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// Time from the signal to the end.
    pub took: Duration,
    /// Standard output: data.
    pub stdout: String,
    /// Standard error: logs.
    pub stderr: String,
}

/// A running agent, killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    ended: Option<ExitStatus>,
    store: Store,
    scratch: Scratch,
}

impl Agent {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns a folder for the files of the test.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Returns the store, through which the agent's commands are run too.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the logs written so far.
    pub fn stderr(&self) -> String {
        read(&self.scratch.path().join("stderr"))
    }

    /// Waits for the last line of the start's summary, and returns the log up to it.
    ///
    /// # Panics
    /// When the agent does not log it.
    pub fn log_of_the_start(&self) -> String {
        const LAST: &str = "rows are stored";
        until("the summary of the start", READY, || {
            let log = self.stderr();
            let last = log.find(LAST)?;
            let end = last + log[last..].find('\n')?;
            Some(log[..=end].to_owned())
        })
    }

    /// Returns the output of `status --format json`, whatever its exit code.
    ///
    /// # Panics
    /// If the output is not JSON.
    pub fn status(&self) -> Value {
        let output = self.store.run(&["status", "--format", "json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
            panic!("status printed no JSON: {why}: {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Returns the actor of that name from `status`.
    ///
    /// # Panics
    /// If there is no such actor.
    pub fn actor(&self, name: &str) -> Value {
        self.entry("actors", "name", name)
    }

    /// Returns the tracer whose rows are stored under that name from `status`.
    ///
    /// # Panics
    /// If there is no such tracer.
    pub fn tracer(&self, name: &str) -> Value {
        self.entry("tracers", "tracer", name)
    }

    /// Waits until the tracer has seen so many records, and all that it has seen are stored or counted.
    pub fn until_settled(&self, name: &str, seen: usize) {
        until("all records are settled", Duration::from_secs(60), || {
            let tracer = self.tracer(name);
            (tracer["seen"].as_u64()? >= seen as u64 && tracer["in_flight"] == 0).then_some(())
        });
    }

    fn entry(&self, list: &str, key: &str, name: &str) -> Value {
        let status = self.status();
        let found = status[list].as_array().and_then(|all| all.iter().find(|entry| entry[key] == name));
        found.cloned().unwrap_or_else(|| panic!("no {name} among the {list} of {status}"))
    }

    /// Sends the agent a signal.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.pid() as i32), signal).expect("the agent can't be signalled");
    }

    /// Returns the exit status if the agent has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the agent can't be waited for");
        }
        self.ended
    }

    /// Waits for the agent to end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn wait(&mut self) -> Ended {
        let start = now();
        let status = within(ENDED, || self.try_wait());
        let took = start.elapsed();
        let (stdout, stderr) = (read(&self.scratch.path().join("stdout")), self.stderr());
        let status = status.unwrap_or_else(|| panic!("the agent did not end:\n{stderr}"));
        Ended { status, took, stdout, stderr }
    }

    /// Removes what a killed agent has left in the kernel.
    pub fn unpin(&self) {
        self.store.run(&["stop", "--unpin"]);
    }

    /// Signals the agent and waits for it to end.
    pub fn stop(&mut self, signal: Signal) -> Ended {
        self.signal(signal);
        self.wait()
    }

    /// Stops the agent in an orderly way and checks that its accounts balance. Returns the [`Agent`], because its
    /// folder is removed with it.
    ///
    /// # Panics
    /// If the agent fails or its accounts do not balance.
    pub fn finish_run(mut self) -> Self {
        let ended = self.stop(Signal::SIGTERM);
        assert!(ended.status.success(), "the agent ended with {}:\n{}", ended.status, ended.stderr);
        self.store.assert_conserved();
        self
    }

    /// Does what [`Self::finish_run`] does for the only run on a store, and also checks that the store has as many rows
    /// as the accounts say.
    ///
    /// # Panics
    /// If the agent fails or its accounts do not balance.
    pub fn finish(self) -> Self {
        let agent = self.finish_run();
        agent.store.assert_conserved_to_the_row();
        agent
    }

    /// Returns the most memory the agent has had resident so far, in MiB.
    ///
    /// # Panics
    /// If the agent does not run.
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
            self.unpin();
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
