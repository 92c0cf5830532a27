//! Makes one actor crash, hang or panic: it is restarted or given up, the others never stop, and `status` shows the
//! first cause.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::time::Duration;

use serde_json::Value;
use tests::workload::generate;
use tests::{Agent, Setup, suite, until};

const SOON: Duration = Duration::from_secs(20);

suite! {
    threads: 2;
    a_subprocess_that_dies_is_given_up_after_its_limit: [Kernel];
    a_shell_command_that_hangs_is_killed_with_its_group: [Kernel];
    a_panicking_tracer_comes_back: [Kernel];
    a_panicking_sink_comes_back: [Kernel];
    a_program_the_verifier_refuses_costs_only_its_tracer: [Kernel]
}

/// The tracers other than `fallen` are attached, and open records what happens now.
fn assert_others_work(agent: &Agent, fallen: &str) {
    let status = agent.status();
    for tracer in status["tracers"].as_array().unwrap().iter().filter(|tracer| tracer["tracer"] != fallen) {
        assert_eq!(tracer["phase"], "attached", "{tracer}");
        assert_eq!(tracer["restarts"], 0, "{tracer}");
    }
}

fn open_23(agent: &Agent, uid: u32) {
    let file = agent.scratch().file(&format!("opened-by-{uid}"), "");
    generate(uid, &["open", file.to_str().unwrap(), "--count", "23"]);
}

fn assert_23_stored(agent: &Agent, uid: u32) {
    let file = agent.scratch().path().join(format!("opened-by-{uid}"));
    let rows = agent.store().query("open", &[&format!("uid={uid}"), &format!("fname={}", file.display())]);
    assert_eq!(rows.len(), 23);
}

fn a_subprocess_that_dies_is_given_up_after_its_limit() {
    let agent = Setup::new()
        .set("tracer.template.sp.dying.comm", r#"["sh", "-c", "exit 3"]"#)
        .set("tracer.template.sp.dying.restart_times", "2")
        .start();
    let status = until("the dying child is given up", SOON, || {
        let tracer = agent.tracer("dying");
        (tracer["phase"] == "degraded").then_some(tracer)
    });
    assert_eq!(status["restarts"], 2, "{status}");
    assert!(
        status["cause"].as_str().unwrap().contains('3'),
        "the first cause does not tell the exit code: {status}"
    );
    assert_others_work(&agent, "dying");
    assert!(agent.store().run(&["status"]).status.success(), "a tracer reported as degraded is no failure");
    open_23(&agent, 9984);
    let agent = agent.finish();
    assert_23_stored(&agent, 9984);
}

fn a_shell_command_that_hangs_is_killed_with_its_group() {
    // No other process has this argument, so that the group's survivors can be told.
    let mark = format!("31536{}", std::process::id());
    let agent = Setup::new()
        .set("tracer.template.sh.hanging.comm", &format!(r#"["sh", "-c", "sleep {mark} & sleep {mark}"]"#))
        .set("tracer.template.sh.hanging.timeout", r#""300ms""#)
        .set("tracer.template.sh.hanging.interval", r#""600s""#)
        .start();
    until("the timeout is told", SOON, || {
        let tracer = agent.tracer("hanging");
        (tracer["detail"]["timed_out"].as_u64() >= Some(1)).then_some(())
    });
    until("the whole group is gone", SOON, || processes_with(&mark).is_empty().then_some(()));
    assert_others_work(&agent, "hanging");
    agent.finish();
}

/// Processes that have this argument.
fn processes_with(argument: &str) -> Vec<String> {
    let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    });
    // `sh -c` holds it inside a longer argument.
    lines
        .filter(|line| line.starts_with("sleep\0") && line.split('\0').any(|word| word == argument))
        .collect()
}

/// Makes the actor panic, and returns its state once it runs again.
fn panic_and_return(agent: &Agent, actor: &str) -> Value {
    let injected = agent.store().run(&["inject-panic", actor]);
    assert!(injected.status.success(), "{}", String::from_utf8_lossy(&injected.stderr));
    until("the actor is back", SOON, || {
        let story = agent.actor(actor);
        (story["exits"]["panicked"] == 1 && story["phase"] == "running").then_some(story)
    })
}

fn a_panicking_tracer_comes_back() {
    let agent = Setup::new().start();
    open_23(&agent, 9983);
    let story = panic_and_return(&agent, "open");
    assert_eq!(story["restarts"], 1, "{story}");
    assert!(story["first_cause"].as_str().unwrap().contains("panic"), "{story}");
    assert_others_work(&agent, "open");
    open_23(&agent, 9919);
    // A panic may cost the batch in hand, which the books then show; what comes after is whole.
    let agent = agent.finish();
    assert_23_stored(&agent, 9919);
}

fn a_panicking_sink_comes_back() {
    let agent = Setup::new().start();
    open_23(&agent, 9918);
    let story = panic_and_return(&agent, "sink:store");
    assert!(story["first_cause"].as_str().unwrap().contains("panic"), "{story}");
    assert_others_work(&agent, "");
    open_23(&agent, 9980);
    let agent = agent.finish();
    assert_23_stored(&agent, 9980);
}

fn a_program_the_verifier_refuses_costs_only_its_tracer() {
    let agent = with_refused("mount");
    assert_others_work(&agent, "mount");
    open_23(&agent, 9921);
    let agent = agent.finish();
    assert_23_stored(&agent, 9921);
    // Of this one a program is refused that is not its alone: what comes through io_uring. The others do without it,
    // and say so.
    let agent = with_refused("mkdir");
    let status = agent.status();
    let others = status["tracers"].as_array().unwrap().iter().filter(|tracer| tracer["tracer"] != "mkdir");
    for tracer in others {
        assert_eq!((&tracer["records"], &tracer["restarts"]), (&true.into(), &0.into()), "{tracer}");
        let lacks = tracer["cause"].as_str().unwrap_or("without what is done through io_uring");
        assert!(lacks.starts_with("without what is done through io_uring"), "{tracer}");
        assert_eq!(lacks.matches("without").count(), 1, "{tracer}");
    }
    assert_eq!(agent.tracer("exec")["phase"], "attached");
    open_23(&agent, 9920);
    let agent = agent.finish();
    assert_23_stored(&agent, 9920);
}

/// An agent of which the verifier refuses that tracer's programs.
fn with_refused(tracer: &str) -> Agent {
    let agent = Setup::new().variable("DUETECTOR_FAULT_REFUSED", tracer).start();
    let status = agent.tracer(tracer);
    assert_eq!((&status["phase"], &status["records"]), (&"degraded".into(), &false.into()), "{status}");
    let cause = status["cause"].as_str().unwrap();
    assert!(cause.contains("refused by the kernel's verifier"), "{cause}");
    assert!(cause.contains("invalid"), "not in the verifier's words: {cause}");
    agent
}
