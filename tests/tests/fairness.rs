//! Floods by watched users: whoever floods loses his own records, and a user who does little loses none.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::workload::succeed;
use tests::{Agent, Setup, binary, suite, until};

suite! {
    threads: 1;
    refused_opens_cost_only_their_makers: [Kernel];
    refused_renames_cost_only_their_makers: [Kernel];
    changes_of_folder_cost_only_their_makers: [Kernel];
    refused_signals_cost_only_their_makers: [Kernel];
    executions_cost_only_their_makers: [Kernel];
    connects_cost_only_their_makers: [Kernel];
    subordinate_users_have_the_share_of_their_owner: [Kernel]
}

/// Users who flood have ids from here on.
const FLOODERS: u32 = 20_001;

/// The ids of all users who flood.
const FLOODS: std::ops::Range<u64> = 20_001..20_101;

/// The quiet user of each flood has an id from here on.
const QUIET: u32 = 30_001;

/// Beginning of the names of files that a quiet user asks for.
const MARK: &str = "marked-";

/// The tracers that record a quiet user's calls, one call of each a round.
const QUIET_TRACERS: [&str; 7] = ["open", "exec", "exit", "setuid", "kill", "rename", "connect"];

/// Rounds of the quiet user's calls; one round makes about twelve records.
const ROUNDS: u32 = 10;

/// Rounds a second, so that there are fewer than 100 records a second.
const RATE: &str = "7";

/// Numbers of users who flood.
const CROWDS: [u32; 3] = [1, 10, 100];

const SOON: Duration = Duration::from_secs(60);

/// The program that acts for users, with a priority: on a machine that is busy with a flood, the quiet user is to be quick
/// enough.
fn users(priority: &str) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", priority]).arg(binary::program("users"));
    // With cargo's variables, each program looks for its libraries in dozens of files.
    command.env_clear();
    command
}

/// Users who flood, until this is dropped.
struct Flood(Child);

