//! Programs of templates: the descriptors, terminal and rights that they have, and their users' lack of power over the agent.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tests::workload::PYTHON;
use tests::{Agent, Scratch, Setup, suite, until};

const PATIENCE: Duration = Duration::from_secs(60);
/// User of the templates; nothing else on the machine has it.
const UID: u32 = 54_321;
/// Runs of a template during the attack.
const RUNS: u64 = 300;

suite! {
    threads: 2;
    the_user_of_a_template_has_no_power_over_the_agent: [Root, Python];
    a_program_has_no_terminal_and_no_descriptors_of_the_agent: [Root, Python];
    a_program_that_cannot_be_started_says_why: [Root];
    a_launcher_that_is_stopped_holds_nothing_up: [Root];
    a_log_that_nobody_reads_holds_nothing_up: [Root, Python];
    programs_end_with_an_agent_that_is_killed: []
}

/// The agent with these templates and no other tracers.
fn setup(scratch: &Scratch, templates: &str) -> Setup {
    let file = scratch.file("config.toml", templates);
    let setup = Setup::new().set("ebpf.disabled", "true").set("tracer.uname.disabled", "true");
    setup.options(&["--config", file.to_str().unwrap()])
}

/// Until the file exists: tries to signal and to limit each thread of the process, with signal 0 and by reading a limit,
/// which need the same permission as any signal and any limit. Prints how often that succeeded.
const ATTACK: &str = r#"
import ctypes, os, resource, sys
libc, agent, end = ctypes.CDLL(None), int(sys.argv[1]), sys.argv[2]
signalled = limited = 0
while not os.path.exists(end):
    for task in map(int, os.listdir(f"/proc/{agent}/task")):
        signalled += libc.tgkill(agent, task, 0) == 0
        try:
            resource.prlimit(task, resource.RLIMIT_NOFILE)
            limited += 1
        except OSError:
            pass
print(signalled, limited)
"#;

fn the_user_of_a_template_has_no_power_over_the_agent() {
    let scratch = Scratch::new();
    let template = format!(
        "[tracer.template.sh.quick]\ncomm = [\"true\"]\nuser = \"{UID}:{UID}\"\ninterval = \"10ms\"\n\
         [tracer.template.sp.child]\ncomm = [\"true\"]\nuser = \"{UID}:{UID}\"\n"
    );
    let agent = setup(&scratch, &template).start();
    let end = scratch.path().join("end");
    let mut attack = Command::new(PYTHON);
    attack.args(["-c", ATTACK, &agent.pid().to_string()]).arg(&end).uid(UID).gid(UID);
    let attack = attack.stdout(Stdio::piped()).spawn().unwrap();
    let runs = |agent: &Agent| agent.tracer("quick")["detail"]["runs"].as_u64();
    let before = runs(&agent).unwrap();
    until("the runs of the template", PATIENCE, || (runs(&agent)? >= before + RUNS).then_some(()));
    fs::write(&end, "").unwrap();
    let output = attack.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0 0\n");
    agent.finish();
}

/// Gives itself a controlling terminal and a descriptor of a secret file, then becomes the agent.
const ON_A_TERMINAL: &str = r#"
import fcntl, os, sys, termios
os.setsid()
main, terminal = os.openpty()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
for fd in (main, terminal):
    os.set_inheritable(fd, True)
os.dup2(os.open(sys.argv[1], os.O_RDONLY), 50)
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// Prints what the program finds, as an event that is also fields.
const PROBE: &str = r#"
import fcntl, json, os, sys, termios
found = {}
for name in ("/dev/tty", "stdin"):
    try:
        fd = os.open(name, os.O_RDWR) if name != "stdin" else 0
        fcntl.ioctl(fd, termios.TIOCSTI, b"x")
        found[name] = "pushed a character"
    except OSError as why:
        found[name] = why.strerror
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
found["session"] = os.getsid(0) == os.getpid() == os.getpgid(0)
found["descriptors"] = [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}")]
found["no_new_privs"] = status["NoNewPrivs"].strip()
found["names"] = [os.environ.get(name) for name in ("HOME", "USER", "LOGNAME")]
found["ids"] = [os.getresuid(), os.getresgid(), os.getgroups()]
if sys.argv[1] == "event":
    found = {"proto": "duetector", "version": "0.1.0", "type": "event", "payload": {"found": found}}
