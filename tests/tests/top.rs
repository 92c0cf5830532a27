//! `top`: what is counted is what was recorded meanwhile; the screen works at 80 × 24 on a real terminal, and leaves it as it was.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::workload::generate;
use tests::{Agent, Screen, Setup, binary, suite, until};

const UID: u32 = 9931;
const SOON: Duration = Duration::from_secs(60);
const OPENS: u64 = 1000;

suite! {
    // Each agent records what the other tests' programs do, too: they have the same user.
    threads: 1;
    what_is_counted_once_is_what_was_recorded: [Kernel];
    bytes_of_files_and_peers: [Kernel, Python];
    the_screen_works_and_leaves_the_terminal_as_it_was: [Kernel];
    who_has_enough_or_no_terminal_is_understood: [Kernel];
}

fn agent() -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{UID}]")).set("tracer.uname.disabled", "true")
}

/// Starts `top` with its output in a pipe, and waits until the agent knows of it.
fn start(agent: &Agent, options: &[&str]) -> Child {
    let followed = || agent.status()["live"]["followed"].as_u64();
    let before = followed();
    let mut command = Command::new(binary::agent());
    command.arg("top").args(options).arg("--workdir").arg(agent.store().workdir());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the agent is followed", SOON, || (followed() > before).then_some(()));
    child
}

fn answer(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the line of a table that has this name.
fn named<'a>(answer: &'a Value, table: &str, name: &str) -> &'a Value {
    let line = answer[table].as_array().unwrap().iter().find(|line| line["name"] == name);
    line.unwrap_or_else(|| panic!("{table} has no {name}: {answer:#}"))
}

fn what_is_counted_once_is_what_was_recorded() {
    let agent = agent().only(&["open"]).start();
    let file = agent.scratch().file("file", "");
    let path = file.to_str().unwrap();
    let once = ["--once", "--format", "json", "--window", "10"];
    let all = start(&agent, &once);
    let none = start(&agent, &[&once[..], &["--where", "fname.endsWith('/other')"]].concat());
    let same = format!("fname == '{path}' && uid == {UID}");
    let filtered = start(&agent, &[&once[..], &["--where", &same]].concat());
    generate(UID, &["open", path, "--count", &OPENS.to_string()]);
    for child in [all, filtered] {
        let answer = answer(child);
        let (file, user) = (named(&answer, "files", path), &answer["users"][0]);
        assert_eq!((&file["opens"], &user["id"]), (&OPENS.into(), &UID.to_string().into()), "{answer:#}");
        assert!(file["id"].as_str().unwrap().starts_with("id:"), "{file}");
        assert!(user["opens"].as_u64() >= Some(OPENS), "{answer:#}");
        assert_eq!((&answer["left_out"], &answer["complete"]), (&0.into(), &true.into()), "{answer:#}");
        let sums = &answer["accounts"];
        let of = |key: &str| sums[key].as_i64().unwrap();
        assert_eq!(of("seen"), of("stored") + of("filtered") + of("lost") + of("in_flight"), "{sums}");
        assert!(of("seen") >= OPENS as i64, "{sums}");
        assert_eq!(answer["tracers"][0]["tracer"], "open");
    }
    let answer = answer(none);
    assert_eq!(answer["files"], Value::Array(Vec::new()), "{answer:#}");
    agent.finish();
}

fn bytes_of_files_and_peers() {
    let agent = agent().set("ebpf.usage_interval", "\"1s\"").start();
    let file = agent.scratch().file("data", "x".repeat(100_000));
    let top = start(&agent, &["--once", "--format", "json", "--window", "15"]);
    let script = "
import socket, sys, threading
listener = socket.create_server(('127.0.0.1', 0))
port = listener.getsockname()[1]
def serve():
    connection, _ = listener.accept()
    while connection.recv(65536): pass
    connection.close()
thread = threading.Thread(target=serve); thread.start()
with socket.create_connection(('127.0.0.1', port)) as s:
    s.sendall(open(sys.argv[1], 'rb').read())
thread.join(); print(port)
";
    let output = tests::workload::python(UID, agent.scratch().path(), script, &[file.to_str().unwrap()]);
    let port = String::from_utf8(output.stdout).unwrap();
    let answer = answer(top);
    assert_eq!(named(&answer, "files", file.to_str().unwrap())["bytes_read"], 100_000, "{answer:#}");
    let peer = format!("127.0.0.1:{}", port.trim());
    let peers = answer["peers"].as_array().unwrap();
    let peer = peers.iter().find(|line| line["id"] == peer.as_str()).unwrap_or_else(|| panic!("{answer:#}"));
    assert_eq!(peer["bytes_written"], 100_000, "{answer:#}");
    agent.finish();
}

fn the_screen_works_and_leaves_the_terminal_as_it_was() {
    let agent = agent().only(&["open"]).start();
    let file = agent.scratch().file("busy\x1b[2Jfile", "");
    for signal in [Signal::SIGHUP, Signal::SIGQUIT] {
        let screen = Screen::start(&agent, &[]);
        screen.until("seen");
        screen.signal(signal);
        assert!(screen.wait().success(), "{signal}");
    }

    let mut screen = Screen::start(&agent, &["--window", "60"]);
    screen.until("seen");
    generate(UID, &["open", file.to_str().unwrap(), "--count", &OPENS.to_string()]);
    // The name is harmless.
    screen.until(r"busy\x1b[2Jfile");
    screen.until("open");
    screen.press("p");
    screen.until("generator");
    screen.press("u");
    screen.until(&UID.to_string());
    screen.press("?");
    screen.until("freeze the numbers");
    screen.press("?");
    screen.press("/uid ==\r");
    screen.until("expected");
    screen.press("/\x7f\x7f\x7f\x7f\x7f\x7fuid == 1\r");
    screen.until("where uid == 1");
    screen.press("f");
    screen.until("files 0");
    screen.press("q");
    assert!(screen.wait().success());

    let mut screen = Screen::start(&agent, &["--window", "60"]);
    screen.until("seen");
    generate(UID, &["open", file.to_str().unwrap(), "--count", &OPENS.to_string()]);
    screen.press("u");
    screen.until(&UID.to_string());
    screen.press("\r");
    screen.until("query --where");
    screen.until("about");
    screen.press("\x1b");
    screen.until("opens");
    screen.signal(Signal::SIGTERM);
    assert!(screen.wait().success());
    agent.finish();
}

fn who_has_enough_or_no_terminal_is_understood() {
    let mut agent = agent().only(&["open"]).start();
    let piped = agent.store().run(&["top"]);
    assert_eq!(piped.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&piped.stderr).contains("--once"), "{piped:?}");
    let wrong = agent.store().run(&["top", "--once", "--where", "comm=cat"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("comm == 'cat'"), "{wrong:?}");
    let mut screen = Screen::start(&agent, &["--window", "60"]);
    screen.until("seen");
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}", ended.stderr);
    screen.until("waiting for an agent");
    screen.press("\x03");
    assert!(screen.wait().success());
    let gone = agent.store().run(&["top", "--once"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no agent is running"), "{gone:?}");
}
