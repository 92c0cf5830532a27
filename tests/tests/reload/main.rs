//! Makes 200 random edits of the configuration under load, valid and invalid ones. An edit touches only what it
//! changes, which loses nothing; an invalid edit changes nothing; the accounts balance at the end.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

mod edits;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use edits::{Dice, Model, spoil};
use nix::sys::signal::Signal;
use serde_json::Value;
use tests::workload::generator;
use tests::{Agent, Scratch, Setup, binary, suite, until};

const SOON: Duration = Duration::from_secs(30);
/// User id whose files are counted; nothing else on the machine has it.
const UID: u32 = 9974;
const EDITS: u32 = 200;

suite! {
    threads: 1;
    two_hundred_edits_under_load: [Kernel]
}

/// The agent under test, its configuration and its load.
struct Rig {
    agent: Agent,
    file: PathBuf,
    files: PathBuf,
    load: Child,
    _scratch: Scratch,
}

impl Rig {
    fn start(model: &Model) -> Self {
        let scratch = Scratch::new();
        let (files, file) = (scratch.folder("files"), scratch.path().join("agent.toml"));
        fs::write(&file, model.to_toml()).unwrap();
        let options = ["--config", file.to_str().unwrap()];
        // With a level set, the log has the lines about single tracers, which a start otherwise holds back.
        let agent = Setup::new().variable("DUETECTOR_LOG", "info").options(&options).start();
        let mut load = generator(UID, &["number", files.to_str().unwrap(), "--rate", "400"]);
        let load = load.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { agent, file, files, load, _scratch: scratch }
    }

    /// Writes a configuration and has it loaded, by command or by signal. Returns the result that `status` shows.
    fn reload(&self, by_signal: bool) -> Value {
        let last = || self.agent.status()["config"]["last_reload"].clone();
        if !by_signal {
            let done = self.agent.store().run(&["reload"]);
            let outcome = last();
            let (code, words) = (done.status.code(), String::from_utf8_lossy(&done.stderr));
            let expected = if outcome["result"] == "applied" { 0 } else { 2 };
            assert_eq!(code, Some(expected), "{outcome}: {words}");
            let problems = outcome["problems"].as_str().unwrap_or_default();
            assert!(words.contains(problems), "the caller sees all problems: {words}");
            return outcome;
        }
        let before = last();
        self.agent.signal(Signal::SIGHUP);
        until("the signal is answered", SOON, || Some(last()).filter(|now| *now != before))
    }

    fn running(&self) -> String {
        let shown = self.agent.store().run(&["config", "show", "--running"]);
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        String::from_utf8(shown.stdout).unwrap()
    }

    /// Ends the load and returns how many files it made.
    fn end_load(&mut self) -> u64 {
        drop(self.load.stdin.take());
        let mut outcome = String::new();
        std::io::Read::read_to_string(self.load.stdout.as_mut().unwrap(), &mut outcome).unwrap();
        assert!(self.load.wait().unwrap().success());
        serde_json::from_str::<Value>(&outcome).unwrap()["count"].as_u64().unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        let _ = self.load.kill();
        let _ = self.load.wait();
    }
}

/// Facts that distinguish one incarnation of a tracer from another: restarts, its process, and numbers that only grow.
#[derive(Clone, Debug)]
struct Life {
    restarts: u64,
    pid: Value,
    numbers: BTreeMap<&'static str, u64>,
}

fn lives(agent: &Agent) -> BTreeMap<String, Life> {
    let status = agent.status();
    let tracers = status["tracers"].as_array().unwrap().iter();
    let life = |tracer: &Value| {
        let detail = &tracer["detail"];
        let numbers = ["decoded", "runs", "emitted", "events"];
        let numbers = numbers.into_iter().filter_map(|key| Some((key, detail[key].as_u64()?))).collect();
        Life { restarts: tracer["restarts"].as_u64().unwrap(), pid: detail["pid"].clone(), numbers }
    };
    tracers.map(|tracer| (tracer["tracer"].as_str().unwrap().to_owned(), life(tracer))).collect()
}