print(json.dumps(found), flush=True)
if sys.argv[1] == "event":
    sys.stdin.read()
"#;

fn a_program_has_no_terminal_and_no_descriptors_of_the_agent() {
    let scratch = Scratch::new();
    let secret = scratch.file("secret", "");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let probe = scratch.file("probe.py", PROBE);
    let comm = |kind: &str| format!("comm = [{PYTHON:?}, {:?}, {kind:?}]", probe.to_str().unwrap());
    let (fields, event) = (comm("fields"), comm("event"));
    let template = format!(
        "[tracer.template.sh.roots]\n{fields}\nparse = \"json\"\n\
         [tracer.template.sh.users]\n{fields}\nparse = \"json\"\nuser = \"{UID}:{UID}\"\n\
         [tracer.template.sh.setuid]\n{fields}\nparse = \"json\"\nuser = \"{UID}:{UID}\"\nallow_setuid = true\n\
         [tracer.template.sp.child]\n{event}\nuser = \"{UID}:{UID}\"\n"
    );
    let under = [PYTHON, "-c", ON_A_TERMINAL, secret.to_str().unwrap()];
    let agent = setup(&scratch, &template).under(&under).start();
    for name in ["roots", "users", "setuid", "child"] {
        until(name, PATIENCE, || (agent.tracer(name)["stored"].as_u64()? >= 1).then_some(()));
    }
    let agent = agent.finish();
    for name in ["roots", "users", "setuid", "child"] {
        let extended = agent.store().query(name, &[])[0]["extended"].clone();
        let found = if name == "child" { &extended["found"] } else { &extended };
        assert_eq!(found["/dev/tty"], "No such device or address", "{name}: {found}");
        assert_ne!(found["stdin"], "pushed a character", "{name}: {found}");
        assert_eq!((&found["session"], &found["descriptors"]), (&json!(true), &json!([])), "{name}: {found}");
        let no_new_privs = if name == "setuid" { "0" } else { "1" };
        assert_eq!(found["no_new_privs"], no_new_privs, "{name}: {found}");
        if name != "roots" {
            assert_eq!(found["names"], json!(["/", null, null]), "{name}: {found}");
            let ids = json!([[UID, UID, UID], [UID, UID, UID], [UID]]);
            assert_eq!(found["ids"], ids, "{name}: {found}");
        }
    }
}

fn a_program_that_cannot_be_started_says_why() {
    let scratch = Scratch::new();
    let private = scratch.folder("private");
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let script = |name: &str, mode: u32, text: &str| {
        let file = scratch.file(name, text);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    };
    let owned = script("owned", 0o700, "#!/bin/sh\n");
    let garbage = script("garbage", 0o755, "\u{1}\u{2}\n");
    let comm = |program: &Path| format!("comm = [{:?}]\nuser = \"{UID}:{UID}\"\n", program.to_str().unwrap());
    let cwd = format!("cwd = {:?}\n", private.to_str().unwrap());
    let table = [
        ("missing", comm(Path::new("no-such-program")), "program \"no-such-program\" not found"),
        ("owned", comm(&owned), "can't be run (Permission denied (os error 13))"),
        ("garbage", comm(&garbage), "can't be run (Exec format error (os error 8))"),
        ("folder", comm(Path::new("true")) + &cwd, "can't be entered (Permission denied (os error 13))"),
    ];
    let mut templates = String::new();
    for (name, template, _) in &table {
        for kind in ["sh", "sp"] {
            templates += &format!("[tracer.template.{kind}.{name}_{kind}]\n{template}");
        }
    }
    let agent = setup(&scratch, &templates).set("tracer.template.sh.right.comm", "[\"true\"]").start();
    for (name, _, cause) in table {
        for kind in ["sh", "sp"] {
            let tracer = until(name, PATIENCE, || {
                let tracer = agent.tracer(&format!("{name}_{kind}"));
                tracer["cause"].is_string().then_some(tracer)
            });
            let cause_shown = tracer["cause"].as_str().unwrap();
            assert!(cause_shown.contains(cause) && tracer["records"] == false, "{tracer}");
        }
    }
    agent.finish();
}

