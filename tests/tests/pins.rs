//! Checks that nobody can take the place of pinned programs and rings, or make it go away: each test has a machine of
//! its own, with a bpffs that every user may write to, as some distributions mount it.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::workload::generate;
use tests::{Agent, Scratch, Setup, suite, until};

suite! {
    threads: 2;
    a_user_who_took_the_folder_s_name_does_not_switch_pinning_off: [Kernel, Setpriv];
    the_agents_own_mount_is_found_again_and_goes_with_the_last_agent: [Kernel];
    a_service_s_own_mounts_do_not_end_what_is_pinned: [Kernel];
    without_the_right_to_mount_it_says_what_is_missing: [Kernel, Setpriv];
    a_service_that_can_t_see_the_machine_s_mounts_says_so: [Kernel, Setpriv];
    what_is_pinned_when_the_tracers_are_switched_off_is_removed_and_counted: [Kernel];
    what_is_pinned_when_the_store_is_switched_off_is_removed: [Kernel];
    an_agent_whose_work_folder_is_gone_keeps_its_pins: [Kernel];
    a_start_waits_for_programs_that_are_detached_after_a_stop: [Kernel]
}

const SOON: Duration = Duration::from_secs(30);
const OWN: &str = "/run/duetector-actors/bpf";
const SHARED: &str = "/sys/fs/bpf/duetector-actors";
const ATTACKER: u32 = 9910;

/// A mount and a pid namespace with a process 1.
struct Machine {
    scratch: Scratch,
    first: Child,
}

impl Machine {
    fn new() -> Self {
        let scratch = Scratch::new();
        let ready = scratch.path().join("ready");
        let prepare = "umount -q /run/duetector-actors/bpf; mount -t tmpfs -o mode=755 run /run && \
                       mount -t bpf -o mode=1777 bpf /sys/fs/bpf && : > \"$0\" && exec sleep infinity";
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", prepare]);
        let first = unshare.arg(&ready).spawn().unwrap();
        let machine = Self { scratch, first };
        until("the machine is ready", SOON, || ready.exists().then_some(()));
        machine
    }

    fn setup(&self, work: &str) -> Setup {
        Setup::new().set("ebpf.uids", "[9911]").workdir(self.scratch.path().join(work))
    }

    /// Starts an agent inside, by `launcher` if it is not empty.
    fn start(&self, work: &str, launcher: &[&str]) -> Agent {
        self.start_as(self.setup(work), launcher)
    }

    fn start_as(&self, setup: Setup, launcher: &[&str]) -> Agent {
        let pid = child_of(self.first.id()).to_string();
        let enter = ["nsenter", "--target", &pid, "--mount", "--pid", "--"];
        setup.under(&[&enter, launcher].concat()).start()
    }

    /// Runs a program inside as the attacker.
    fn attack(&self, words: &[&str]) {
        let pid = child_of(self.first.id()).to_string();
        let uid = ATTACKER.to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &pid, "--mount", "--", "setpriv", "--reuid", &uid, "--clear-groups"]);
        assert!(enter.args(words).status().unwrap().success(), "{words:?}");
    }

    /// Returns the path at which a file inside can be seen from here.
    fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", child_of(self.first.id())))
    }

    /// Returns how often the agents' own bpffs is mounted.
    fn mounts(&self) -> usize {
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", child_of(self.first.id()))).unwrap();
        mounts.lines().filter(|line| line.split(' ').nth(4) == Some(OWN)).count()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.first.kill();
        let _ = self.first.wait();
    }
}

/// Returns the only child of a process.
fn child_of(pid: u32) -> u32 {
    let children = format!("/proc/{pid}/task/{pid}/children");
    until("there is a child", SOON, || fs::read_to_string(&children).unwrap().trim().parse().ok())
}

/// Kills the agent itself rather than the program that entered the machine.
fn kill_inside(agent: &mut Agent) {
    kill(Pid::from_raw(child_of(agent.pid()) as i32), Signal::SIGKILL).unwrap();
    agent.wait();
}

