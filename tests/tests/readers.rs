//! Readers besides the agent's user: the group in `store.group` reads the store and `read.sock`, and can neither change
//! anything nor disturb the agent.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::workload::{PYTHON, generate};
use tests::{Agent, Scratch, Setup, binary, suite, until};

const UID: u32 = 9926;
const SOON: Duration = Duration::from_secs(60);
/// A group of every Debian, and its number.
const GROUP: (&str, u32) = ("games", 60);
const MEMBER: [&str; 7] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--groups", "60"];
const STRANGER: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

suite! {
    threads: 1;
    a_member_of_the_group_reads_and_a_stranger_does_not: [Kernel, Setpriv];
    hostile_members_disturb_nobody: [Kernel, Setpriv, Python];
    a_group_that_there_is_not_is_an_error_of_the_configuration: [Root];
    without_the_setting_a_group_loses_what_it_had: [Kernel];
}

fn agent() -> Setup {
    Setup::new().only(&["open"]).set("ebpf.uids", &format!("[{UID}]")).set("store.group", GROUP.0)
}

fn open(agent: &Agent, count: u64) {
    let file = agent.scratch().file("file", "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", &count.to_string()]);
}

/// Runs a command of the agent's binary as another user.
fn run_as(who: &[&str], binary: &Path, workdir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(who[0]);
    command.args(&who[1..]).arg(binary).args(arguments).arg("--workdir").arg(workdir);
    command.output().unwrap()
}

/// The mode and the group of a file.
fn mode(path: &Path) -> (u32, u32) {
    let found = path.symlink_metadata().unwrap();
    (found.permissions().mode() & 0o7777, found.gid())
}

fn a_member_of_the_group_reads_and_a_stranger_does_not() {
    let enable: [fn(Setup) -> Setup; 2] = [|setup| setup, Setup::duetector_layout];
    enable.into_iter().for_each(reads);
}

/// Opens of the test's file.
const OPENS: [&str; 9] =
    ["query", "--tracer", "open", "--where", "fname.endsWith('file')", "--limit", "0", "--format", "jsonl"];

fn count(output: &Output) -> usize {
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

fn reads(enable: fn(Setup) -> Setup) {
    let scratch = Scratch::new();
    let binary = binary::public_agent(&scratch);
    let mut agent = enable(agent()).start();
    open(&agent, 50);
    let workdir = agent.store().workdir().to_owned();
    until("a member reads all rows", SOON, || {
        let output = run_as(&MEMBER, &binary, &workdir, &OPENS);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (count(&output) == 50).then_some(())
    });
    assert_modes(&agent);
    let follow = [&["query", "--follow", "--since", "-1h"], &OPENS[1..5], &["--limit", "50"]].concat();
    let output = run_as(&MEMBER, &binary, &workdir, &follow);
    assert!(output.status.success() && count(&output) == 51, "{output:?}");
    assert!(run_as(&MEMBER, &binary, &workdir, &["brief"]).status.success());
    for change in [&["stop"][..], &["reload"], &["tracers", "disable", "open"]] {
        let output = run_as(&MEMBER, &binary, &workdir, change);
        assert_eq!(output.status.code(), Some(1), "{change:?}: {output:?}");
    }
    for question in [&OPENS[..], &["brief"], &["query", "--follow"]] {
        let output = run_as(&STRANGER, &binary, &workdir, question);
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{question:?}: {output:?}");
    }
    if agent.store().database().ends_with("store.sqlite3") {
        let sealed = agent.store().run(&["store", "seal"]);
        assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
        let output = run_as(&MEMBER, &binary, &workdir, &OPENS);
        assert!(output.status.success() && count(&output) == 50, "sealed: {output:?}");
        assert_eq!(mode(&workdir.join("segments")), (0o750, GROUP.1));
        assert_eq!(mode(&workdir.join("segments/.writer")).0 & 0o077, 0);
    }
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    let output = run_as(&MEMBER, &binary, &workdir, &OPENS);
    assert!(output.status.success() && count(&output) == 50, "after the stop: {output:?}");
    assert!(!workdir.join("read.sock").exists());
    reads_after_a_crash(enable, &binary, &workdir);
}

fn assert_modes(agent: &Agent) {
    let (workdir, database) = (agent.store().workdir(), agent.store().database());
    assert_eq!(mode(workdir), (0o750, GROUP.1));
    for suffix in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{suffix}", database.display()));
        assert_eq!(mode(&file), (0o640, GROUP.1), "{suffix}");
    }
    assert_eq!(mode(&workdir.join("read.sock")), (0o660, GROUP.1));
    for closed in ["control.sock", "lock"] {
        assert_eq!(mode(&workdir.join(closed)).0 & 0o077, 0, "{closed}");
    }
}