/// Waits for a launcher of the agent, and stops it before it has become a program. Returns its process id.
fn stop_a_launcher(agent: &Agent) -> i32 {
    until("a launcher is stopped", PATIENCE, || {
        let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
        let children =
            tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<i32> =
            children.flat_map(|pids| pids.split(' ').flat_map(str::parse).collect::<Vec<_>>()).collect();
        children.into_iter().find(|pid| {
            let is_launcher = || {
                let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                words.windows(14).any(|word| word == b"launch-program")
            };
            let stopped =
                is_launcher() && kill(Pid::from_raw(*pid), Signal::SIGSTOP).is_ok() && is_launcher();
            if !stopped {
                // It has become the program, which goes on.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGCONT);
            }
            stopped
        })
    })
}

fn gone(pid: i32) {
    until("the launcher's end", PATIENCE, || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(()));
}

fn a_launcher_that_is_stopped_holds_nothing_up() {
    const LIMIT: &str = "the launcher did not execute it within 10 s";
    let scratch = Scratch::new();
    let names = ["first", "second"];
    let templates = names.map(|name| {
        format!(
            "[tracer.template.sh.{name}]\ncomm = [\"true\"]\nuser = \"{UID}:{UID}\"\ninterval = \"10ms\"\n"
        )
    });
    let mut agent = setup(&scratch, &templates.concat()).start();
    let runs = |agent: &Agent| names.map(|name| agent.tracer(name)["detail"]["runs"].as_u64().unwrap());
    let launcher = stop_a_launcher(&agent);
    let before = runs(&agent);
    until("the agent says so", PATIENCE, || agent.stderr().contains(LIMIT).then_some(()));
    let after = runs(&agent);
    assert!(
        (0..2).any(|one| after[one] > before[one] + 10),
        "the other template stood still: {before:?} {after:?}"
    );
    gone(launcher);
    let goes_on = |agent: &Agent| (0..2).all(|one| runs(agent)[one] > after[one] + 10);
    until("both templates go on", PATIENCE, || goes_on(&agent).then_some(()));
    // The end does not wait for a launcher that will not answer.
    let launcher = stop_a_launcher(&agent);
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    gone(launcher);
    agent.store().assert_conserved();
}

/// Makes stderr a pipe that stays open and is never read, then becomes the agent.
const UNREAD: &str = "
import os, sys
reader, writer = os.pipe()
os.set_inheritable(reader, True)
os.dup2(writer, 2)
os.execv(sys.argv[1], sys.argv[1:])
";

/// The user of a template chooses how much is logged.
fn a_log_that_nobody_reads_holds_nothing_up() {
    let scratch = Scratch::new();
    let loud = "import sys\nwhile True: sys.stderr.write('x' * 4000 + '\\n')";
    let templates = format!(
        "[tracer.template.sp.loud]\ncomm = [{PYTHON:?}, \"-c\", {loud:?}]\nuser = \"{UID}:{UID}\"\nkill_timeout = \"100ms\"\n\
         [tracer.template.sh.quick]\ncomm = [\"true\"]\ninterval = \"10ms\"\n"
    );
    let agent = setup(&scratch, &templates).under(&[PYTHON, "-c", UNREAD]).start();
    // More than a pipe holds.
    until("the log is full", PATIENCE, || {
        let stderr = &agent.tracer("loud")["detail"]["stderr"];
        (stderr["lines"].as_u64()? - stderr["suppressed"].as_u64()? > 40).then_some(())
    });
    let runs = |agent: &Agent| agent.tracer("quick")["detail"]["runs"].as_u64().unwrap();
    let before = runs(&agent);
    until("the other template goes on", PATIENCE, || (runs(&agent) > before + 10).then_some(()));
    agent.finish();
}

/// Even if they do not read their stdin.
fn programs_end_with_an_agent_that_is_killed() {
    let scratch = Scratch::new();
    let pids = ["command", "child"].map(|name| scratch.path().join(name));
    let comm = |file: &Path| {
        format!(
            "comm = [\"sh\", \"-c\", \"echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000\"]",
            file.display()
        )
    };
    let template = format!(
        "[tracer.template.sh.command]\n{}\ntimeout = \"1h\"\n[tracer.template.sp.child]\n{}\n",
        comm(&pids[0]),
        comm(&pids[1])
    );
    let mut agent = setup(&scratch, &template).start();
    let pids = pids.map(|file| {
        until("the program runs", PATIENCE, || Some(fs::read_to_string(&file).ok()?.trim().to_owned()))
    });
    agent.stop(Signal::SIGKILL);
    for pid in pids {
        until("the program's end", PATIENCE, || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // What adopts it may reap it late.
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
    agent.unpin();
}
