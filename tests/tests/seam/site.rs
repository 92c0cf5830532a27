//! A work folder whose agents pin, and what their killing needs.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use tests::workload::generate;
use tests::{Agent, Scratch, Setup, Store, until};

use crate::SOON;

/// A work folder whose agents pin; the pins are removed at the end in any case.
pub(crate) struct Site {
    pub(crate) scratch: Scratch,
    pub(crate) uid: u32,
    columnar: bool,
}

impl Site {
    pub(crate) fn new(uid: u32) -> Self {
        Self { scratch: Scratch::new(), uid, columnar: true }
    }

    /// The same, with a store of duetector's layout.
    pub(crate) fn duetector_layout(uid: u32) -> Self {
        let mut site = Self::new(uid);
        site.columnar = false;
        site
    }

    pub(crate) fn set_columnar(&mut self, is_columnar: bool) {
        self.columnar = is_columnar;
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.scratch.path().join("work")
    }

    pub(crate) fn store(&self) -> Store {
        Store::at(self.work())
    }

    pub(crate) fn setup(&self) -> Setup {
        let only = format!("[{}]", self.uid);
        let setup = Setup::new().workdir(self.work()).set("ebpf.uids", &only).set("collector.id", "seam");
        if self.columnar { setup } else { setup.duetector_layout() }
    }

    /// Opens one file `count` times as the traced user.
    pub(crate) fn open(&self, count: u32) {
        let file = self.scratch.file("file", "");
        generate(self.uid, &["open", file.to_str().unwrap(), "--count", &count.to_string()]);
    }

    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.store().database()).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Nobody may run there any more: agents are dropped first.
        self.store().run(&["stop", "--unpin"]);
    }
}

pub(crate) fn kill(mut agent: Agent) {
    agent.signal(Signal::SIGKILL);
    agent.wait();
}

/// Returns the state of the pin from `status`.
pub(crate) fn pin(agent: &Agent) -> serde_json::Value {
    agent.actor("ebpf")["state"]["pin"].clone()
}

pub(crate) fn folder(agent: &Agent) -> PathBuf {
    PathBuf::from(pin(agent)["folder"].as_str().expect("nothing is pinned"))
}

pub(crate) fn wait_for_stored(agent: &Agent, tracer: &str, least: u64) {
    until("rows are stored", SOON, || (agent.tracer(tracer)["stored"].as_u64() >= Some(least)).then_some(()));
}

/// Returns the number of opens in the store; 0 if there is no table, or it cannot be read.
pub(crate) fn rows(site: &Site) -> i64 {
    let path = site.store().database();
    // Only looked at: the last to close a file that it may write would tidy it up, and be in an agent's way.
    let Ok(database) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return 0 };
    let count = if site.columnar {
        "SELECT max(first_id + rows - 1) FROM batch JOIN stream ON stream.id = stream WHERE tracer = 'open'"
    } else {
        "SELECT seq FROM (SELECT max(rowid) AS seq FROM \"duetector_tracking:open@seam\")"
    };
    database.query_row(count, [], |row| row.get(0)).unwrap_or(0)
}