fn stop(agent: &mut Agent) {
    let stopped = agent.store().run(&["stop"]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    agent.wait();
}

fn pin(agent: &Agent) -> Value {
    agent.actor("ebpf")["state"]["pin"].clone()
}

fn folder(agent: &Agent) -> String {
    let pin = pin(agent);
    pin["folder"].as_str().unwrap_or_else(|| panic!("nothing is pinned: {pin}")).to_owned()
}

fn a_user_who_took_the_folder_s_name_does_not_switch_pinning_off() {
    let attacks: [&[&str]; 2] = [&["mkdir", "-m", "777", SHARED], &["ln", "-s", "/tmp", SHARED]];
    for attack in attacks {
        let machine = Machine::new();
        machine.attack(attack);
        let mut agent = machine.start("work", &[]);
        let folder = folder(&agent);
        assert!(folder.starts_with(OWN), "{folder}");
        assert!(machine.path(&format!("{folder}/map-mark")).exists());
        for own in [OWN, &folder, "/run/duetector-actors"] {
            let found = machine.path(own).metadata().unwrap();
            assert_eq!((found.permissions().mode() & 0o777, found.uid()), (0o700, 0), "{own}");
        }
        // Who it was is in the status, for people and for programs.
        let note = pin(&agent)["note"].as_str().unwrap().to_owned();
        assert!(note.contains(SHARED) && note.contains("mode 0777") && note.contains("uid 9910"), "{note}");
        let shown = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
        assert!(shown.contains(&folder) && shown.contains("uid 9910"), "{shown}");
        stop(&mut agent);
        assert!(!machine.path(&folder).exists() && machine.mounts() == 0);
    }
}

fn the_agents_own_mount_is_found_again_and_goes_with_the_last_agent() {
    let machine = Machine::new();
    let mut agent = machine.start("work", &[]);
    let first = folder(&agent);
    kill_inside(&mut agent);
    let opened = machine.scratch.file("file", "");
    generate(9911, &["open", opened.to_str().unwrap(), "--count", "23"]);
    let mut agent = machine.start("work", &[]);
    assert_eq!((folder(&agent), &pin(&agent)["adopted"]), (first.clone(), &true.into()));
    let mut other = machine.start("other", &[]);
    assert_ne!(folder(&other), first);
    assert_eq!(machine.mounts(), 1, "mounted again on top");
    stop(&mut agent);
    assert!(!machine.path(&first).exists());
    assert_eq!((machine.mounts(), agent.store().account("open").count), (1, 23));
    stop(&mut other);
    assert_eq!(machine.mounts(), 0, "nothing was to remain");
}

fn a_service_s_own_mounts_do_not_end_what_is_pinned() {
    let machine = Machine::new();
    // With a bpffs of its own, too.
    let mounts = "mount -t bpf bpf /sys/fs/bpf && exec \"$0\" \"$@\"";
    let service = ["unshare", "--mount", "sh", "-c", mounts];
    let mut agent = machine.start("work", &service);
    let folder = folder(&agent);
    kill_inside(&mut agent);
    assert!(machine.path(&folder).join("map-mark").exists(), "it ended with the service");
    let mut agent = machine.start("work", &service);
    assert_eq!(pin(&agent)["adopted"], true, "{}", pin(&agent));
    stop(&mut agent);
    assert!(!machine.path(&folder).exists() && machine.mounts() == 0);
}

fn without_the_right_to_mount_it_says_what_is_missing() {
    let machine = Machine::new();
    let less = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
    // A name in a folder with the sticky bit is safe once it is ours.
    let mut agent = machine.start("work", &less);
    let (pinned, note) = (folder(&agent), pin(&agent)["note"].as_str().unwrap().to_owned());
    assert!(Path::new(&pinned).starts_with(SHARED) && note.contains("CAP_SYS_ADMIN"), "{pinned} {note}");
    stop(&mut agent);
    // As if he had been first.
    fs::remove_dir(machine.path(SHARED)).unwrap();
    machine.attack(&["mkdir", SHARED]);
    let mut agent = machine.start("work", &less);
    let problem = pin(&agent)["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("CAP_SYS_ADMIN") && problem.contains("belongs to uid 9910"), "{problem}");
    stop(&mut agent);
}

fn a_service_that_can_t_see_the_machine_s_mounts_says_so() {
    let machine = Machine::new();
    let less = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];
    let mut agent = machine.start("work", &less);
    assert_eq!(pin(&agent)["note"], Value::Null, "it has the machine's mounts");
    stop(&mut agent);
    let mut agent = machine.start("work", &[&["unshare", "--mount"], &less[..]].concat());
    let note = pin(&agent)["note"].as_str().unwrap().to_owned();
    assert!(note.contains("ends with the service"), "{note}");
    stop(&mut agent);
    // What it pins in the machine's own bpffs stays.
    let less = ["setpriv", "--bounding-set=-sys_ptrace,-sys_admin", "--inh-caps=-sys_ptrace,-sys_admin"];
    let service = [&["unshare", "--mount"], &less[..]].concat();
    let mut agent = machine.start("work", &service);
    let note = pin(&agent)["note"].as_str().unwrap().to_owned();
    assert!(!note.contains("ends with the service"), "{note}");
    kill_inside(&mut agent);
    let mut agent = machine.start("work", &service);
    assert_eq!(pin(&agent)["adopted"], true, "{}", pin(&agent));
    stop(&mut agent);
}

/// Starts an agent, kills it once it has stored opens, and makes more; returns where it had pinned.
fn killed_with_opens(machine: &Machine) -> PathBuf {
    let mut agent = machine.start("work", &[]);
    let opened = machine.scratch.file("file", "");
    let open = |count| generate(9911, &["open", opened.to_str().unwrap(), "--count", count]);
    open("10");
    until("rows are stored", SOON, || (agent.tracer("open")["stored"].as_u64() >= Some(10)).then_some(()));
    let pinned = machine.path(&folder(&agent));
    kill_inside(&mut agent);
    open("23");
    assert!(pinned.join("map-mark").exists());
    pinned
}

fn what_is_pinned_when_the_tracers_are_switched_off_is_removed_and_counted() {
    let machine = Machine::new();
    let pinned = killed_with_opens(&machine);
    let mut agent = machine.start_as(machine.setup("work").set("ebpf.disabled", "true"), &[]);
    assert!(!pinned.exists() && machine.mounts() == 0, "nobody would remove it");
    stop(&mut agent);
    let losses = agent.store().query("loss", &[]);
    let row = losses.iter().find(|row| row["extended"]["lost_tracer"] == "open").unwrap();
    assert!(row["count"].as_u64() >= Some(23), "{row}");
}

fn what_is_pinned_when_the_store_is_switched_off_is_removed() {
    let machine = Machine::new();
    let pinned = killed_with_opens(&machine);
    let without = machine.setup("work").set("collector.store.disabled", "true");
    let mut agent = machine.start_as(without.set("collector.jsonl.disabled", "false"), &[]);
    assert!(!pinned.exists() && machine.mounts() == 0, "nobody would remove it");
    let problem = pin(&agent)["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("collector.store"), "{problem}");
    stop(&mut agent);
    // The next run with the store says from when on it has nothing.
    let mut agent = machine.start("work", &[]);
    assert!(pin(&agent)["gap"].as_str().unwrap().contains("open"), "{}", pin(&agent));
    stop(&mut agent);
}

fn an_agent_whose_work_folder_is_gone_keeps_its_pins() {
    let machine = Machine::new();
    let first = machine.start("work", &[]);
    let pinned = machine.path(&folder(&first));
    let work = machine.scratch.path().join("work");
    fs::rename(&work, machine.scratch.path().join("moved")).unwrap();
    let mut second = machine.start("work", &[]);
    let problem = pin(&second)["problem"].as_str().unwrap().to_owned();
    assert!(problem.contains("a running agent with a work folder of the same path"), "{problem}");
    stop(&mut second);
    assert!(pinned.join("map-mark").exists(), "it took the other's");
    drop(first);
}

fn a_start_waits_for_programs_that_are_detached_after_a_stop() {
    let machine = Machine::new();
    let slow = machine.setup("work").variable("DUETECTOR_FAULT_SLOW_UNPIN", "200");
    let mut agent = machine.start_as(slow, &[]);
    let pinned = machine.path(&folder(&agent));
    stop(&mut agent);
    assert!(pinned.join("removal").exists(), "the stop waited for all links");
    let mut agent = machine.start("work", &[]);
    assert_eq!(pin(&agent)["problem"], Value::Null);
    assert_eq!((&pin(&agent)["adopted"], &pin(&agent)["refused"]), (&Value::Bool(false), &Value::Null));
    assert!(
        agent.stderr().contains("waiting for the programs of an agent that has ended"),
        "{}",
        agent.stderr()
    );
    stop(&mut agent);
    assert!(!pinned.exists(), "it left pins");
}
