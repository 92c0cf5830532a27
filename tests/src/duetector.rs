//! Python duetector as a host, run as its users run it; and as a reader of what it stored.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value};

use crate::Scratch;
use crate::wait::{until, within};

/// Long enough for a loaded machine; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Under which it stores.
pub const COLLECTOR: &str = "pythonhost";

/// A program of the virtual environment that `DUETECTOR_TEST_VENV` names.
///
/// # Panics
/// When there is none.
pub fn program(name: &str) -> PathBuf {
    let venv = env::var_os("DUETECTOR_TEST_VENV").expect("no DUETECTOR_TEST_VENV");
    Path::new(&venv).join("bin").join(name)
}

/// `duectl start` at work; killed when dropped.
#[derive(Debug)]
pub struct Duectl {
    child: Child,
    scratch: Scratch,
}

impl Duectl {
    /// Starts its subprocess monitor with one template `ours` that runs `comm`; its filters let everything through.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn start(comm: &[&str]) -> Self {
        let scratch = Scratch::new();
        let database = scratch.path().join("db.sqlite3");
        let comm = serde_json::to_string(comm).expect("no JSON of a list of texts");
        let text = format!(
            "[filter.patternfilter]\nexclude_uid = []\nexclude_gid = []\nre_exclude_fname = []\n\
             [collector.dbcollector]\nstatis_id = \"{COLLECTOR}\"\nbackend_args = {{ max_workers = 1 }}\n\
             [collector.dbcollector.db.engine]\nurl = \"sqlite:///{}\"\n\
             [tracer.template.sp]\nours = {{ comm = {comm} }}\n",
            database.display()
        );
        let config = scratch.file("config.toml", text);
        let log = || File::create(scratch.path().join("log")).expect("no log file");
        let mut command = Command::new(program("duectl"));
        command
            .args(["start", "--enable_bcc_monitor", "", "--enable_sh_monitor", "", "--config"])
            .arg(config);
        command.arg("--config_dump_dir").arg(scratch.path()).current_dir(scratch.path());
        // What our child logs comes out as lines of its log that are no messages.
        command.env("DUETECTOR_LOG", "info");
        let child = command.stdin(Stdio::null()).stdout(log()).stderr(log()).spawn();
        Self { child: child.expect("duectl can't be started"), scratch }
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Returns what duetector and its child have logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.scratch.path().join("log")).unwrap_or_default())
            .into_owned()
    }

    /// Waits until the log says so.
    ///
    /// # Panics
    /// When it does not.
    pub fn until_log(&self, words: &str) {
        if within(PATIENCE, || self.log().contains(words).then_some(())).is_none() {
            panic!("duectl never said {words:?}:\n{}", self.log());
        }
    }

    /// The file it stores rows in.
    pub fn database(&self) -> PathBuf {
        self.scratch.path().join("db.sqlite3")
    }

    /// The rows it stored for a tracer, `extended` as an object among the other columns.
    pub fn rows(&self, tracer: &str) -> Vec<Map<String, Value>> {
        read(&self.database(), tracer).unwrap_or_default()
    }

    /// Waits until there are at least so many rows for which `holds`, and gives these.
    ///
    /// # Panics
    /// When there are not.
    pub fn until_rows(
        &self,
        tracer: &str,
        count: usize,
        holds: impl Fn(&Map<String, Value>) -> bool,
    ) -> Vec<Map<String, Value>> {
        let matching = || self.rows(tracer).into_iter().filter(&holds).collect::<Vec<_>>();
        let found = within(PATIENCE, || Some(matching()).filter(|rows| rows.len() >= count));
        found.unwrap_or_else(|| {
            panic!("only {} of {count} rows of {tracer}:\n{}", matching().len(), self.log())
        })
    }

    /// The process id of its child.
    ///
    /// # Panics
    /// When it has none.
    pub fn child_pid(&self) -> u32 {
        until("duectl has a child", PATIENCE, || self.children().first().copied())
    }

    /// The process ids of its children, those among them that have ended and were not waited for.
    pub fn children(&self) -> Vec<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let list = std::fs::read_to_string(&children).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Asks it to end once, and waits.
    ///
    /// # Panics
    /// When it does not end, or not well.
    pub fn stop(&mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).expect("duectl can't be signalled");
        let ended = within(PATIENCE, || self.child.try_wait().expect("duectl can't be waited for"));
        let status = ended.unwrap_or_else(|| panic!("duectl did not end:\n{}", self.log()));
        assert!(status.success(), "duectl ended with {status}:\n{}", self.log());
    }
}

impl Drop for Duectl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(database: &Path, tracer: &str) -> rusqlite::Result<Vec<Map<String, Value>>> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let columns = "json_object('pid', pid, 'uid', uid, 'gid', gid, 'dt', dt, 'comm', comm, 'cwd', cwd, \
                   'fname', fname, 'extended', json(extended))";
    let mut statement = connection
        .prepare(&format!("SELECT {columns} FROM \"duetector_tracking:{tracer}@{COLLECTOR}\" ORDER BY id"))?;
    let rows = statement.query_map((), |row| row.get::<_, String>(0))?;
    rows.map(|row| Ok(serde_json::from_str(&row?).unwrap_or_default())).collect()
}
