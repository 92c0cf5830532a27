//! Filters decided in the kernel give the very rows that the collector alone gives: two agents side by side, random
//! filters, one after the other by reload, and the same events.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::workload::{PYTHON, python};
use tests::{Agent, Cgroups, Scratch, Setup, suite, until};

suite! {
    threads: 1;
    random_filters_give_the_same_rows: [Kernel];
    what_a_process_made_is_filtered_in_the_kernel: [Kernel]
}

const USERS: [u32; 4] = [9871, 9872, 9873, 9874];
const ROUNDS: u32 = 20;
/// Processes that end in a round.
const EXITS: u64 = 4 * 4;
const DEADLINE: Duration = Duration::from_secs(30);

/// Opens that succeed and fail, by absolute and relative paths, of names that filters ask for; renames, links, modes.
const EVENTS: &str = r#"
import os, sys
folder, user = sys.argv[1], sys.argv[2]
def work():
    for part in ("a", "b", "ab"):
        for name in ("one", "two", "caf\u00e9", "b\\d"):
            path = os.path.join(folder, part, name)
            for asked in (path, os.path.relpath(path, folder), path + "-not-there", os.path.join(folder, ".", part)):
                try: os.close(os.open(asked, os.O_RDONLY))
                except OSError: pass
        mine = os.path.join(folder, part, "of-" + user)
        fd = os.open(mine, os.O_CREAT | os.O_WRONLY, 0o600)
        os.fchmod(fd, 0o640)
        os.close(fd)
        os.rename(mine, mine + "-2")
        for path in (mine, mine + "-2"):
            try: os.unlink(path)
            except OSError: pass
work()
for name in ("worker", "py", "fifteen-letters"):
    child = os.fork()
    if child == 0:
        with open("/proc/self/comm", "w") as comm: comm.write(name)
        work()
        os._exit(0)
    os.waitpid(child, 0)
"#;

const POD: &str = "3f1a2b4c-0d5e-4f60-8172-93a4b5c6d7e8";

/// A container of docker's, one of a pod, and one that a user's cgroup only claims to be; between them, none.
const GROUPS: u32 = 4;

fn id(number: usize) -> String {
    ["0123456789abcdef", "fedcba9876543210"][number].repeat(4)
}

fn enter(groups: &Cgroups, group: u32) {
    match group {
        0 => groups.leave(),
        1 => groups.enter(&format!("docker/{}", id(0))),
        2 => groups.enter(&format!("kubepods/burstable/pod{POD}/{}", id(1))),
        _ => {
            groups.delegate("user", USERS[0]);
            groups.enter(&format!("user/docker-{}.scope", id(0)));
        }
    }
}

/// A process that runs what it is told to, so that not all descend of the test alone.
struct Maker {
    child: std::process::Child,
    answers: BufReader<ChildStdout>,
}

const MAKER: &str = r#"
import json, subprocess, sys
for line in sys.stdin:
    uid, folder, *command = json.loads(line)
    subprocess.run(command, user=uid, group=uid, extra_groups=[], cwd=folder, check=True)
    print("done", flush=True)
"#;