impl Flood {
    /// Starts a flood, and waits until records are lost: then the ring has been full.
    fn start(agent: &Agent, kind: &str, options: &[&str]) -> Self {
        let before = lost(agent, kind);
        let folder = agent.scratch().folder("flood");
        // As quick as the agent, or on a busy machine the ring is never full.
        let mut command = users("0");
        let command = command
            .args(["flood", kind])
            .args(options)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut flood = Self(command.spawn().unwrap());
        BufReader::new(flood.0.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
        until("a ring is full", SOON, || (lost(agent, kind) > before).then_some(()));
        flood
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It has ended if it failed, and then the test has failed, too.
        let _ = self.0.wait();
    }
}

/// The records of this kind of flood that were lost.
fn lost(agent: &Agent, kind: &str) -> u64 {
    let lost = match kind {
        // Changes of folder are records of the process table only.
        "chdir" => agent.actor("ebpf")["state"]["lifecycle_lost"].clone(),
        tracer => agent.tracer(tracer)["lost"]["ring"].clone(),
    };
    lost.as_u64().unwrap()
}

/// The quiet user's calls, while others flood.
fn quiet(agent: &Agent, uid: u32) {
    let prefix = agent.scratch().path().join(MARK);
    let (uid, rounds) = (uid.to_string(), ROUNDS.to_string());
    let mut command = users("-10");
    command.args(["quiet", "--uid", &uid, "--rounds", &rounds, "--rate", RATE]);
    succeed(command.arg(prefix));
}

/// Floods with calls of one kind by 1, 10 and 100 users, each beside another quiet user.
fn flood_of(kind: &str) {
    let agent = Setup::new().start();
    for (quiet_uid, users) in (QUIET..).zip(CROWDS) {
        // One process alone may be too slow.
        let processes = if users == 1 { "4" } else { "1" };
        let (first, users) = (FLOODERS.to_string(), users.to_string());
        let options = ["--first-uid", &first, "--users", &users, "--processes", processes];
        let _flood = Flood::start(&agent, kind, &options);
        quiet(&agent, quiet_uid);
    }
    let agent = finish(agent);
    assert_whole(&agent, CROWDS.len());
    assert_only_flooders_lose(&agent, kind != "chdir");
}

/// Stops the agent when it has stored what the floods left in its rings.
fn finish(agent: Agent) -> Agent {
    until("all records are settled", SOON, || {
        let status = agent.status();
        let tracers = status["tracers"].as_array().unwrap();
        tracers.iter().all(|tracer| tracer["in_flight"].as_i64() < Some(100)).then_some(())
    });
    agent.finish()
}

/// Asserts that all that some quiet users did is stored.
fn assert_whole(agent: &Agent, users: usize) {
    let mut found: BTreeMap<i64, BTreeMap<&str, u32>> = BTreeMap::new();
    let is_counted = |tracer: &str, row: &Value| {
        let starts =
            |value: &Value, prefix: &str| value.as_str().is_some_and(|text| text.starts_with(prefix));
        let mark = agent.scratch().path().join(MARK);
        let mark = mark.to_str().unwrap();
        match tracer {
            "exec" => starts(&row["extended"]["argv"][1], mark),
            "exit" => row["comm"] == "true",
            "setuid" => row["extended"]["call"] == "setresuid",
            "kill" => row["ret"] == -1,
            "connect" => starts(&row["extended"]["daddr"], "127.77."),
            _ => starts(&row["fname"], mark),
        }
    };
    for tracer in QUIET_TRACERS {
        let rows = agent.store().query(tracer, &[&format!("uid >= {QUIET} && uid < {}", QUIET + 100)]);
        for row in rows.iter().filter(|row| is_counted(tracer, row)) {
            *found.entry(row["uid"].as_i64().unwrap()).or_default().entry(tracer).or_default() += 1;
        }
    }
    let whole = (i64::from(QUIET)..).take(users);
    let whole = whole.map(|uid| (uid, QUIET_TRACERS.iter().map(|tracer| (*tracer, ROUNDS)).collect()));
    let mut lost = losses(agent);
    lost.retain(|loss| !loss.is_of_flooder());
    assert_eq!(found, whole.collect(), "rows of users who did little; lost: {lost:#?}");
}

/// A `loss` row: how many records were lost, and of whom.
#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
struct Loss {
    tracer: Value,
    /// User, or none where that is not known.
    owner: Option<u64>,
    /// The row counts the losses of several users.
    of_others: bool,
    count: Value,
    cause: Value,
    from: Value,
    to: Value,
}

impl Loss {
    /// Losses of users who flood. Processes of root may flood, too: this machine's own work.
    fn is_of_flooder(&self) -> bool {
        self.of_others || self.owner.is_some_and(|uid| uid == 0 || FLOODS.contains(&uid))
    }
}

fn losses(agent: &Agent) -> Vec<Loss> {
    let rows = agent.store().query("loss", &[]);
    let losses = rows.into_iter().map(|mut row| Loss {
        owner: row["uid"].as_u64(),
        count: row["count"].take(),
        tracer: row["extended"]["lost_tracer"].take(),
        of_others: row["extended"]["other_users"] == true,
        cause: row["extended"]["cause"].take(),
        from: row["extended"]["from"].take(),
        to: row["extended"]["to"].take(),
    });
    losses.collect()
}

/// Asserts that `loss` rows name users who flood, and no other.
fn assert_only_flooders_lose(agent: &Agent, is_recorded: bool) {
    let (of_flooders, of_others): (Vec<_>, Vec<_>) = losses(agent).into_iter().partition(Loss::is_of_flooder);
    assert!(of_others.is_empty(), "lost by users who do not flood: {of_others:#?}");
    assert!(!is_recorded || of_flooders.iter().any(|loss| loss.owner > Some(0)), "nobody is named");
}

fn refused_opens_cost_only_their_makers() {
    flood_of("open");
}

fn refused_renames_cost_only_their_makers() {
    flood_of("rename");
}

fn changes_of_folder_cost_only_their_makers() {
    flood_of("chdir");
}

fn refused_signals_cost_only_their_makers() {
    flood_of("kill");
}

fn executions_cost_only_their_makers() {
    flood_of("exec");
}

fn connects_cost_only_their_makers() {
    flood_of("connect");
}

/// Processes of each of two users, one of whom has a thousand ids.
const PROCESSES: &str = "4";

fn subordinate_users_have_the_share_of_their_owner() {
    let agent = Setup::new().start();
    let (owner, other) = (FLOODERS, FLOODERS + 1);
    {
        let (owner, other) = (owner.to_string(), other.to_string());
        let options = ["--processes", PROCESSES, "--first-uid"];
        let _plain = Flood::start(&agent, "open", &[options.as_slice(), &[&other]].concat());
        let subordinates = [options.as_slice(), &[&owner, "--subordinates", "1000"]].concat();
        let _flood = Flood::start(&agent, "open", &subordinates);
        quiet(&agent, QUIET);
    }
    let agent = finish(agent);
    assert_whole(&agent, 1);
    assert_only_flooders_lose(&agent, true);
    // Millions of rows, which are counted where they are.
    let counts = format!(
        "SELECT count(*) FILTER (WHERE uid = {other}) AS other, count(*) FILTER (WHERE uid >= 700000) AS subordinates
         FROM open WHERE comm = 'users'"
    );
    let counts = agent.store().json(&["sql", &counts, "--timeout", "10m", "--format", "json"]);
    let count = |name: &str| counts[0][name].as_u64().unwrap();
    let (of_other, of_subordinates) = (count("other"), count("subordinates"));
    assert!(of_other * 3 > of_subordinates, "{of_other} of one user, {of_subordinates} of the other's ids");
}
