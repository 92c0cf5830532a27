//! Shared by these tests: tracers that send to a queue which the test reads, and waiting for events with a deadline.

#![allow(dead_code, reason = "each test file uses its own part of it")]
#![allow(clippy::unwrap_used, reason = "tests may; clippy does not know that this is one")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actors::{AnyChild, ChildStatus, Outbox, Supervisor, WhenFull, clock};
use model::{AccountSnapshot, Accounts, Batch, Change, Details, SinkName, TracerName};
use serde_json::{Map, Value};
use shell_monitor::{Config, Launcher, Monitor, Reserved, Wiring};

/// Longest time that a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a test in an actix system with the real clock, because real children need real time.
pub(crate) fn real<T>(test: impl Future<Output = T>) -> T {
    actix::System::new().block_on(test)
}

/// Beginning of each child's script.
const PREAMBLE: &str = r#"
import json, os, signal, sys, time
def event(**payload):
    message = {"proto": "duetector", "version": "0.1.0", "type": "event", "payload": payload}
    sys.stdout.write(json.dumps(message) + "\n")
def say(text):
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
def wait():
    sys.stdout.flush()
    for line in sys.stdin:
        if json.loads(line)["type"] == "stop":
            say(b'{"proto":"duetector","version":"0.1.0","type":"stopped","payload":{}}\n')
            sys.exit(0)
def last():
    sys.stdout.flush()
    while True:
        time.sleep(1000)
"#;

/// Returns a configuration of one subprocess tracer `it` that runs this Python script, with more settings.
pub(crate) fn child(dir: &Path, script: &str, settings: &str) -> Config {
    let path = dir.join("child.py");
    std::fs::write(&path, format!("{PREAMBLE}{script}")).unwrap();
    let comm = format!("comm = [\"python3\", {:?}]", path.to_str().unwrap());
    config(&format!("[sp.it]\n{comm}\n{settings}"))
}

/// Returns a configuration of only these templates.
pub(crate) fn config(templates: &str) -> Config {
    let mut config = Config { template: toml::from_str(templates).unwrap(), ..Config::default() };
    config.uname.disabled = true;
    assert_eq!(config.validate(), []);
    config
}

/// Running tracers, and the queue in place of the collector.
pub(crate) struct Stand {
    pub(crate) monitor: Monitor,
    pub(crate) accounts: Accounts,
    inbox: flume::Receiver<Batch>,
    sink: SinkName,
    /// Records taken so far, by tracer.
    pub(crate) taken: BTreeMap<TracerName, Vec<Map<String, Value>>>,
}

impl Stand {
    pub(crate) fn new(config: &Config) -> Self {
        Self::with_queue(config, 64)
    }

    pub(crate) fn with_queue(config: &Config, capacity: usize) -> Self {
        let sink = SinkName::new("memory");
        let accounts = Accounts::new(std::slice::from_ref(&sink));
        let (outbox, inbox) = Outbox::channel(capacity, WhenFull::Block);
        let reserved = Reserved::new([TracerName::new("open")]);
        let launcher = Launcher::new(env!("CARGO_BIN_EXE_launcher"), &[]);
        let wiring = Wiring { accounts: accounts.clone(), outbox, reserved, launcher };
        let monitor = shell_monitor::spawn(&Supervisor::new(), config, &wiring);
        Self { monitor, accounts, inbox, sink, taken: BTreeMap::new() }
    }

    fn store(&mut self, batch: Batch) {
        let name = batch.claim.account().tracer().clone();
        assert_eq!(batch.claim.count(), batch.records.len() as u64);
        for mut claim in batch.claim.route() {
            claim.store(batch.records.len() as u64);
        }
        let taken = self.taken.entry(name).or_default();
        for record in batch.records {
            let Details::Fields(fields) = record.details else { panic!("no fields") };
            taken.push(fields);
        }
    }

