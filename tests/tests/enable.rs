//! `tracers enable|disable NAME` in a running agent: the named tracers change, and the others lose nothing. Also what SIGHUP
//! and a terminal that is closed or stopped mean.
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
    a_kernel_tracer_is_disabled_and_enabled_and_the_others_lose_nothing: [Kernel];
    programs_are_disabled_and_enabled_and_given_up_ones_start_again: [Kernel];
    a_disabled_tracer_stays_disabled_until_its_section_changes: [Kernel];
    sighup_reloads_and_a_stop_waits_for_the_reload: [Kernel];
    closing_the_terminal_stops_the_agent_in_order: [Kernel, Python];
    a_stopped_terminal_blocks_neither_recording_nor_stop: [Kernel, Python]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn set_enabled(agent: &Agent, command: &str, names: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = agent.store().run(&[&["tracers", command], names].concat());
    (status.code(), text(&stdout) + &text(&stderr))
}

fn open_23(agent: &Agent, name: &str) -> String {
    let file = agent.scratch().file(name, "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", "23"]);
    file.display().to_string()
}

fn a_kernel_tracer_is_disabled_and_enabled_and_the_others_lose_nothing() {
    let agent = Setup::new().set("tracer.connect.disabled", "true").start();
    let before = open_23(&agent, "before");
    assert_eq!(
        set_enabled(&agent, "disable", &["open"]),
        (Some(0), "tracer open: disabled: what it had recorded before is kept\n".into())
    );
    let tracer = agent.tracer("open");
    assert_eq!(
        (tracer["phase"].as_str(), tracer["cause"].as_str()),
        (Some("disabled"), Some("disabled at run time"))
    );
    assert!(
        agent.store().run(&["status"]).status.success(),
        "a tracer that was disabled by command is no failure"
    );
    assert_eq!(
        set_enabled(&agent, "disable", &["open"]),
        (Some(0), "tracer open: already disabled\n".into())
    );
    let between = open_23(&agent, "between");
    generate(UID, &["spawn", "/bin/true", "--count", "23"]);
    let (code, output) = set_enabled(&agent, "enable", &["tracer.open", "connect"]);
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(output.lines().count(), 2, "{output}");
    let after = open_23(&agent, "after");
    generate(UID, &["connect", "--count", "23"]);
    let (code, output) = set_enabled(&agent, "enable", &["opne"]);
    assert_eq!((code, output.contains("did you mean \"open\"?")), (Some(2), true), "{output}");
    let agent = agent.finish();
    let count = |tracer: &str, conditions: &[&str]| agent.store().query(tracer, conditions).len();
    // Of the workload's user alone, because the harness opens files too.
    let own = format!("uid={UID}");
    for (file, expected) in [(before, 23), (between, 0), (after, 23)] {
        assert_eq!(count("open", &[&own, &format!("fname={file}")]), expected, "{file}");
    }
    let runs = ["/usr/bin/true", "/bin/true"].map(|file| count("exec", &[&own, &format!("fname={file}")]));
    assert_eq!(runs.iter().sum::<usize>(), 23);
    assert_eq!(count("connect", &[&own]), 23);
}