impl Maker {
    fn start() -> Self {
        let mut command = Command::new(PYTHON);
        command.args(["-c", MAKER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    fn python(&mut self, uid: u32, folder: &Path, arguments: [&str; 2]) {
        let [first, second] = arguments;
        let request = serde_json::json!([uid, folder, PYTHON, "-c", EVENTS, first, second]);
        writeln!(self.child.stdin.as_mut().unwrap(), "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n");
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It has ended when there is nothing more to read.
        let _ = self.child.wait();
    }
}

/// Numbers that are the same in every run.
struct Dice {
    state: u64,
    /// Processes that filters ask for.
    pids: [u32; 4],
}

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        let next = self.state.wrapping_mul(6_364_136_223_846_793_005);
        self.state = next.wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % sides
    }

    fn atom(&mut self, folder: &str) -> String {
        let user = USERS[self.roll(4)];
        let other = USERS[self.roll(4)];
        let part = ["a", "b", "ab", "a/one", "a/of-9872", "b/caf\u{e9}", "ab/b"][self.roll(7)];
        let comm = ["python3", "worker", "py", "fifteen-letters", "w"][self.roll(5)];
        let root = self.pids[self.roll(4)];
        let atoms = [
            format!("uid == {user}"),
            format!("uid != {user}"),
            format!("uid in [{user}, {other}]"),
            format!("gid > {user}"),
            "pid % 2 == 0".to_owned(),
            format!("comm == '{comm}'"),
            format!("comm.startsWith('{comm}')"),
            format!("fname.startsWith('{folder}/{part}')"),
            format!("fname == '{folder}/{part}'"),
            format!("fname.matches('^{folder}/(a|b)/')"),
            format!("fname.matches('^{folder}/{part}.*[eo]$')"),
            "fname.endsWith('e')".to_owned(),
            "ret < 0".to_owned(),
            "ret == -2".to_owned(),
            "errno == 'ENOENT'".to_owned(),
            "errno != 'ENOENT'".to_owned(),
            "'O_CREAT' in flags".to_owned(),
            format!("tracer == '{}'", ["open", "rename", "exit", "attr"][self.roll(4)]),
            format!("'{part}' in ['a', 'b']"),
            "exe.contains('python')".to_owned(),
            "container_id == null".to_owned(),
            format!("container_id == '{}'", id(self.roll(2))),
            format!("container_id != '{}'", id(self.roll(2))),
            format!("extended.pod_uid in ['{POD}', 'another']"),
            "has(extended.pod_uid)".to_owned(),
            format!("extended.container_claimed == '{}'", id(0)),
            format!("extended.container_runtime == '{}'", ["docker", "podman"][self.roll(2)]),
            format!("{root} in ancestors"),
            format!("!({root} in ancestors)"),
            "size(ancestors) > 6".to_owned(),
            format!("extended.cgroup.startsWith('/duetector-test-{}/kubepods')", std::process::id()),
        ];
        atoms[self.roll(atoms.len())].clone()
    }

    fn expression(&mut self, folder: &str, depth: usize) -> String {
        if depth == 0 || self.roll(4) == 0 {
            return self.atom(folder);
        }
        let (one, other) = (self.expression(folder, depth - 1), self.expression(folder, depth - 1));
        match self.roll(5) {
            0 | 1 => format!("({one} && {other})"),
            2 | 3 => format!("({one} || {other})"),
            _ => format!("!({one})"),
        }
    }

    /// Some filters, few enough that something is left.
    fn filters(&mut self, folder: &str) -> String {
        let mut config = String::new();
        for number in 0..=self.roll(2) {
            let (key, depth) = (["drop", "keep"][self.roll(2)], 1 + self.roll(3));
            let expression = self.expression(folder, depth);
            let tracers = ["[]", "['open']", "['open', 'unlink', 'exit']"][self.roll(3)];
            config.push_str(&format!(
                "[filter.cel_{number}]\n{key} = \"\"\"{expression}\"\"\"\ntracers = {tracers}\n"
            ));
        }
        let part = ["a", "b", "ab", "ab/one"][self.roll(4)];
        config.push_str(&format!(
            "[filter.pattern]\nre_exclude_fname = ['^{folder}/{part}$', '^{folder}/{part}/(one|t.*)', '/usr/']\n\
             exclude_comm = ['worker']\nexclude_ret = [{}]\n",
            self.roll(3)
        ));
        config
    }
}

/// An agent and its configuration file.
struct Side {
    agent: Agent,
    config: std::path::PathBuf,
    base: String,
}

impl Side {
    fn start(scratch: &Scratch, pushdown: bool) -> Self {
        let all = "rename = {disabled = false}\nunlink = {disabled = false}\nattr = {disabled = false}\nusage = {disabled = true}";
        let base = format!("[ebpf]\npushdown = {pushdown}\nuids = {USERS:?}\n[tracer]\n{all}\n");
        let config = scratch.file(&format!("{pushdown}.toml"), &base);
        let agent = Setup::new().options(&["--config", config.to_str().unwrap()]).start();
        Self { agent, config, base }
    }

