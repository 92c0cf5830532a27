//! Runs the agent with few privileges: it says what each tracer lacks and how to grant it, and runs the rest.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::catalog::kernel_tracers;
use tests::workload::generate;
use tests::{Scratch, Setup, binary, suite};

/// nobody, on every system.
const NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

suite! {
    threads: 2;
    an_ordinary_user_learns_what_is_missing: [Root, Setpriv];
    shell_and_subprocess_tracers_need_no_privileges: [Root, Setpriv];
    exit_code_3_when_nothing_can_run: [Root, Setpriv];
    three_capabilities_are_enough: [Kernel, Setpriv, Mounts]
}

fn as_nobody(scratch: &Scratch, arguments: &[&str]) -> Output {
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).arg(binary::public_agent(scratch)).args(arguments);
    command.arg("--workdir").arg(scratch.path().join("nobodys-work")).output().unwrap()
}

fn an_ordinary_user_learns_what_is_missing() {
    let scratch = Scratch::new();
    let output = as_nobody(&scratch, &["check", "--format", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("check printed no JSON");
    let text = answer.to_string();
    for tracer in kernel_tracers() {
        assert!(text.contains(&format!("\"{tracer}\"")), "check does not speak of {tracer}: {text}");
    }
    let table = String::from_utf8(as_nobody(&scratch, &["check"]).stdout).unwrap();
    for word in ["CAP_BPF", "CAP_PERFMON", "setcap", "as root"] {
        assert!(table.contains(word), "check does not say {word}:\n{table}");
    }
}

fn shell_and_subprocess_tracers_need_no_privileges() {
    let scratch = Scratch::new();
    let child = r#"["sh", "-c", 'echo "{\"type\":\"event\",\"payload\":{\"fname\":\"/from/child\"}}"; cat > /dev/null']"#;
    let mut agent = Setup::new()
        .under(&NOBODY)
        .binary(binary::public_agent(&scratch))
        .set("tracer.template.sp.child.comm", child)
        .workdir(scratch.path().join("work"))
        .start();
    for tracer in kernel_tracers() {
        let status = agent.tracer(&tracer);
        assert_eq!(status["phase"], "degraded", "{status}");
        assert!(status["cause"].as_str().unwrap().contains("CAP_"), "{status}");
    }
    let log = agent.log_of_the_start();
    assert!(log.contains("CAP_BPF"), "start does not say what is missing:\n{log}");
    assert!(log.lines().count() <= 10, "the start takes more than ten lines:\n{log}");
    let store = agent.store().clone();
    tests::until("rows of both", std::time::Duration::from_secs(20), || {
        let rows = |tracer| agent.tracer(tracer)["stored"].as_u64();
        (rows("uname") == Some(1) && rows("child") == Some(1)).then_some(())
    });
    let ended = agent.stop(Signal::SIGTERM);
    assert!(ended.status.success(), "ended with {}:\n{}", ended.status, ended.stderr);
    store.assert_conserved_to_the_row();
    assert_eq!(store.query("child", &["fname=/from/child"]).len(), 1);
}

fn exit_code_3_when_nothing_can_run() {
    let scratch = Scratch::new();
    let output = as_nobody(&scratch, &["start", "--set", "tracer.uname.disabled=true"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{errors}");
    for tracer in kernel_tracers() {
        assert!(errors.contains(&tracer), "nothing about {tracer}:\n{errors}");
    }
    assert!(errors.contains("CAP_BPF"), "{errors}");
}

fn three_capabilities_are_enough() {
    // Only root can mount it, and this agent will not be; where it is mounted already, this fails and does no harm.
    let _ = Command::new("mount").args(["-t", "tracefs", "none", "/sys/kernel/tracing"]).output();
    let scratch = Scratch::new();
    let capabilities = "+bpf,+perfmon,+dac_read_search";
    let launcher = [&NOBODY[..], &["--inh-caps", capabilities, "--ambient-caps", capabilities]].concat();
    let agent = Setup::new()
        .under(&launcher)
        .binary(binary::public_agent(&scratch))
        .workdir(scratch.path().join("work"))
        .start();
    for tracer in kernel_tracers() {
        let status = agent.tracer(&tracer);
        assert_eq!(status["phase"], "attached", "{status}");
    }
    let file = scratch.file("file", "");
    generate(9917, &["open", file.to_str().unwrap(), "--count", "23"]);
    let agent = agent.finish();
    let rows = agent.store().query("open", &["uid=9917", &format!("fname={}", file.display())]);
    assert_eq!(rows.len(), 23);
}