/// A reader who may not write must find the rows in the log.
fn reads_after_a_crash(enable: fn(Setup) -> Setup, binary: &Path, workdir: &Path) {
    let mut agent = enable(agent()).workdir(workdir).start();
    open(&agent, 25);
    until("rows are stored", SOON, || (agent.tracer("open")["stored"].as_u64() >= Some(25)).then_some(()));
    let expected = count(&run_as(&MEMBER, binary, workdir, &OPENS));
    agent.stop(Signal::SIGKILL);
    let output = run_as(&MEMBER, binary, workdir, &OPENS);
    assert!(
        output.status.success() && count(&output) == expected && expected > 50,
        "after a crash: {output:?}"
    );
}

/// Callers that say nothing, too much, nonsense, or read nothing; and as many as they can.
const HOSTILE: &str = r#"
import socket, sys
path, answers = sys.argv[1], []
def connect():
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(30)
    one.connect(path)
    return one
def ask(request):
    one = connect()
    try:
        one.sendall(request)
        return one.makefile("rb").readline().decode()
    except OSError as error:
        return str(error)
print(ask(b'{"command":"stop"}\n'), end="")
print(ask(b'\xff\x00nonsense\n'), end="")
print(ask(b'{"command":"follow","tracers":[' + b'"' + b'x' * 10_000_000), end="")
deaf = [connect() for _ in range(4)]
for one in deaf:
    one.sendall(b'{"command":"follow"}\n')
silent = [connect() for _ in range(4)]
print(ask(b'{"command":"status"}\n'), end="")
sys.stdout.flush()
sys.stdin.read()
"#;

fn hostile_members_disturb_nobody() {
    let agent = agent().start();
    let socket = agent.store().workdir().join("read.sock");
    let mut command = Command::new(MEMBER[0]);
    command.args(&MEMBER[1..]).args([PYTHON, "-c", HOSTILE]).arg(&socket);
    let mut hostile =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("they follow", SOON, || (agent.status()["live"]["followers"] == 4).then_some(()));
    // Everybody else goes on.
    open(&agent, 60_000);
    assert!(agent.store().run(&["status"]).status.success());
    let own = agent.store().run(&["query", "--follow", "--since", "-1h", "--limit", "100"]);
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    drop(hostile.stdin.take());
    let output = hostile.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let [stop, nonsense, .., one_too_many] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("{output:?}")
    };
    assert!(stop.contains("not a valid request"), "{text}");
    assert!(nonsense.contains("not a valid request"), "{text}");
    assert!(one_too_many.contains("too many connections"), "{text}");
    until("the agent is rid of them", SOON, || (agent.status()["live"]["followers"] == 0).then_some(()));
    let live = agent.status()["live"].clone();
    assert!(live["left_out"].as_u64().unwrap() > 0, "they read nothing: {live}");
    let agent = agent.finish();
    let account = agent.store().account("open");
    assert!(account.stored >= 60_000 - account.lost_total(), "{account:?}");
}

fn a_group_that_there_is_not_is_an_error_of_the_configuration() {
    let scratch = Scratch::new();
    let store = tests::Store::at(scratch.path().join("work"));
    let output = store.run(&["start", "--set", "store.group=no-such-group"]);
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{why}");
    assert!(why.contains("store.group") && why.contains("groupadd"), "{why}");
}

fn without_the_setting_a_group_loses_what_it_had() {
    let scratch = Scratch::new();
    let workdir = scratch.path().join("work");
    let first = agent().workdir(&workdir).start();
    assert_eq!(mode(&first.store().database()).0, 0o640);
    first.finish_run();
    let second = agent().set("store.group", "\"\"").workdir(&workdir).start();
    assert_eq!(mode(&second.store().database()).0, 0o600);
    assert_eq!(mode(&workdir.join("read.sock")).0, 0o600);
    second.finish_run();
}