fn programs_are_disabled_and_enabled_and_given_up_ones_start_again() {
    let scratch = Scratch::new();
    let program = scratch.path().join("program");
    let missing = format!(r#"["{}", "600"]"#, program.display());
    let agent = Setup::new()
        .set("tracer.template.sp.fragile.comm", &missing)
        .set("tracer.template.sp.fragile.kill_timeout", r#""100ms""#)
        .set("tracer.template.sh.clock.comm", r#"["date", "+%N"]"#)
        .set("tracer.template.sh.clock.interval", r#""50ms""#)
        .start();
    until("the tracer is given up", SOON, || (agent.tracer("fragile")["phase"] == "degraded").then_some(()));
    let (code, output) = set_enabled(&agent, "enable", &["fragile"]);
    assert_eq!((code, output.contains("could not be enabled")), (Some(1), true), "{output}");
    symlink("/bin/sleep", &program).unwrap();
    let (code, output) = set_enabled(&agent, "enable", &["fragile"]);
    assert_eq!((code, output.as_str()), (Some(0), "tracer fragile: enabled: it records from now on\n"));
    assert_eq!(agent.tracer("fragile")["phase"], "attached");
    assert_eq!(set_enabled(&agent, "disable", &["clock", "fragile"]).0, Some(0));
    let runs = || agent.tracer("clock")["detail"]["runs"].as_u64().unwrap();
    assert_eq!(agent.tracer("clock")["phase"], "disabled");
    let runs_before = runs();
    assert_eq!(set_enabled(&agent, "enable", &["clock"]).0, Some(0));
    until("the command runs again", SOON, || (runs() > runs_before).then_some(()));
    agent.finish();
}

fn a_disabled_tracer_stays_disabled_until_its_section_changes() {
    let scratch = Scratch::new();
    let file = scratch.file("agent.toml", "[tracer.exec]\ndisabled = false\n");
    let agent = Setup::new().options(&["--config", file.to_str().unwrap()]).start();
    assert_eq!(set_enabled(&agent, "disable", &["open", "exec", "uname"]).0, Some(0));
    let phase = |tracer: &str| agent.tracer(tracer)["phase"].as_str().unwrap().to_owned();
    let reload = || text(&agent.store().run(&["reload"]).stdout);
    assert_eq!(reload(), "nothing changed\n");
    assert_eq!(["open", "exec", "uname"].map(phase), ["disabled"; 3]);
    let text = "[tracer.exec]\nname = \"runs\"\n[tracer.uname]\ninterval = \"2m\"\n";
    fs::write(&file, text).unwrap();
    let mut output: Vec<String> = reload().lines().map(str::to_owned).collect();
    output.sort();
    assert_eq!(output, ["added tracer runs", "restarted tracer uname"]);
    let phase = |tracer: &str| agent.tracer(tracer)["phase"].as_str().unwrap().to_owned();
    assert_eq!(["open", "runs", "uname"].map(phase), ["disabled", "attached", "attached"]);
    agent.finish();
}

fn sighup_reloads_and_a_stop_waits_for_the_reload() {
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
    until("SIGHUP has caused a reload", SOON, || (config(&agent)["generation"] == 2).then_some(()));
    until("the new subprocess has sent records", SOON, || {
        (agent.tracer("tick")["seen"].as_u64() > Some(10)).then_some(())
    });
    fs::write(&file, "[collector.jsonl]\ndisabled = false\n[collector.store]\nbatch = 100\n").unwrap();
    agent.signal(Signal::SIGHUP);
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(load.wait().unwrap().success());
    agent.store().assert_conserved_to_the_row();
}

/// Python program that starts the agent on a terminal that accepts no output, as after Ctrl-S, and waits until the agent
/// answers. Then `away` closes the terminal; `on` stops the agent, restarts the terminal's output (Ctrl-Q), and prints it.
const TERMINAL: &str = r"
import os, pty, signal, subprocess, sys, time
agent, workdir, what = sys.argv[1:]
STOP_OUTPUT, RESTART_OUTPUT = b'\x13', b'\x11'
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the test itself may run under nohup
    os.execv(agent, [agent, 'start', '--workdir', workdir])
os.write(terminal, STOP_OUTPUT)
def command(word):
    return subprocess.run([agent, word, '--workdir', workdir], capture_output=True).returncode
until = time.monotonic() + 60
while command('status'):
    assert time.monotonic() < until, 'the agent waits for its terminal'
    time.sleep(0.02)
if what == 'away':
    os.close(terminal)
else:
    assert command('stop') == 0, 'the stop waits for the terminal'
    os.write(terminal, RESTART_OUTPUT)
    try:
        while shown := os.read(terminal, 65536):
            os.write(1, shown)
    except OSError:
        pass  # EIO: the agent has closed the terminal
while os.waitpid(pid, os.WNOHANG)[0] == 0:
    assert time.monotonic() < until, 'the agent still runs without its terminal'
    time.sleep(0.02)
";

/// Runs the agent on a terminal and returns the terminal's output.
fn on_a_terminal(what: &str) -> String {
    let scratch = Scratch::new();
    let workdir = scratch.path().join("work");
    let mut python = Command::new(PYTHON);
    let done = succeed(python.args(["-c", TERMINAL]).arg(binary::agent()).arg(&workdir).arg(what));
    Store::at(workdir).assert_conserved_to_the_row();
    text(&done.stdout)
}

fn closing_the_terminal_stops_the_agent_in_order() {
    on_a_terminal("away");
}

fn a_stopped_terminal_blocks_neither_recording_nor_stop() {
    let shown = on_a_terminal("on");
    let (recording, stopping) = (shown.find("recording"), shown.find("stop command"));
    assert!(recording.is_some() && recording < stopping, "{shown}");
}
