//! Reads the outcome of each test from what suites print, and makes one table of all suites.

use std::time::Duration;

use crate::plan::exactly;

/// The outcome of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Not run, because this machine can't.
    Ignored,
    /// Failed, with the test's message where it is known.
    Failed(String),
}

/// A suite that ended.
pub(crate) struct Ended {
    /// The target's name, as `tests/vm.toml` has it.
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) time: Duration,
    /// Names and outcomes, in the order of ending.
    pub(crate) tests: Vec<(String, Outcome)>,
    /// Passed, failed and ignored tests, from the line of the result; several such lines are added up.
    pub(crate) counts: [u64; 3],
    /// True if the program itself ended well.
    pub(crate) success: bool,
}

impl Ended {
    /// A suite of which nothing was read yet.
    pub(crate) fn new(name: &str, label: String) -> Self {
        Self {
            name: name.to_owned(),
            label,
            time: Duration::ZERO,
            tests: Vec::new(),
            counts: [0; 3],
            success: false,
        }
    }

    /// Reads one line of the suite's output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.add_counts(result);
        } else if let Some((name, outcome)) = line.strip_prefix("test ").and_then(one_test) {
            self.tests.push((name, outcome));
        }
    }

    fn add_counts(&mut self, result: &str) {
        for part in result.split(['.', ';']) {
            let words: Vec<_> = part.split_whitespace().collect();
            let [count, kind] = words[..] else { continue };
            let at = ["passed", "failed", "ignored"].iter().position(|known| *known == kind);
            if let (Some(at), Ok(count)) = (at, count.parse::<u64>()) {
                self.counts[at] += count;
            }
        }
    }

    /// True if every test passed or was ignored.
    pub(crate) fn is_good(&self) -> bool {
        self.success && self.counts[1] == 0
    }
}

/// Reads `NAME ... OUTCOME`; in cargo's own harness another test's output can stand between them.
fn one_test(line: &str) -> Option<(String, Outcome)> {
    let (name, outcome) = line.split_once(" ... ")?;
    let outcome = match outcome.trim().split([' ', ',']).next()? {
        "ok" => Outcome::Passed,
        "ignored" => Outcome::Ignored,
        "FAILED" => Outcome::Failed("see the suite's output above".to_owned()),
        _ => return None,
    };
    Some((name.trim().to_owned(), outcome))
}

/// Returns a line for each suite, and one for all.
pub(crate) fn table(suites: &[Ended]) -> String {
    let width = suites.iter().map(|suite| suite.label.chars().count()).max().unwrap_or(0);
    let line = |label: &str, result: &str, [passed, failed, ignored]: [u64; 3], time: Duration| {
        format!(
            "{label:width$}  {result:6}  {passed:>4} passed  {failed:>3} failed  {ignored:>3} ignored  {:>12}\n",
            exactly(time)
        )
    };
    let word = |good: bool| if good { "ok" } else { "FAILED" };
    let mut text: String = suites
        .iter()
        .map(|suite| line(&suite.label, word(suite.is_good()), suite.counts, suite.time))
        .collect();
    let sum = |at: usize| suites.iter().map(|suite| suite.counts[at]).sum();
    let total = format!("all {} suites", suites.len());
    text += &line(
        &total,
        word(suites.iter().all(Ended::is_good)),
        [sum(0), sum(1), sum(2)],
        suites.iter().map(|suite| suite.time).sum(),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_both_harnesses_are_read() {
        let mut suite = Ended::new("kernel", "bpf-programs/kernel".to_owned());
        for line in [
            "running 4 tests",
            "test a                ... ok",
            "test wire::tests::b ... ignored, needs root",
            "test c ... FAILED",
            "test d ... ignored",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s",
        ] {
            suite.read(line);
        }
        let failed = Outcome::Failed("see the suite's output above".to_owned());
        let outcomes: Vec<_> = suite.tests.iter().map(|(_, outcome)| outcome.clone()).collect();
        assert_eq!(outcomes, [Outcome::Passed, Outcome::Ignored, failed, Outcome::Ignored]);
        assert_eq!(suite.counts, [1, 1, 2]);
        suite.success = true;
        assert!(!suite.is_good());
        assert!(table(&[suite]).contains("FAILED     1 passed    1 failed    2 ignored"));
    }

    #[test]
    fn a_suite_whose_program_crashed_is_not_good() {
        let mut suite = Ended::new("kernel", "bpf-programs/kernel".to_owned());
        suite.read("test a ... ok");
        assert!(!suite.is_good());
    }
}
