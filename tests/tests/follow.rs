//! `query --follow`: rows come as they are stored, each once, also where stored rows are printed first; who reads slowly loses
//! only for itself, and learns how many.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::numbered::assert_once;
use tests::workload::generate;
use tests::{Agent, Crowd, Follower, Setup, follower, suite, until};

const UID: u32 = 9925;
const SOON: Duration = Duration::from_secs(60);
/// Opens of one generator in a second.
const RATE: u64 = 2000;
/// Gives an agent a store.
type Enable = fn(Setup) -> Setup;
/// Sinks that followers get rows from, and how an agent gets each.
const STORES: [Enable; 2] = [|setup| setup, Setup::duetector_layout];

suite! {
    // Each agent records what the other tests' programs do, too: they have the same user.
    threads: 1;
    stored_and_live_rows_come_once: [Kernel];
    filters_columns_and_formats_mean_the_same_as_for_stored_rows: [Kernel];
    a_slow_reader_learns_what_it_lacks_and_nobody_else_lacks_it: [Kernel];
    the_memory_sink_has_a_reader: [Kernel];
    who_has_enough_ends_it_cleanly: [Kernel];
    an_agent_that_was_killed_is_no_clean_end: [Kernel];
}

/// An agent that records only opens, of one user only.
fn agent() -> Setup {
    Setup::new().only(&["open"]).set("ebpf.uids", &format!("[{UID}]")).set("tracer.uname.disabled", "true")
}

fn open(agent: &Agent, count: u64) {
    let file = agent.scratch().file("file", "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", &count.to_string()]);
}

fn stored(agent: &Agent) -> u64 {
    agent.tracer("open")["stored"].as_u64().unwrap()
}

fn stored_and_live_rows_come_once() {
    STORES.into_iter().for_each(come_once);
}

