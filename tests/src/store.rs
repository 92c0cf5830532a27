//! Reads recorded rows through the agent's own commands, and checks that accounts balance.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;

use crate::binary;

/// A work folder and the commands that query it.
#[derive(Clone, Debug)]
pub struct Store {
    workdir: PathBuf,
}

/// Entry of one tracer in `brief --format json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub tracer: String,
    /// Collector that wrote the rows.
    pub collector_id: String,
    /// Rows in the store, all runs.
    pub count: u64,
    /// `dt` of the first row.
    pub start: Option<String>,
    /// `dt` of the last row.
    pub end: Option<String>,
    /// Types of the columns.
    pub fields: Value,
    /// Account of the last run; none for rows the agent makes itself.
    pub seen: u64,
    /// Stored in the last run.
    pub stored: u64,
    /// Filtered in the last run.
    pub filtered: u64,
    /// Records lost in the last run, by point of loss.
    pub lost: Lost,
}

/// Records lost, by point of loss.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lost {
    /// Lost because the kernel's ring was full.
    pub ring: u64,
    /// Lost in decoding.
    pub decode: u64,
    /// Lost in a queue.
    pub queue: u64,
    /// Lost in the sink.
    pub sink: u64,
}

impl Lost {
    /// All of them.
    pub fn total(self) -> u64 {
        self.ring + self.decode + self.queue + self.sink
    }
}

#[derive(Deserialize)]
struct Brief {
    tracers: Vec<Account>,
}

impl Account {
    /// All that was lost in the last run.
    pub fn lost_total(&self) -> u64 {
        self.lost.total()
    }

    /// # Panics
    /// When what was seen is not exactly what was stored, filtered and lost.
    pub fn assert_balances(&self) {
        let settled = self.stored + self.filtered + self.lost_total();
        assert_eq!(self.seen, settled, "the books do not balance: {self:?}");
    }
}

impl Store {
    /// The store in that work folder.
    pub fn at(workdir: impl Into<PathBuf>) -> Self {
        Self { workdir: workdir.into() }
    }

    /// The work folder.
    pub fn workdir(&self) -> &Path {
        &self.workdir
    }

    /// The SQLite file: that of the columnar store, unless only one of duetector's layout is there.
    pub fn database(&self) -> PathBuf {
        let plain = self.workdir.join("duetector-dbcollector.sqlite3");
        let columnar = self.workdir.join("store.sqlite3");
        if plain.exists() && !columnar.exists() { plain } else { columnar }
    }

    /// Runs one of the agent's commands on this work folder.
    ///
    /// # Panics
    /// When it can't be run at all.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary::agent());
        command.args(arguments).arg("--workdir").arg(&self.workdir);
        command.output().expect("the agent's binary can't be run")
    }

    /// Runs one of the agent's commands, which must succeed, and parses its standard output.
    ///
    /// # Panics
    /// When it fails or prints something else than JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} ended with {}: {errors}", output.status);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
            panic!("{arguments:?} printed no JSON: {why}: {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// The rows of `tracer` for which all of `conditions` (`column=value`) hold, in order of storing.
    ///
    /// # Panics
    /// When the query fails or prints no array.
    pub fn query(&self, tracer: &str, conditions: &[&str]) -> Vec<Value> {
        let mut arguments = vec!["query", "--tracer", tracer, "--limit", "0", "--format", "json"];
        for condition in conditions {
            arguments.extend(["--where", condition]);
        }
        match self.json(&arguments) {
            Value::Array(rows) => rows,
            other => panic!("a query printed no array: {other}"),
        }
    }

    /// Books and counts of every tracer.
    ///
    /// # Panics
    /// When there are none to read.
    pub fn brief(&self) -> Vec<Account> {
        let brief = self.json(&["brief", "--format", "json"]);
        serde_json::from_value::<Brief>(brief).expect("the brief is not as documented").tracers
    }

    /// Books and counts of one tracer.
    ///
    /// # Panics
    /// When it has none.
    pub fn account(&self, tracer: &str) -> Account {
        let brief = self.brief();
        let found = brief.iter().find(|account| account.tracer == tracer).cloned();
        found.unwrap_or_else(|| panic!("{tracer} is not in the brief: {brief:?}"))
    }

    /// The conservation law, for every tracer; of a stopped agent.
    ///
    /// # Panics
    /// When it does not hold, or when there is nothing it could hold for.
    pub fn assert_conserved(&self) {
        let brief = self.brief();
        assert!(brief.iter().any(|account| account.seen > 0), "no tracer has books");
        brief.iter().for_each(Account::assert_balances);
    }

    /// The same, and the rows in the file are as many as the books say; of a store written by one run only.
    ///
    /// # Panics
    /// When it does not hold.
    pub fn assert_conserved_to_the_row(&self) {
        self.assert_conserved();
        // Rows of `loss` are the agent's own making, for which no tracer accounts.
        for account in self.brief().iter().filter(|account| account.tracer != "loss") {
            assert_eq!(account.count, account.stored, "rows and books differ: {account:?}");
        }
    }
}
