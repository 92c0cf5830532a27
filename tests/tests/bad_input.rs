//! Feeds the agent bad input: every error is reported clearly or counted; nothing crashes, hangs or grows without
//! bound.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use tests::workload::{PYTHON, generate, succeed};
use tests::{Scratch, Setup, Store, binary, suite, until};

const SOON: Duration = Duration::from_secs(30);

suite! {
    threads: 2;
    a_bad_configuration_is_refused_with_every_error: [];
    a_bad_file_is_reported_with_its_line: [];
    an_unwritable_work_folder: [Root, Setpriv];
    a_second_agent_on_the_same_folder: [Root];
    a_full_disk_stops_the_sink_and_is_counted: [Kernel, Mounts];
    a_child_that_prints_rubbish: [Root, Python];
    a_child_that_says_nothing_holds_up_nobody: [Root]
}

/// Runs `start`, which must be refused as a usage error before anything is traced; gives what it said.
fn refused(arguments: &[&str]) -> String {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path().join("work"));
    let output = store.run(&[&["start", "--duration", "1ms"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    assert!(!store.database().exists(), "{arguments:?} was refused, yet there is a store");
    errors
}

fn a_bad_configuration_is_refused_with_every_error() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&["tracer.open.disabledd=true"], &["tracer.open.disabledd", "did you mean `disabled`"]),
        (&["tracer.opne.disabled=true"], &["tracer.opne", "did you mean `open`"]),
        (&["ebpf.queue='many'"], &["ebpf.queue", "--set ebpf.queue='many'"]),
        (&["filter.pattern.re_exclude_fname=['(']"], &["filter.pattern.re_exclude_fname", "("]),
        (&["nonsense"], &["--set nonsense", "section.key=value"]),
        // All at once, not one after the other.
        (
            &["ebpf.queue=0", "tracer.open.disabled=7", "shel.timeout='1s'"],
            &["ebpf.queue", "tracer.open.disabled", "did you mean `shell`"],
        ),
    ];
    for (settings, expected) in cases {
        let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let output_text = refused(&arguments);
        for words in expected {
            assert!(output_text.contains(words), "{settings:?} is told without {words:?}:\n{output_text}");
        }
        assert!(!output_text.contains("panicked"), "{output_text}");
    }
}