    fn filter_by(&self, filters: &str) {
        std::fs::write(&self.config, format!("{}{filters}", self.base)).unwrap();
        let done = self.agent.store().run(&["reload"]);
        assert!(done.status.success(), "{filters}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Returns how many events each tracer has seen, once everything up to the end of `exits` processes is stored or
    /// filtered: filters that change later would apply to records still in flight.
    fn settled(&self, exits: u64) -> Option<Vec<u64>> {
        let status = self.agent.status();
        let tracers = status["tracers"].as_array().unwrap();
        let idle = tracers.iter().all(|tracer| tracer["in_flight"] == 0);
        let ended = tracers.iter().any(|tracer| tracer["tracer"] == "exit" && tracer["seen"] == exits);
        let seen = tracers.iter().filter(|tracer| tracer["kind"] == "ebpf" && tracer["tracer"] != "usage");
        (idle && ended).then(|| seen.filter_map(|tracer| tracer["seen"].as_u64()).collect())
    }

    fn filtered_in_kernel(&self) -> u64 {
        let state = self.agent.actor("ebpf")["state"]["filtered"].clone();
        state.as_object().into_iter().flat_map(serde_json::Map::values).filter_map(Value::as_u64).sum()
    }
}

/// Rows by what does not differ between two agents, with how many there are of each.
fn rows(agent: &Agent) -> BTreeMap<String, u32> {
    let all = agent.store().json(&[
        "query",
        "--where",
        "uid >= 9871 && uid <= 9874",
        "--limit",
        "0",
        "--format",
        "json",
    ]);
    let mut counts = BTreeMap::new();
    for row in all.as_array().unwrap() {
        let key = ["tracer", "pid", "tid", "uid", "comm", "fname", "ret", "container_id"];
        let key = key.map(|key| row[key].to_string());
        *counts.entry(format!("{} {}", key.join(" "), row["extended"]["flags"])).or_default() += 1;
    }
    counts
}

fn prepare(folder: &Path) {
    for part in ["a", "b", "ab"] {
        let part = folder.join(part);
        std::fs::create_dir(&part).unwrap();
        std::fs::set_permissions(&part, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        for name in ["one", "two", "caf\u{e9}", "b\\d"] {
            std::fs::write(part.join(name), "").unwrap();
        }
    }
    // Some of it nobody may read.
    std::fs::set_permissions(folder.join("b/two"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
}

fn random_filters_give_the_same_rows() {
    let scratch = Scratch::new();
    let (kernel, user) = (Side::start(&scratch, true), Side::start(&scratch, false));
    let groups = Cgroups::new();
    let mut maker = Maker::start();
    let mut dice = Dice { state: 7, pids: [maker.child.id(), std::process::id(), 1, u32::MAX] };
    let mut request = Vec::new();
    let rounds = suite::share(ROUNDS.into()).max(3) as u32;
    for round in 0..rounds {
        let folder = scratch.folder(&format!("round-{round}"));
        prepare(&folder);
        let name = folder.to_str().unwrap();
        let filters = dice.filters(name);
        kernel.filter_by(&filters);
        user.filter_by(&filters);
        for (group, uid) in (round..).zip(USERS) {
            enter(&groups, group % GROUPS);
            if (round + uid).is_multiple_of(2) {
                maker.python(uid, &folder, [name, &uid.to_string()]);
            } else {
                python(uid, &folder, EVENTS, &[name, &uid.to_string()]);
            }
        }
        until("both have settled", DEADLINE, || {
            let exits = u64::from(round + 1) * EXITS;
            let seen = kernel.settled(exits)?;
            (user.settled(exits)? == seen).then_some(())
        });
        request.push(filters);
    }
    let shown = kernel.agent.store().run(&["status", "--filters"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("in the kernel:"), "{shown:?}");
    let (in_kernel, in_user) = (kernel.filtered_in_kernel(), user.filtered_in_kernel());
    let (kernel, user) = (kernel.agent.finish(), user.agent.finish());
    let (with, without) = (rows(&kernel), rows(&user));
    let only = |one: &BTreeMap<String, u32>, other: &BTreeMap<String, u32>| -> Vec<String> {
        one.iter()
            .filter(|(row, count)| other.get(*row) != Some(*count))
            .take(5)
            .map(|row| format!("{row:?}"))
            .collect()
    };
    assert_eq!(
        with,
        without,
        "only with: {:?}\nonly without: {:?}\n{request:#?}",
        only(&with, &without),
        only(&without, &with)
    );
    assert!(with.len() > 25 * rounds as usize, "{} rows say little", with.len());
    assert_eq!(in_user, 0);
    for tracer in ["open", "rename", "unlink", "attr", "exit"] {
        let (with, without) = (kernel.store().account(tracer), user.store().account(tracer));
        assert_eq!(
            (with.seen, with.filtered, with.lost_total()),
            (without.seen, without.filtered, 0),
            "{tracer}"
        );
    }
    let filtered = kernel.store().account("open").filtered;
    assert!(in_kernel > filtered / 4, "of {filtered} the kernel filtered only {in_kernel}");
}

fn what_a_process_made_is_filtered_in_the_kernel() {
    let scratch = Scratch::new();
    // One is there before the agent, which says of it what it descends of; the other comes later.
    let mut before = Maker::start();
    let side = Side::start(&scratch, true);
    let mut after = Maker::start();
    let folder = scratch.folder("data");
    prepare(&folder);
    let name = folder.to_str().unwrap();
    let mut exits = 0;
    for (maker, other) in [(0, 1), (1, 0)] {
        let asked = [&before, &after][maker].child.id();
        side.filter_by(&format!("[filter.made]\ndrop = \"{asked} in ancestors && uid != 1\"\n"));
        let in_kernel = side.filtered_in_kernel();
        before.python(USERS[maker], &folder, [name, "before"]);
        after.python(USERS[other], &folder, [name, "after"]);
        exits += 2 * 4;
        until("all has settled", DEADLINE, || side.settled(exits));
        assert!(side.filtered_in_kernel() > in_kernel + 100, "{asked}: {}", side.filtered_in_kernel());
    }
    let status = side.agent.status();
    let agent = side.agent.finish();
    // Of the makers' two users, one's were asked for each time.
    let of = |uid: u32| agent.store().query("open", &[&format!("uid={uid}")]).len();
    assert_eq!(of(USERS[0]), 0, "{status:#}");
    assert!(of(USERS[1]) > 100, "{status:#}");
    agent.store().assert_conserved();
}