/// Fails if anything that the edit did not concern was restarted.
fn assert_untouched(
    before: &BTreeMap<String, Life>,
    after: &BTreeMap<String, Life>,
    touched: &BTreeSet<String>,
) {
    let is_touched = |name: &str| {
        let outcome = format!("tracer {name}");
        touched.iter().any(|it| {
            *it == outcome || it.starts_with(&format!("{outcome} ")) || it.contains(&format!("was {name})"))
        })
    };
    for (name, old) in before.iter().filter(|(name, _)| !is_touched(name)) {
        let new =
            after.get(name).unwrap_or_else(|| panic!("{name} is gone, and only {touched:?} was edited"));
        let same = old.restarts == new.restarts && old.pid == new.pid;
        let grown = old.numbers.iter().all(|(key, number)| new.numbers.get(key) >= Some(number));
        assert!(same && grown, "{name} was touched by an edit of {touched:?}: {old:?}, then {new:?}");
    }
}

/// Returns everything that a reload reported as changed.
fn reported(result: &Value) -> BTreeSet<String> {
    let lists = ["added", "removed", "restarted", "changed"];
    let names = lists.iter().flat_map(|list| result["changes"][list].as_array().unwrap());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn two_hundred_edits_under_load() {
    let seed = std::env::var("DUETECTOR_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut dice = Dice::new(seed.unwrap_or(3));
    let mut model = Model::new(&binary::generator());
    let mut rig = Rig::start(&model);
    let mut generation = 1;
    for edit in 0..EDITS {
        let by_signal = dice.one_in(3);
        let before = lives(&rig.agent);
        if dice.one_in(3) {
            let (running, wrong) = (rig.running(), spoil(&mut dice, &model.to_toml(), &rig.file));
            let outcome = rig.reload(by_signal);
            assert_eq!(outcome["result"], "refused", "edit {edit}, {wrong}: {outcome}");
            assert_eq!(rig.running(), running, "edit {edit}, {wrong}");
            assert_untouched(&before, &lives(&rig.agent), &BTreeSet::new());
        } else {
            let old = model.clone();
            (0..1 + dice.below(3)).for_each(|_| model.edit(&mut dice));
            fs::write(&rig.file, model.to_toml()).unwrap();
            let outcome = rig.reload(by_signal);
            assert_eq!(outcome["result"], "applied", "edit {edit}: {outcome}");
            generation += 1;
            let expected = old.differences(&model);
            assert_eq!(reported(&outcome), expected, "edit {edit}");
            assert_untouched(&before, &lives(&rig.agent), &expected);
        }
        assert_eq!(rig.agent.status()["config"]["generation"], generation, "edit {edit}");
        restore(&rig.file, &model);
    }
    check_the_end(&mut rig);
}

/// Writes the valid configuration again; a spoiled file may be a folder by now.
fn restore(file: &Path, model: &Model) {
    if file.is_dir() {
        fs::remove_dir(file).unwrap();
    }
    fs::write(file, model.to_toml()).unwrap();
}

/// Checks that every numbered event of the untouched tracers is stored exactly once or counted as lost, and that the
/// accounts balance.
fn check_the_end(rig: &mut Rig) {
    let made = rig.end_load();
    assert!(made > 500, "only {made} files under load");
    let ended = rig.agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "the agent ended with {}:\n{}", ended.status, ended.stderr);
    assert_eq!(ended.stderr.matches("tracer attached tracer=\"open\"").count(), 1);
    assert_eq!(ended.stderr.matches("child started tracer=steady").count(), 1);
    rig.agent.store().assert_conserved_to_the_row();
    let steady = rig.agent.store().account("steady");
    assert_eq!(steady.lost_total(), 0, "{steady:?}");
    let prefix = format!("{}/", rig.files.display());
    let rows = rig.agent.store().query("open", &[&format!("uid={UID}")]);
    let number = |row: &Value| row["fname"].as_str()?.strip_prefix(&prefix)?.parse::<u64>().ok();
    let mut opened: Vec<u64> = rows.iter().filter_map(number).collect();
    opened.sort_unstable();
    assert!(opened.windows(2).all(|pair| pair[0] < pair[1]), "an open was stored twice");
    // Other programs' opens go into the same ring: a machine that is busy with them may fill it. Then it must be counted.
    let (missing, lost) = (made - opened.len() as u64, rig.agent.store().account("open").lost_total());
    assert!(missing <= lost, "{missing} of {made} opens are missing, {lost} are counted as lost");
    let rows = rig.agent.store().query("steady", &[]);
    let mut ticks: Vec<u64> = rows.iter().map(|row| row["extended"]["n"].as_u64().unwrap()).collect();
    ticks.sort_unstable();
    assert!(ticks.len() > 500, "only {} ticks", ticks.len());
    assert_eq!(ticks, (0..ticks.len() as u64).collect::<Vec<_>>());
}