    /// Takes batches until `name` has at least `count` records.
    pub(crate) async fn take(&mut self, name: &str, count: usize) -> &[Map<String, Value>] {
        let name = TracerName::new(name);
        let end = clock::now() + DEADLINE;
        while self.taken.get(&name).map_or(0, Vec::len) < count {
            tokio::select! {
                batch = self.inbox.recv_async() => self.store(batch.unwrap()),
                () = clock::sleep(end - clock::now()) => {
                    panic!("{} of {count} records of {name}", self.taken.get(&name).map_or(0, Vec::len));
                }
            }
        }
        &self.taken[&name]
    }

    /// Stops all tracers as the agent does, taking the records that still arrive, and checks that the accounts
    /// balance.
    pub(crate) async fn stop(&mut self) -> Vec<ChildStatus> {
        let children: Vec<_> = self.monitor.tracers().iter().map(|tracer| tracer.child.clone()).collect();
        let mut ends = Vec::new();
        for child in children.into_iter().chain(self.monitor.hosts()) {
            ends.push(self.ended(child.stop()).await);
        }
        for account in self.accounts.all() {
            let snapshot = account.snapshot(&self.sink);
            assert_eq!(snapshot.in_flight(), 0, "{}: {snapshot:?}", account.tracer());
        }
        ends
    }

    /// Waits until the tracer will not run again, taking records meanwhile.
    pub(crate) async fn given_up(&mut self, name: &str) -> ChildStatus {
        let child = self.tracer(name);
        let waiting = async move {
            eventually("its end", || child.status().phase.is_terminal()).await;
            child.status()
        };
        self.ended(waiting).await
    }

    /// Applies another configuration as the agent does, taking records meanwhile.
    pub(crate) async fn apply(&mut self, config: &Config) -> Vec<Change> {
        let change = self.monitor.prepare(config).unwrap_or_else(|problems| panic!("{problems:?}"));
        self.meanwhile(change).await
    }

    async fn ended(&mut self, end: impl Future<Output = ChildStatus>) -> ChildStatus {
        self.meanwhile(end).await
    }

    /// Waits for the future, taking records meanwhile.
    pub(crate) async fn meanwhile<T>(&mut self, end: impl Future<Output = T>) -> T {
        let mut end = std::pin::pin!(end);
        let status = loop {
            tokio::select! {
                status = &mut end => break status,
                batch = self.inbox.recv_async() => match batch {
                    Ok(batch) => self.store(batch),
                    // All tracers have ended, so nothing more arrives.
                    Err(_) => break end.await,
                },
            }
        };
        while let Ok(batch) = self.inbox.try_recv() {
            self.store(batch);
        }
        status
    }

    pub(crate) fn tracer(&self, name: &str) -> Arc<dyn AnyChild> {
        let mut tracers = self.monitor.tracers().into_iter();
        tracers.find(|tracer| tracer.name.as_str() == name).unwrap().child
    }

    /// Returns a value of the tracer's state, by JSON pointer.
    pub(crate) fn state(&self, name: &str, pointer: &str) -> Value {
        self.tracer(name).state_json().pointer(pointer).unwrap().clone()
    }

    /// Waits until a counter in the tracer's state is at least `count`.
    pub(crate) async fn counted(&self, name: &str, pointer: &str, count: u64) {
        eventually(pointer, || self.state(name, pointer).as_u64().unwrap() >= count).await;
    }

    pub(crate) fn account(&self, name: &str) -> AccountSnapshot {
        self.accounts.of(&name.into()).snapshot(&self.sink)
    }
}

/// Waits until `condition` is true.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = clock::now() + DEADLINE;
    while !condition() {
        assert!(clock::now() < end, "waited too long for {what}");
        clock::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until no process has this id, not even a zombie.
pub(crate) async fn gone(pid: &Value) {
    let path = format!("/proc/{pid}");
    assert!(pid.is_u64(), "{pid}");
    eventually(&path, || !Path::new(&path).exists()).await;
}