fn come_once(enable: Enable) {
    // Rows are sealed meanwhile, where they are.
    let mut agent = enable(agent()).set("store.seal_after", "\"1s\"").start();
    let crowd = Crowd::start(UID, 2, RATE, RATE);
    until("rows are stored", SOON, || (stored(&agent) > 2 * RATE).then_some(()));
    let own = ["--tracer", "open", "--where", "fname.startsWith('/seam-')", "--format", "csv"];
    let options = |more: &[&'static str]| [&own[..], &["--columns", "fname"], more].concat();
    // Several, so that some begin in the middle of a write.
    let followers: Vec<Follower> =
        (0..4).map(|_| Follower::start(&agent, &options(&["--since", "-1h"]))).collect();
    let live = Follower::start(&agent, &options(&[]));
    crowd.wait_for(2 * RATE);
    let done = crowd.end();
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    let rows = agent.store().query("open", &["fname.startsWith('/seam-')"]);
    let expected: Vec<String> = done
        .iter()
        .flat_map(|(prefix, count)| (0..*count).map(move |number| format!("{prefix}{number}")))
        .collect();
    let lost = agent.store().account("open").lost_total();
    for follower in followers {
        let followed = follower.wait();
        assert!(followed.status.success(), "{}", followed.stderr);
        assert!(followed.stderr.contains("the agent has stopped"), "{}", followed.stderr);
        let [header, names @ ..] = &followed.lines[..] else { panic!("no header: {followed:?}") };
        assert_eq!((header.as_str(), names.len()), ("fname", rows.len()));
        assert_once(names, &expected, lost);
    }
    let followed = live.wait();
    let names = &followed.lines[1..];
    assert!(followed.status.success() && names.len() as u64 >= RATE && names.len() < rows.len());
    // It has all rows from some row on.
    let tail: Vec<&str> = rows.iter().rev().map(|row| row["fname"].as_str().unwrap()).take(100).collect();
    assert!(tail.iter().all(|name| names.iter().any(|found| found == name)), "{tail:?}");
}

fn filters_columns_and_formats_mean_the_same_as_for_stored_rows() {
    let agent = agent().start();
    let since = ["--since", "-1h", "--limit", "40"];
    let queries: [&[&str]; 5] = [
        &["--tracer", "open", "--where", "ret >= 0 && fname.endsWith('file')", "--format", "jsonl"],
        &[
            "--where",
            &format!("uid={UID}"),
            "--where",
            "pid > 1",
            "--columns",
            "id,time,fname,ret",
            "--format",
            "csv",
        ],
        &["--tracer", "open", "--columns", "tracer,pid,no_such_field", "--numeric", "--format", "table"],
        &[
            "--tracer",
            "open",
            "--where",
            "tid != null",
            "--format",
            "jsonl",
            "--columns",
            "extended.tid,exec_id",
        ],
        &["--collector-id", "somebody-else", "--format", "jsonl"],
    ];
    let started: Vec<Follower> =
        queries[..4].iter().map(|query| Follower::start(&agent, &[*query, &since].concat())).collect();
    let nothing = Follower::start(&agent, queries[4]);
    open(&agent, 40);
    for (follower, query) in started.into_iter().zip(&queries) {
        let followed = follower.wait();
        assert!(followed.status.success(), "{query:?}: {}", followed.stderr);
        let mut arguments = vec!["query"];
        arguments.extend(query.iter().filter(|word| !word.contains("no_such_field")));
        if query.iter().any(|word| word.contains("no_such_field")) {
            // A name that no row has is no error here: rows to come may have it.
            assert!(followed.stderr.contains("no_such_field"), "{}", followed.stderr);
            let header: Vec<&str> = followed.lines[0].split_whitespace().collect();
            assert_eq!((header, followed.lines.len()), (vec!["tracer", "pid", "no_such_field"], 41));
            continue;
        }
        let output = agent.store().run(&[&arguments[..], &since].concat());
        let expected = String::from_utf8(output.stdout).unwrap();
        assert_eq!(followed.lines, expected.lines().collect::<Vec<_>>(), "{query:?}");
    }
    let refused = agent.store().run(&["query", "--follow", "--format", "json"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && why.contains("jsonl"), "{why}");
    for option in ["--desc", "--distinct", "--until=now", "--order-by=pid", "--start=1"] {
        assert_eq!(agent.store().run(&["query", "--follow", option]).status.code(), Some(2), "{option}");
    }
    let agent = agent.finish();
    let followed = nothing.wait();
    assert!(followed.status.success() && followed.lines.is_empty(), "{followed:?}");
    let ended = agent.store().run(&["query", "--follow"]);
    let why = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && why.contains("no agent is running"), "{why}");
}

fn a_slow_reader_learns_what_it_lacks_and_nobody_else_lacks_it() {
    STORES.into_iter().for_each(read_slowly);
}

fn read_slowly(enable: Enable) {
    let mut agent = enable(agent()).start();
    let options = ["--tracer", "open", "--columns", "id", "--format", "csv"];
    let (slow, quick) = (Follower::start(&agent, &options), Follower::start(&agent, &options));
    let before = stored(&agent);
    slow.signal(Signal::SIGSTOP);
    let left_out = || agent.status()["live"]["left_out"].as_u64().unwrap();
    let mut opened = 0;
    while left_out() == 0 {
        open(&agent, 2000);
        opened += 2000;
        assert!(opened < 400_000, "the follower's queue took everything: {}", agent.status()["live"]);
        // The quick one keeps up, whatever else the machine does.
        until("the quick one has all", SOON, || (quick.lines().len() > opened).then_some(()));
    }
    slow.signal(Signal::SIGCONT);
    until("it learns that", SOON, || slow.stderr().contains("rows were left out").then_some(()));
    open(&agent, 10);
    let live = agent.status()["live"].clone();
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    let stored = agent.store().account("open").stored - before;
    let (slow, quick) = (slow.wait(), quick.wait());
    assert!(quick.status.success(), "{}", quick.stderr);
    assert_eq!(quick.lines.len() as u64 - 1, stored, "the quick one has all: {live}");
    let reported: u64 = slow
        .stderr
        .lines()
        .filter_map(|line| line.split_once(" rows were left out")?.0.parse::<u64>().ok())
        .sum();
    assert_eq!(slow.status.code(), Some(1), "{}", slow.stderr);
    assert_eq!(
        (slow.lines.len() as u64 - 1 + reported, reported),
        (stored, live["left_out"].as_u64().unwrap())
    );
    // Ids grow, and what is missing is missing in one piece at each place.
    let ids: Vec<i64> = slow.lines[1..].iter().map(|id| id.parse().unwrap()).collect();
    let jumps: i64 = ids.windows(2).map(|pair| pair[1] - pair[0] - 1).sum();
    assert_eq!(jumps.unsigned_abs(), reported, "{}", slow.stderr);
}

fn the_memory_sink_has_a_reader() {
    let setup = agent().set("collector.sqlite.disabled", "true").set("collector.memory.disabled", "false");
    let mut agent = setup.set("collector.memory.maxlen", "50").start();
    let last = "fname.endsWith('file')";
    let options = ["--tracer", "open", "--where", last, "--columns", "pid", "--format", "csv"];
    open(&agent, 500);
    until("rows are there", SOON, || (stored(&agent) >= 500).then_some(()));
    let live = Follower::start(&agent, &options);
    let recent = Follower::start(&agent, &[&options[..], &["--since", "-1h"]].concat());
    until("recent rows come", SOON, || (recent.lines().len() > 10).then_some(()));
    open(&agent, 30);
    until("live rows come", SOON, || (live.lines().len() == 31).then_some(()));
    assert!(agent.stop(Signal::SIGTERM).status.success());
    let (live, recent) = (live.wait(), recent.wait());
    assert!(live.status.success() && recent.status.success());
    assert_eq!(live.lines.len(), 1 + 30);
    // The generator's last opens in memory may be of its end.
    let count = recent.lines.len();
    assert!((1 + 40..=1 + 80).contains(&count), "{count} lines of 50 rows in memory and 30 more");
    let ended = &recent.lines[count - 30..];
    assert_eq!(ended, &live.lines[1..]);
}

fn who_has_enough_ends_it_cleanly() {
    let agent = agent().start();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let follower = Follower::start(&agent, &["--format", "jsonl"]);
        follower.signal(signal);
        let followed = follower.wait();
        assert!(followed.status.success(), "{signal}: {followed:?}");
    }
    // A reader that closes the pipe while no row comes.
    let mut child = follower::command(&agent, &["--tracer", "open", "--format", "jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    until("it follows", SOON, || (agent.status()["live"]["followers"] == 1).then_some(()));
    open(&agent, 1);
    let row: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(row["tracer"], "open");
    drop(lines);
    let status = until("it ends", SOON, || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    until("the agent knows", SOON, || (agent.status()["live"]["followers"] == 0).then_some(()));
    agent.finish();
}

fn an_agent_that_was_killed_is_no_clean_end() {
    let mut agent = agent().start();
    let follower = Follower::start(&agent, &["--format", "jsonl"]);
    agent.stop(Signal::SIGKILL);
    let followed = follower.wait();
    assert_eq!(followed.status.code(), Some(1));
    assert!(followed.stderr.contains("lost the connection"), "{}", followed.stderr);
}