fn a_bad_file_is_reported_with_its_line() {
    let scratch = Scratch::new();
    let file = |text: &str| scratch.file("config.toml", text).to_str().unwrap().to_owned();
    let output_text = refused(&["--config", &file("[tracer.open]\n\ndisabled = \"maybe\"\n")]);
    assert!(output_text.contains("config.toml:3"), "{output_text}");
    let output_text = refused(&["--config", &file("[tracer.open]\ndisabled =\n")]);
    assert!(output_text.contains("config.toml:2"), "{output_text}");
    let output_text = refused(&["--config", "/nonexistent/config.toml"]);
    assert!(
        output_text.contains("/nonexistent/config.toml") && output_text.contains("No such file"),
        "{output_text}"
    );
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn an_unwritable_work_folder() {
    let scratch = Scratch::new();
    let agent = binary::public_agent(&scratch);
    let root_only = PathBuf::from("/var/lib/duetector-no-such-folder");
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(agent);
    let output = command.args(["start", "--workdir"]).arg(&root_only).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", output_text(&output));
    assert!(output_text(&output).contains(root_only.to_str().unwrap()), "{}", output_text(&output));
    assert!(output_text(&output).contains("ermission denied"), "{}", output_text(&output));
}

fn a_second_agent_on_the_same_folder() {
    let agent = Setup::new().set("ebpf.disabled", "true").start();
    let second = agent.store().run(&["start"]);
    assert_eq!(second.status.code(), Some(1), "{}", output_text(&second));
    assert!(output_text(&second).contains(&format!("pid {}", agent.pid())), "{}", output_text(&second));
    assert!(agent.store().run(&["status"]).status.success(), "the first one suffered");
    agent.finish();
}

/// A small file system; unmounted when dropped.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(target: PathBuf, size: &str) -> Self {
        let options = format!("size={size},mode=700");
        succeed(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(&target));
        Self(target)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: whatever still has a file open there must not keep the mount for ever.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn a_full_disk_stops_the_sink_and_is_counted() {
    let scratch = Scratch::new();
    let small = Tmpfs::mount(scratch.folder("small"), "3m");
    let mut agent = Setup::new().set("ebpf.uids", "[9916]").workdir(&small.0).start();
    let file = scratch.file("file", "");
    generate(9916, &["paced", file.to_str().unwrap(), "--rate", "20000", "--seconds", "3"]);
    let account = until("the loss is counted", SOON, || {
        let open = agent.tracer("open");
        // The kernel's count is taken over now and then: it has to have arrived, too.
        (open["seen"] == 60_000 && open["in_flight"] == 0).then_some(open)
    });
    let count = |key: &str| account[key].as_u64().unwrap();
    let lost: u64 = account["lost"].as_object().unwrap().values().filter_map(|lost| lost.as_u64()).sum();
    assert!(account["lost"]["sink"].as_u64() > Some(0), "the disk was large enough: {account}");
    assert_eq!(count("stored") + count("filtered") + lost, 60_000, "{account}");
    let said = agent.status().to_string() + &agent.stderr();
    assert!(said.contains("full"), "nobody says that the disk is full:\n{said}");
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.code().is_some(), "it crashed: {}\n{}", ended.status, ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    let database = rusqlite::Connection::open(agent.store().database()).unwrap();
    let verdict: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// 23 good events among everything a child should not print.
const RUBBISH: &str = r#"
import os, sys
def say(line): os.write(1, line)
good = b'{"proto":"duetector","version":"0.1.0","type":"event","payload":{"fname":"/good","a-b":1,"class":2}}\n'
bad = [
    b'rubbish\n', b'7\n', b'[]\n', b'null\n', b'"text"\n', b'{}\n', b'\n', b'{"type":"nonesuch"}\n',
    b'{"type":"event","payload":null}\n', b'{"type":"event","payload":[1]}\n', b'{"type":7}\n', b'{"type":"event"\n',
    b'\xff\xfe{"type":"event","payload":{}}\n', b'{"type":"event","payload":{"x":"\xff"}}\n', b'\0\0\0\n',
    b'{"type":\n', b'\r\n',
    b'x' * 10_000_000 + b'\n', b'{"type":"event","payload":{"x":"' + b'y' * 10_000_000 + b'"}}\n',
    b'[' * 100_000 + b'\n',
]
for index in range(23):
    say(bad[index % len(bad)]); say(good)
say(b'{"type":"event","payload":{"fname":"/half')
for line in sys.stdin:
    if '"stop"' in line: break
"#;

fn a_child_that_prints_rubbish() {
    let scratch = Scratch::new();
    let script = scratch.file("rubbish.py", RUBBISH);
    let agent = Setup::new()
        .set("ebpf.disabled", "true")
        .set("tracer.template.sp.rubbish.comm", &format!("['{PYTHON}', '{}']", script.display()))
        .set("tracer.template.sp.rubbish.line_limit", "'1MiB'")
        .start();
    until("the good events are stored", SOON, || {
        (agent.tracer("rubbish")["stored"].as_u64() >= Some(23)).then_some(())
    });
    let output_text = agent.tracer("rubbish");
    assert_eq!(
        (&output_text["phase"], &output_text["restarts"]),
        (&"attached".into(), &0.into()),
        "{output_text}"
    );
    assert!(agent.peak_mib() < 128, "{} MiB resident at the peak", agent.peak_mib());
    let agent = agent.finish();
    assert_eq!(agent.store().query("rubbish", &["fname=/good"]).len(), 23);
    assert_eq!(
        agent.store().query("rubbish", &["fname=/half"]).len(),
        0,
        "half a line was taken for an event"
    );
    let rows = agent.store().query("rubbish", &[]);
    assert!(
        rows.iter().filter(|row| row["fname"] == "/good").all(|row| row["extended"]["a-b"] == 1),
        "{rows:?}"
    );
}

fn a_child_that_says_nothing_holds_up_nobody() {
    let mute = r#"["sleep", "3600"]"#;
    let deaf = r#"["sh", "-c", "exec <&-; while :; do echo '{\"type\":\"event\",\"payload\":{}}'; sleep 0.05; done"]"#;
    let agent = Setup::new()
        .set("ebpf.disabled", "true")
        .set("tracer.template.sp.amute.comm", mute)
        .set("tracer.template.sp.amute.kill_timeout", "'200ms'")
        .set("tracer.template.sp.deaf.comm", deaf)
        .set("tracer.template.sp.deaf.kill_timeout", "'200ms'")
        .start();
    until("the other child's events are stored", SOON, || {
        (agent.tracer("deaf")["stored"].as_u64() >= Some(3)).then_some(())
    });
    assert_eq!(agent.tracer("uname")["phase"], "attached");
    let agent = agent.finish();
    assert!(Path::new(&agent.store().database()).exists());
}
