//! The table of `docs/TESTS.md`: each test that it names exists, and runs where the table says.

use std::collections::BTreeSet;
use std::fs;

use tests::binary::workspace;

use crate::{none, rust_files};

/// Where a test runs besides this machine, as the table says it.
const IN_EACH_RUN: &str = "in each run";
const WITH_ALL: &str = "with `--all`";
const NOWHERE: &str = "no";

/// A row of the table.
struct Row<'a> {
    tests: Vec<&'a str>,
    guests: &'a str,
}

fn row(line: &str) -> Option<Row<'_>> {
    let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    let [_, _, tests, guests] = cells[..] else { return None };
    Some(Row {
        tests: tests.split(", ").filter_map(|one| one.strip_prefix('`')?.strip_suffix('`')).collect(),
        guests,
    })
}

/// Returns the suite that has a test, or nothing if it is a unit test; `None` if there is no such test.
fn suite_of<'a>(test: &str, files: &'a [(String, String)]) -> Option<&'a str> {
    let is_in =
        |text: &str| text.contains(&format!("fn {test}(")) || text.contains(&format!("(\"{test}\", "));
    let paths: Vec<_> = files.iter().filter(|(_, text)| is_in(text)).map(|(path, _)| path.as_str()).collect();
    if paths.iter().any(|path| path.starts_with("bpf-programs/tests/support/")) {
        return Some("kernel");
    }
    let suites = paths.iter().filter_map(|path| path.strip_prefix("tests/tests/")?.split(['.', '/']).next());
    suites.into_iter().next().or_else(|| paths.first().map(|_| ""))
}

/// Returns where guests run a test of this suite with hooks at functions, as `tests/vm.toml` says.
fn guests(test: &str, suite: &str, matrix: &str) -> &'static str {
    let quoted = format!("\"{test}\"");
    let (complete, essential) = matrix.split_once("[[essential]]").unwrap();
    // The clock is the same with all hooks.
    let is_tier = |step: &str| step.contains("tier = \"function\"") || suite == "time";
    let has = |step: &str| is_tier(step) && step.contains(&format!("\"{suite}\""));
    let boots = essential.split("[[essential]]").filter(|boot| boot.contains(&quoted));
    let mut steps = boots.filter_map(|boot| boot.split_once("steps = "));
    if steps.any(|(_, steps)| steps.lines().any(has)) {
        return IN_EACH_RUN;
    }
    let mut steps = complete.lines().filter(|line| line.contains("steps = "));
    if steps.any(has) { WITH_ALL } else { NOWHERE }
}

#[test]
fn each_case_has_tests_that_exist_and_run_where_the_table_says() {
    let page = fs::read_to_string(workspace().join("docs/TESTS.md")).unwrap();
    let matrix = fs::read_to_string(workspace().join("tests/vm.toml")).unwrap();
    let files = rust_files();
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| case |")) {
        let Some(row) = row(line) else {
            complaints.push(format!("not four cells: {line}"));
            continue;
        };
        seen.insert(line.split(' ').nth(1).unwrap_or_default().to_owned());
        if row.tests.is_empty() {
            complaints.push(format!("no test: {line}"));
        }
        let mut found = BTreeSet::new();
        for test in row.tests {
            match suite_of(test, &files) {
                Some(suite) => _ = found.insert(guests(test, suite, &matrix)),
                None => complaints.push(format!("there is no test {test}")),
            }
        }
        if found.len() != 1 || !found.contains(row.guests) {
            complaints.push(format!("guests run these tests: {found:?}, not {:?}: {line}", row.guests));
        }
    }
    let missing: Vec<_> = (1..=17).map(|case| case.to_string()).filter(|case| !seen.contains(case)).collect();
    complaints.extend(missing.iter().map(|case| format!("case {case} has no row")));
    none(complaints);
}
