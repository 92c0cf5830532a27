//! The results of suites by kernel, and one table of all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::matrix::Suite;
use crate::plan::exactly;
use crate::test::Outcome;

/// The results of one step of one boot, or of this machine.
#[derive(Debug, Default)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) time: Option<Duration>,
    /// By suite and test, in the order of running.
    tests: Vec<((String, String), Outcome)>,
    /// The reason why results are missing.
    pub(crate) fault: Option<String>,
    /// The reason why nothing ran at all, which is a failure only where it must run.
    pub(crate) ignored: Option<String>,
    /// Texts for below the table.
    pub(crate) notes: Vec<String>,
    /// Suites and their tests that are not run there, and why.
    skipped: Vec<((String, String), String)>,
}

impl Column {
    /// A kernel that can't be booted on this machine.
    pub(crate) fn ignored(name: &str, why: String) -> Self {
        Self { name: name.to_owned(), ignored: Some(why), ..Self::default() }
    }

    /// A kernel whose boot failed.
    pub(crate) fn faulty(name: &str, why: String) -> Self {
        Self { name: name.to_owned(), fault: Some(why), ..Self::default() }
    }

    /// The results of suites that ran already: their names, tests and times.
    pub(crate) fn of<'a>(
        name: &str,
        suites: impl Iterator<Item = (&'a str, &'a [(String, Outcome)], Duration)>,
    ) -> Self {
        let mut column = Self { name: name.to_owned(), time: Some(Duration::ZERO), ..Self::default() };
        for (suite, tests, time) in suites {
            column.time = column.time.map(|sum| sum + time);
            column.tests.extend(
                tests.iter().map(|(test, outcome)| ((suite.to_owned(), test.clone()), outcome.clone())),
            );
        }
        column
    }

    /// Reads the results of a boot: `step NUMBER SECONDS` begins each step's, and ends the one before it. A step that did
    /// not begin is a fault.
    pub(crate) fn parse_steps(names: &[String], text: &str) -> Vec<Self> {
        let mut starts: Vec<(usize, Duration)> = Vec::new();
        let mut texts = vec![String::new(); names.len()];
        for line in text.lines() {
            if let ["step", at, seconds] = line.split(' ').collect::<Vec<_>>()[..]
                && let (Ok(at), Ok(seconds)) = (at.parse(), seconds.parse())
            {
                starts.push((at, Duration::from_secs(seconds)));
            } else if let Some(text) = starts.last().and_then(|(at, _)| texts.get_mut(*at)) {
                *text += line;
                text.push('\n');
            }
        }
        let start = |at: usize| starts.iter().find(|(step, _)| *step == at).map(|(_, time)| *time);
        let columns = names.iter().zip(&texts).enumerate().map(|(at, (name, text))| {
            let mut column = Self::parse(name, text);
            match (start(at), start(at + 1)) {
                (None, _) => column.fault = Some("did not begin".to_owned()),
                (Some(from), Some(to)) => column.time = Some(to.saturating_sub(from)),
                (Some(_), None) => {}
            }
            column
        });
        columns.collect()
    }

    /// Reads the results of suites: `begin SUITE`, JSON lines, `end SUITE CODE`. A suite without all its results is a
    /// fault.
    pub(crate) fn parse(name: &str, text: &str) -> Self {
        let mut column = Self { name: name.to_owned(), ..Self::default() };
        let mut suite = String::new();
        let mut finished: BTreeMap<String, bool> = BTreeMap::new();
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["begin", name] => {
                    suite = name.to_owned();
                    finished.insert(suite.clone(), false);
                }
                ["end", name, code] => column.end(name, code, finished.get(name) == Some(&true)),
                _ => {
                    let Ok(message) = serde_json::from_str(line) else { continue };
                    if column.take(&suite, &message) {
                        finished.insert(suite.clone(), true);
                    }
                }
            }
        }
        column
    }

    /// Takes one message; true if it is the suite's last.
    fn take(&mut self, suite: &str, message: &Value) -> bool {
        let event = message["event"].as_str().unwrap_or_default();
        if message["type"] == "suite" {
            return event != "started";
        }
        let key = (suite.to_owned(), message["name"].as_str().unwrap_or_default().to_owned());
        let outcome = match event {
            "ok" => Outcome::Passed,
            "ignored" => Outcome::Ignored,
            "failed" => Outcome::Failed(message["stdout"].as_str().unwrap_or_default().to_owned()),
            // Overwritten by what follows; what stays so did not end.
            _ => Outcome::Failed("did not end".to_owned()),
        };
        match self.tests.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = outcome,
            None => self.tests.push((key, outcome)),
        }
        false
    }

    fn end(&mut self, suite: &str, code: &str, whole: bool) {
        let failed =
            self.tests.iter().any(|((of, _), outcome)| of == suite && matches!(outcome, Outcome::Failed(_)));
        if !whole || (code != "0" && !failed) {
            self.fault = Some(format!(
                "suite {suite} ended with code {code}{}",
                if whole { "" } else { " and without all results" }
            ));
        }
    }

    /// Notes which tests of these suites are not run.
    pub(crate) fn skip<'a>(&mut self, suites: impl Iterator<Item = &'a Suite>) {
        for suite in suites {
            let skipped = suite.skipped(&self.name).into_iter();
            let keys = skipped.map(|skip| ((suite.test.clone(), skip.test.clone()), skip.why.clone()));
            self.skipped.extend(keys);
        }
    }

    /// The outcomes of all tests.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.tests.iter().map(|(_, outcome)| outcome)
    }

    fn cell(&self, key: &(String, String)) -> &'static str {
        match self.tests.iter().find(|(known, _)| known == key) {
            Some((_, Outcome::Passed)) => "ok",
            Some((_, Outcome::Ignored)) => "ignored",
            Some((_, Outcome::Failed(_))) => "FAILED",
            None if self.ignored.is_some() => "ignored",
            None if self.skipped.iter().any(|(known, _)| known == key) => "skipped",
            None => "-",
        }
    }

    fn failures(&self) -> impl Iterator<Item = (&(String, String), &str)> {
        self.tests.iter().filter_map(|(key, outcome)| match outcome {
            Outcome::Failed(words) => Some((key, words.as_str())),
            _ => None,
        })
    }

    /// True if a test failed or results are missing, or if nothing could run although it must.
    pub(crate) fn is_bad(&self, must_run: bool) -> bool {
        self.fault.is_some()
            || self.failures().next().is_some()
            || (must_run && self.ignored.is_some())
            // No result at all shows nothing about the kernel.
            || (self.ignored.is_none() && self.tests.is_empty())
    }
}

