//! `tracers enable|disable NAME` in a running agent: what it is told of happens, the others lose nothing.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::workload::{PYTHON, generate, generator, succeed};
use tests::{Agent, Scratch, Setup, Store, binary, suite, until};

const SOON: Duration = Duration::from_secs(20);
const UID: u32 = 9973;

suite! {
    threads: 2;
    a_kernel_tracer_is_turned_off_and_on_and_the_others_lose_nothing: [Kernel];
    programs_are_turned_off_and_on_and_given_up_ones_start_again: [Kernel];
    what_was_said_at_run_time_holds_until_its_section_changes: [Kernel];
    a_hangup_reloads_and_a_change_that_waits_is_not_cut_by_a_stop: [Kernel];
    a_terminal_that_goes_away_ends_its_agent_in_order: [Kernel, Python];
    a_terminal_that_takes_nothing_holds_nobody_up: [Kernel, Python]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn turn(agent: &Agent, way: &str, names: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = agent.store().run(&[&["tracers", way], names].concat());
    (status.code(), text(&stdout) + &text(&stderr))
}

fn open_23(agent: &Agent, name: &str) -> String {
    let file = agent.scratch().file(name, "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", "23"]);
    file.display().to_string()
}

fn a_kernel_tracer_is_turned_off_and_on_and_the_others_lose_nothing() {
    let agent = Setup::new().set("tracer.connect.disabled", "true").start();
    let before = open_23(&agent, "before");
    assert_eq!(
        turn(&agent, "disable", &["open"]),
        (Some(0), "tracer open: disabled: all it had seen is handed on\n".into())
    );
    let tracer = agent.tracer("open");
    assert_eq!(
        (tracer["phase"].as_str(), tracer["cause"].as_str()),
        (Some("disabled"), Some("disabled at run time"))
    );
    assert!(agent.store().run(&["status"]).status.success(), "a tracer that was told to rest is no trouble");
    assert_eq!(turn(&agent, "disable", &["open"]), (Some(0), "tracer open: already disabled\n".into()));
    let between = open_23(&agent, "between");
    generate(UID, &["spawn", "/bin/true", "--count", "23"]);
    let (code, told) = turn(&agent, "enable", &["tracer.open", "connect"]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    let after = open_23(&agent, "after");
    generate(UID, &["connect", "--count", "23"]);
    let (code, told) = turn(&agent, "enable", &["opne"]);
    assert_eq!((code, told.contains("did you mean \"open\"?")), (Some(2), true), "{told}");
    let agent = agent.finish();
    let count = |tracer: &str, conditions: &[&str]| agent.store().query(tracer, conditions).len();
    // As whoever set the test up, too.
    let own = format!("uid={UID}");
    for (file, expected) in [(before, 23), (between, 0), (after, 23)] {
        assert_eq!(count("open", &[&own, &format!("fname={file}")]), expected, "{file}");
    }
    let runs = ["/usr/bin/true", "/bin/true"].map(|file| count("exec", &[&own, &format!("fname={file}")]));
    assert_eq!(runs.iter().sum::<usize>(), 23);
    assert_eq!(count("connect", &[&own]), 23);
}

fn programs_are_turned_off_and_on_and_given_up_ones_start_again() {
    let scratch = Scratch::new();
    let program = scratch.path().join("program");
    let missing = format!(r#"["{}", "600"]"#, program.display());
    let agent = Setup::new()
        .set("tracer.template.sp.fragile.comm", &missing)
        .set("tracer.template.sp.fragile.kill_timeout", r#""100ms""#)
        .set("tracer.template.sh.clock.comm", r#"["date", "+%N"]"#)
        .set("tracer.template.sh.clock.interval", r#""50ms""#)
        .start();
    until("it is given up", SOON, || (agent.tracer("fragile")["phase"] == "degraded").then_some(()));
    let (code, told) = turn(&agent, "enable", &["fragile"]);
    assert_eq!((code, told.contains("could not be enabled")), (Some(1), true), "{told}");
    symlink("/bin/sleep", &program).unwrap();
    let (code, told) = turn(&agent, "enable", &["fragile"]);
    assert_eq!((code, told.as_str()), (Some(0), "tracer fragile: enabled: it records from now on\n"));
    assert_eq!(agent.tracer("fragile")["phase"], "attached");
    assert_eq!(turn(&agent, "disable", &["clock", "fragile"]).0, Some(0));
    let runs = || agent.tracer("clock")["detail"]["runs"].as_u64().unwrap();
    assert_eq!(agent.tracer("clock")["phase"], "disabled");
    let rested = runs();
    assert_eq!(turn(&agent, "enable", &["clock"]).0, Some(0));
    until("it runs again", SOON, || (runs() > rested).then_some(()));
    agent.finish();
}

fn what_was_said_at_run_time_holds_until_its_section_changes() {
    let scratch = Scratch::new();
    let file = scratch.file("agent.toml", "[tracer.exec]\ndisabled = false\n");
    let agent = Setup::new().options(&["--config", file.to_str().unwrap()]).start();
    assert_eq!(turn(&agent, "disable", &["open", "exec", "uname"]).0, Some(0));
    let phase = |tracer: &str| agent.tracer(tracer)["phase"].as_str().unwrap().to_owned();
    let reload = || text(&agent.store().run(&["reload"]).stdout);
    assert_eq!(reload(), "nothing changed\n");
    assert_eq!(["open", "exec", "uname"].map(phase), ["disabled"; 3]);
    let text = "[tracer.exec]\nname = \"runs\"\n[tracer.uname]\ninterval = \"2m\"\n";
    fs::write(&file, text).unwrap();
    let mut told: Vec<String> = reload().lines().map(str::to_owned).collect();
    told.sort();
    assert_eq!(told, ["added tracer runs", "restarted tracer uname"]);
    let phase = |tracer: &str| agent.tracer(tracer)["phase"].as_str().unwrap().to_owned();
    assert_eq!(["open", "runs", "uname"].map(phase), ["disabled", "attached", "attached"]);
    agent.finish();
}

fn a_hangup_reloads_and_a_change_that_waits_is_not_cut_by_a_stop() {
    let scratch = Scratch::new();
    let file = scratch.file("agent.toml", "");
    let mut agent = Setup::new().options(&["--config", file.to_str().unwrap()]).start();
    let mut load = generator(UID, &["open", file.to_str().unwrap(), "--seconds", "2"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let config = |agent: &Agent| -> Value { agent.status()["config"].clone() };
    assert_eq!(
        (config(&agent)["generation"].as_u64(), &config(&agent)["last_reload"]),
        (Some(1), &Value::Null)
    );
    let sp = format!(
        "[tracer.template.sp.tick]\ncomm = [\"{}\", \"tick\", \"--every-us\", \"1000\"]\n",
        binary::generator().display()
    );
    fs::write(&file, sp).unwrap();
    agent.signal(Signal::SIGHUP);
    until("the hangup is answered", SOON, || (config(&agent)["generation"] == 2).then_some(()));
    until("the new child has said something", SOON, || {
        (agent.tracer("tick")["seen"].as_u64() > Some(10)).then_some(())
    });
    fs::write(&file, "[collector.jsonl]\ndisabled = false\n[collector.sqlite]\nbatch = 100\n").unwrap();
    agent.signal(Signal::SIGHUP);
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(load.wait().unwrap().success());
    agent.store().assert_conserved_to_the_row();
}

/// Starts the agent on a terminal of its own that takes nothing, as after Ctrl-S, and waits until it answers. Then:
/// `away` takes the terminal away, `on` lets it go on (Ctrl-Q) when the agent was stopped, and prints what it shows.
const TERMINAL: &str = r"
import os, pty, signal, subprocess, sys, time
agent, workdir, what = sys.argv[1:]
STOP, GO_ON = b'\x13', b'\x11'
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup is not meant for this one
    os.execv(agent, [agent, 'start', '--workdir', workdir])
os.write(terminal, STOP)
def tell(word):
    return subprocess.run([agent, word, '--workdir', workdir], capture_output=True).returncode
until = time.monotonic() + 60
while tell('status'):
    assert time.monotonic() < until, 'it waits for its terminal'
    time.sleep(0.02)
if what == 'away':
    os.close(terminal)
else:
    assert tell('stop') == 0, 'its end waits for its terminal'
    os.write(terminal, GO_ON)
    try:
        while shown := os.read(terminal, 65536):
            os.write(1, shown)
    except OSError:
        pass  # nobody has it open any more
while os.waitpid(pid, os.WNOHANG)[0] == 0:
    assert time.monotonic() < until, 'it outlives its terminal'
    time.sleep(0.02)
";

/// Runs the agent on a terminal; returns what that showed.
fn on_a_terminal(what: &str) -> String {
    let scratch = Scratch::new();
    let workdir = scratch.path().join("work");
    let mut python = Command::new(PYTHON);
    let done = succeed(python.args(["-c", TERMINAL]).arg(binary::agent()).arg(&workdir).arg(what));
    Store::at(workdir).assert_conserved_to_the_row();
    text(&done.stdout)
}

fn a_terminal_that_goes_away_ends_its_agent_in_order() {
    on_a_terminal("away");
}

fn a_terminal_that_takes_nothing_holds_nobody_up() {
    let shown = on_a_terminal("on");
    let (recording, stopping) = (shown.find("recording"), shown.find("asked over the control socket"));
    assert!(recording.is_some() && recording < stopping, "{shown}");
}