/// Returns one table of all columns, then the messages of each.
pub(crate) fn render(columns: &[Column]) -> String {
    let mut keys: Vec<&(String, String)> = Vec::new();
    let skipped = columns.iter().flat_map(|column| column.skipped.iter().map(|(key, _)| key));
    for key in columns.iter().flat_map(|column| column.tests.iter().map(|(key, _)| key)).chain(skipped) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // Stable: tests stay in the order of running, suites stay together.
    let order: Vec<&String> = keys.iter().map(|(suite, _)| suite).collect();
    keys.sort_by_key(|(suite, _)| order.iter().position(|known| *known == suite));
    let mut rows = vec![row("test", columns.iter().map(|column| column.name.clone()))];
    rows.extend(keys.iter().map(|key| {
        row(&format!("{} {}", key.0, key.1), columns.iter().map(|column| column.cell(key).to_owned()))
    }));
    rows.push(row("passed, failed, ignored, skipped", columns.iter().map(counts)));
    let time = |column: &Column| column.time.map_or_else(String::new, exactly);
    rows.push(row("time", columns.iter().map(time)));
    let mut text = align(&rows);
    columns.iter().for_each(|column| remarks(column, &mut text));
    text
}

fn counts(column: &Column) -> String {
    let count = |wanted: fn(&Outcome) -> bool| column.outcomes().filter(|outcome| wanted(outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    format!(
        "{}, {failed}, {}, {}",
        count(|outcome| *outcome == Outcome::Passed),
        count(|outcome| *outcome == Outcome::Ignored),
        column.skipped.len()
    )
}

fn remarks(column: &Column, text: &mut String) {
    if let Some(why) = &column.ignored {
        *text += &format!("\n{}: ignored: {why}\n", column.name);
    }
    if let Some(why) = &column.fault {
        *text += &format!("\n{}: {why}\n", column.name);
    }
    for ((suite, test), words) in column.failures() {
        *text += &format!("\n{}: {suite} {test}: {}\n", column.name, words.trim());
    }
    for ((suite, test), why) in &column.skipped {
        *text += &format!("\n{}: {suite} {test}: skipped: {why}\n", column.name);
    }
    for note in &column.notes {
        *text += &format!("\n{}: {note}\n", column.name);
    }
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once(head.to_owned()).chain(cells).collect()
}

fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "begin kernel\n\
        { \"type\": \"suite\", \"event\": \"started\", \"test_count\": 3 }\n\
        { \"type\": \"test\", \"event\": \"started\", \"name\": \"a\" }\n\
        { \"type\": \"test\", \"name\": \"a\", \"event\": \"ok\" }\n\
        { \"type\": \"test\", \"name\": \"b\", \"event\": \"ignored\" }\n";

    #[test]
    fn a_whole_suite_is_read() {
        let text = format!(
            "{WHOLE}{}end kernel 0\n",
            r#"{ "type": "suite", "event": "ok", "passed": 1 }
"#
        );
        let column = Column::parse("6.1", &text);
        assert_eq!(column.outcomes().cloned().collect::<Vec<_>>(), [Outcome::Passed, Outcome::Ignored]);
        assert!(!column.is_bad(true), "{column:?}");
        let table = render(&[column]);
        assert!(table.contains("kernel a") && table.contains("1, 0, 1, 0"), "{table}");
    }

    #[test]
    fn each_step_of_a_boot_is_a_column() {
        let whole = format!("{WHOLE}{}end kernel 0\n", "{ \"type\": \"suite\", \"event\": \"ok\" }\n");
        let text = format!("step 0 20\n{whole}step 1 31\n{whole}step 2 50\ndone 6.1\n");
        let names = ["6.1 function", "6.1 kprobe"].map(str::to_owned);
        let columns = Column::parse_steps(&names, &text);
        assert_eq!(columns[0].time, Some(Duration::from_secs(11)));
        assert_eq!(columns[1].outcomes().count(), 2);
        assert!(columns.iter().all(|column| !column.is_bad(true)), "{columns:?}");
        let cut = Column::parse_steps(&names, &format!("step 0 20\n{whole}"));
        assert!(!cut[0].is_bad(true) && cut[1].is_bad(false), "{cut:?}");
    }

    #[test]
    fn a_suite_that_broke_off_is_a_fault() {
        let hung = format!("{WHOLE}{}\n", r#"{ "type": "test", "event": "started", "name": "c" }"#);
        let column = Column::parse("6.1", &hung);
        assert!(column.is_bad(false));
        assert!(render(&[column]).contains("did not end"));
        assert!(Column::parse("6.1", &format!("{WHOLE}end kernel 139\n")).is_bad(false));
        assert!(Column::parse("6.1", "").is_bad(false), "nothing ran");
    }

    #[test]
    fn what_cannot_run_is_bad_only_where_it_must() {
        let column = Column::ignored("6.1", "no emulator".to_owned());
        assert!(!column.is_bad(false) && column.is_bad(true));
        assert!(render(&[column]).contains("6.1: ignored: no emulator"));
    }
}
