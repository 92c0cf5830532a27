//! Checks the kinds of hooks: the store lists what it cannot have, and a missing hook affects only what needs it.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::workload::generate;
use tests::{Agent, Scratch, Setup, binary, suite, until};

/// Hooks that the kernel is to lack, in an agent that was built for tests.
const FAULT: &str = "DUETECTOR_FAULT_HOOKS";
const SOON: Duration = Duration::from_secs(20);
const IO_URING: &str = "io_uring_submit_req,io_uring_submit_sqe,io_uring_complete";

suite! {
    threads: 2;
    the_store_says_what_it_cannot_have: [Kernel];
    filters_keep_the_manifest: [Kernel];
    a_tracepoint_that_is_missing_costs_only_its_tracer: [Kernel];
    without_io_uring_s_tracepoints_calls_are_seen: [Kernel];
    without_sys_exit_processes_are_seen: [Kernel];
    what_one_tier_lacks_the_next_has: [Kernel];
    auto_says_why_it_takes_no_functions: [Kernel];
    without_moves_between_cgroups_the_host_is_degraded: [Kernel];
    a_function_that_is_missing_costs_only_its_calls: [Kernel];
    another_tier_needs_a_restart_and_is_shown_everywhere: [Kernel];
    pins_of_another_tier_are_not_gone_on_with: [Kernel]
}

fn check(missing: &str, options: &[&str]) -> (Option<i32>, Value) {
    let scratch = Scratch::new();
    let mut command = Command::new(binary::agent());
    command.args(["check", "--format", "json"]).args(options).env(FAULT, missing);
    let Output { status, stdout, stderr } =
        command.arg("--workdir").arg(scratch.folder("unused")).output().unwrap();
    let manifest_of = serde_json::from_slice(&stdout);
    (status.code(), manifest_of.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr))))
}

fn finding<'a>(findings: &'a Value, tracer: &str) -> &'a Value {
    let found = findings.as_array().unwrap().iter().find(|one| one["tracer"] == tracer);
    found.unwrap_or_else(|| panic!("no {tracer} in {findings:#}"))
}

fn lacking(hooks: &str) -> Agent {
    Setup::new().variable(FAULT, hooks).start()
}

fn open_23(agent: &Agent, uid: u32) -> String {
    let file = agent.scratch().file(&uid.to_string(), "").display().to_string();
    generate(uid, &["open", &file, "--count", "23"]);
    file
}

fn assert_23_opens(agent: &Agent, uid: u32) {
    let file = agent.scratch().path().join(uid.to_string());
    let rows = agent.store().query("open", &[&format!("uid={uid}"), &format!("fname={}", file.display())]);
    assert_eq!(rows.len(), 23);
}

fn opens_of(agent: &Agent, file: &str) -> usize {
    // The test itself, which is root, made it.
    agent.store().query("open", &[&format!("fname={file}"), "uid != 0"]).len()
}

/// Returns the rows of `manifest`.
fn manifest(agent: &Agent) -> Vec<Value> {
    let rows = agent.store().query("manifest", &[]);
    let names: BTreeSet<&str> = rows.iter().map(|row| row["extended"]["tracer"].as_str().unwrap()).collect();
    assert_eq!(names.len(), rows.len(), "a tracer has two rows in one run: {names:?}");
    rows.into_iter().map(|row| row["extended"].clone()).collect()
}

fn manifest_of<'a>(manifest: &'a [Value], tracer: &str) -> &'a Value {
    manifest
        .iter()
        .find(|row| row["tracer"] == tracer)
        .unwrap_or_else(|| panic!("no {tracer} in {manifest:?}"))
}

fn the_store_says_what_it_cannot_have() {
    let agent = Setup::new().set("tracer.dns.disabled", "true").start();
    let (code, findings) = check("", &[]);
    assert_eq!(code, Some(0), "{findings:#}");
    let agent = agent.finish();
    let rows = manifest(&agent);
    let names: BTreeSet<String> = rows.iter().map(|row| row["tracer"].as_str().unwrap().to_owned()).collect();
    let mut enabled: BTreeSet<String> = tests::catalog::built_in().into_iter().collect();
    enabled.retain(|name| !["dns", "uname"].contains(&name.as_str()));
    assert_eq!(names, enabled);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    for row in &rows {
        assert_eq!(row["state"], "attached", "{row:#}");
        assert_eq!(row["degraded"], Value::Array(Vec::new()), "{row:#}");
        assert_eq!(row["kernel"], kernel.trim());
        assert!(!row["hooks"].as_array().unwrap().is_empty(), "{row:#}");
        let found = finding(&findings, row["tracer"].as_str().unwrap());
        assert_eq!(row["unseen"], found["unseen"], "the store and `check` differ");
        assert_eq!(
            row["tier"],
            ["", "function", "tracepoint", "kprobe"][found["tier"].as_u64().unwrap() as usize]
        );
    }
    assert!(manifest_of(&rows, "usage")["unseen"].to_string().contains("libaio"));
    let account = agent.store().account("manifest");
    assert_eq!((account.seen, account.stored, account.filtered), (rows.len() as u64, rows.len() as u64, 0));
}

fn filters_keep_the_manifest() {
    let agent = Setup::new().set("filter.users.keep", "\"uid > 0\"").start().finish();
    assert!(manifest(&agent).len() > 20);
    let named = Setup::new().set("filter.none.drop", "\"tracer == 'manifest'\"");
    let named = named.set("filter.none.tracers", "[\"manifest\"]").start().finish();
    assert!(manifest(&named).is_empty());
    let account = named.store().account("manifest");
    assert_eq!((account.seen, account.stored), (account.filtered, 0));
}

fn a_tracepoint_that_is_missing_costs_only_its_tracer() {
    const HOOK: &str = "task_newtask";
    let agent = lacking(HOOK);
    let clone = agent.tracer("clone");
    assert_eq!((&clone["phase"], &clone["records"]), (&"degraded".into(), &false.into()), "{clone:#}");
    assert!(clone["cause"].as_str().unwrap().contains(HOOK), "{clone:#}");
    let others = agent.status()["tracers"].as_array().unwrap().clone();
    let troubled: Vec<_> = others.iter().filter(|one| one["phase"] != "attached").collect();
    assert_eq!(troubled.len(), 1, "{troubled:#?}");
    open_23(&agent, 9861);
    let agent = agent.finish();
    assert_23_opens(&agent, 9861);
    let rows = manifest(&agent);
    let row = manifest_of(&rows, "clone");
    assert_eq!((&row["state"], &row["tier"]), (&"degraded".into(), &Value::Null), "{row:#}");
    assert!(row["degraded"][0].as_str().unwrap().contains(HOOK), "{row:#}");
    assert_eq!(manifest_of(&rows, "open")["state"], "attached");
    let (code, findings) = check(HOOK, &[]);
    assert_eq!((code, &finding(&findings, "clone")["ok"]), (Some(1), &false.into()), "{findings:#}");
    // Processes that are not told still begin: who keeps the table of them says so.
    assert!(finding(&findings, "ebpf")["missing"].to_string().contains(HOOK), "{findings:#}");
}

fn without_io_uring_s_tracepoints_calls_are_seen() {
    let agent = lacking(IO_URING);
    let open = agent.tracer("open");
    assert_eq!((&open["phase"], &open["records"]), (&"degraded".into(), &true.into()), "{open:#}");
    let cause = open["cause"].as_str().unwrap();
    assert!(
        cause.contains("without what is done through io_uring") && cause.contains("io_uring_complete"),
        "{cause}"
    );
    assert_eq!(agent.tracer("exec")["phase"], "attached");
    let text = agent.store().run(&["status"]);
    assert!(text.status.success(), "what is told is no failure");
    let text = String::from_utf8(text.stdout).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with("open ")).unwrap();
    assert!(line.contains("degraded") && line.contains("without what is done through io_uring"), "{line}");
    open_23(&agent, 9862);
    let agent = agent.finish();
    assert_23_opens(&agent, 9862);
    let rows = manifest(&agent);
    let row = manifest_of(&rows, "open");
    assert_eq!(row["state"], "degraded", "{row:#}");
    assert!(row["tier"].is_string() && row["degraded"].to_string().contains("io_uring"), "{row:#}");
    let (code, findings) = check(IO_URING, &[]);
    let found = finding(&findings, "open");
    assert_eq!((code, &found["ok"]), (Some(1), &true.into()), "{findings:#}");
    assert!(found["missing"].to_string().contains("io_uring"), "{findings:#}");
}

fn without_sys_exit_processes_are_seen() {
    let agent = lacking("sys_exit");
    for tracer in ["open", "connect", "usage", "kill"] {
        let manifest_of = agent.tracer(tracer);
        assert_eq!(
            (&manifest_of["phase"], &manifest_of["records"]),
            (&"degraded".into(), &false.into()),
            "{manifest_of:#}"
        );
        assert!(manifest_of["cause"].as_str().unwrap().contains("sys_exit"), "{manifest_of:#}");
    }
    assert_eq!(agent.tracer("exec")["records"], true, "those that succeed");
    for tracer in ["clone", "exit"] {
        assert_eq!(agent.tracer(tracer)["phase"], "attached");
    }
    generate(9863, &["spawn", "/bin/true", "--count", "23"]);
    let agent = agent.finish();
    assert_eq!(agent.store().query("exec", &["uid=9863", "comm=true"]).len(), 23);
    let (code, findings) = check("sys_exit", &[]);
    assert_eq!(code, Some(1));
    // Several programs, of one hook.
    let usage = finding(&findings, "usage")["missing"].as_array().unwrap().clone();
    assert_eq!(usage.iter().map(Value::to_string).collect::<BTreeSet<_>>().len(), usage.len(), "{usage:#?}");
}

fn what_one_tier_lacks_the_next_has() {
    let agent = lacking("function:do_filp_open,tracepoint:sys_exit");
    let status = agent.status();
    let kernel = |one: &&Value| one["kind"] == "ebpf";
    for tracer in status["tracers"].as_array().unwrap().iter().filter(kernel) {
        assert_eq!(
            (&tracer["phase"], &tracer["detail"]["tier"]),
            (&"attached".into(), &3.into()),
            "{tracer:#}"
        );
    }
    let text = String::from_utf8(agent.store().run(&["tracers"]).stdout).unwrap();
    let line = text.lines().find(|line| line.trim_start().starts_with("open ")).unwrap();
    assert!(line.contains("kprobe"), "{text}");
    open_23(&agent, 9864);
    let agent = agent.finish();
    assert_23_opens(&agent, 9864);
    assert!(manifest(&agent).iter().all(|row| row["tier"] == "kprobe"));
}

/// Where the kernel has what functions need, a test takes it away.
fn auto_says_why_it_takes_no_functions() {
    let (_, here) = check("", &[]);
    let missing = if finding(&here, "open")["tier"] == 1 { "function:do_filp_open" } else { "" };
    let (code, findings) = check(missing, &[]);
    assert_eq!((code, &finding(&findings, "open")["tier"]), (Some(0), &2.into()), "{findings:#}");
    let advice = finding(&findings, "ebpf")["advice"].to_string();
    assert!(advice.contains("function: ") && advice.contains("nothing"), "{advice}");
    let agent = lacking(missing);
    let state = agent.actor("ebpf")["state"].clone();
    assert!(state["passed_over"].as_str().unwrap().starts_with("function: "), "{state:#}");
    let text = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(text.contains("preferred hooks are not used: function: "), "{text}");
    agent.finish();
    let (_, configured) = check(missing, &["--set", "ebpf.tier='tracepoint'"]);
    let host = configured.as_array().unwrap().iter().find(|one| one["tracer"] == "ebpf");
    assert_eq!(host, None, "{configured:#}");
}

fn without_moves_between_cgroups_the_host_is_degraded() {
    const HOOK: &str = "cgroup_attach_task";
    let agent = lacking(HOOK);
    let text = String::from_utf8(agent.store().run(&["status"]).stdout).unwrap();
    assert!(text.contains("ebpf: degraded, the process table is without moves between cgroups"), "{text}");
    assert!(agent.actor("ebpf")["state"]["without"][0].as_str().unwrap().contains(HOOK));
    open_23(&agent, 9865);
    let agent = agent.finish();
    assert_23_opens(&agent, 9865);
    let (code, findings) = check(HOOK, &[]);
    assert_eq!(code, Some(1), "{findings:#}");
    assert!(finding(&findings, "ebpf")["missing"].to_string().contains(HOOK), "{findings:#}");
}

fn a_function_that_is_missing_costs_only_its_calls() {
    const FUNCTION: &str = "__x64_sys_tkill";
    // Also by the name that the tier had before.
    const BY_OLD_NAME: [&str; 2] = ["--set", "ebpf.tier='trampoline'"];
    let (code, findings) = check(FUNCTION, &BY_OLD_NAME);
    let kill = finding(&findings, "kill");
    let setup = Setup::new().variable(FAULT, FUNCTION).set("ebpf.tier", "'function'");
    let agent = setup.start();
    if kill["ok"] == false {
        // Not here. Then that is what is told, of all that need them, and the others run.
        assert!(kill["missing"].to_string().contains("not permitted"), "{kill:#}");
        assert!(kill["advice"].to_string().contains("ebpf.tier"), "{kill:#}");
        assert_eq!(code, Some(1), "{findings:#}");
        assert_eq!(agent.tracer("kill")["phase"], "degraded");
        assert_eq!(agent.tracer("clone")["phase"], "attached");
        agent.finish();
        return;
    }
    assert_eq!(code, Some(1), "{findings:#}");
    assert!(kill["missing"][0].as_str().unwrap().starts_with(&format!("calls of {FUNCTION}")), "{kill:#}");
    let manifest_of = agent.tracer("kill");
    assert_eq!(
        (&manifest_of["phase"], &manifest_of["records"]),
        (&"degraded".into(), &true.into()),
        "{manifest_of:#}"
    );
    assert_eq!(agent.tracer("rename")["phase"], "attached");
    open_23(&agent, 9866);
    let agent = agent.finish();
    assert_23_opens(&agent, 9866);
}

fn another_tier_needs_a_restart_and_is_shown_everywhere() {
    let scratch = Scratch::new();
    let workdir = scratch.path().join("work");
    let config = scratch.file("agent.toml", "[ebpf]\ntier = \"tracepoint\"\n");
    let options = ["--config", config.to_str().unwrap()];
    let start = || Setup::new().workdir(&workdir).options(&options).start();
    let mut first = start();
    assert_tier(&first, 2, "tracepoint");
    std::fs::write(&config, "[ebpf]\ntier = \"kprobe\"\n").unwrap();
    let reload = first.store().run(&["reload"]);
    let manifest_of = String::from_utf8_lossy(&reload.stderr).into_owned();
    assert!(
        !reload.status.success()
            && manifest_of.contains("ebpf.tier")
            && manifest_of.contains("needs a restart"),
        "{manifest_of}"
    );
    assert_tier(&first, 2, "tracepoint");
    let in_first = open_23(&first, 9871);
    assert!(first.stop(Signal::SIGTERM).status.success());
    let (code, findings) = check("", &options);
    assert_eq!(code, Some(0), "{findings:#}");
    let kernel = findings.as_array().unwrap().iter().filter(|one| one["kind"] == "ebpf");
    kernel.for_each(|one| assert_eq!(one["tier"], 3, "{one:#}"));
    let second = start();
    assert_tier(&second, 3, "kprobe");
    let in_second = open_23(&second, 9872);
    let second = second.finish_run();
    for file in [in_first, in_second] {
        assert_eq!(opens_of(&second, &file), 23);
    }
    // Of each run its own.
    let rows = second.store().query("manifest", &[]);
    for tier in ["tracepoint", "kprobe"] {
        let of_tier = rows.iter().filter(|row| row["extended"]["tier"] == tier).count();
        assert_eq!(of_tier * 2, rows.len(), "{rows:#?}");
    }
}

/// Checks that `status` and `tracers` show that tier for all kernel tracers.
fn assert_tier(agent: &Agent, number: u8, name: &str) {
    let status = agent.status();
    let text = String::from_utf8(agent.store().run(&["tracers"]).stdout).unwrap();
    for tracer in status["tracers"].as_array().unwrap().iter().filter(|one| one["kind"] == "ebpf") {
        if tracer["phase"] == "disabled" {
            continue;
        }
        assert_eq!((&tracer["phase"], &tracer["detail"]["tier"]), (&"attached".into(), &number.into()));
        let starts = format!("{} ", tracer["tracer"].as_str().unwrap());
        let line = text
            .lines()
            .find(|line| line.trim_start().starts_with(&starts))
            .unwrap_or_else(|| panic!("{text}"));
        assert!(line.contains(name), "{text}");
    }
}

fn pins_of_another_tier_are_not_gone_on_with() {
    let scratch = Scratch::new();
    let workdir = scratch.path().join("work");
    let start = |tier: &str| {
        let setup = Setup::new().workdir(&workdir).set("ebpf.pin_keep", "true");
        setup.set("ebpf.tier", &format!("'{tier}'")).start()
    };
    let mut first = start("tracepoint");
    let file = open_23(&first, 9867);
    // What is pinned stays at work, and what is in the rings is for the run that follows: here, none can read them.
    until("the opens are stored", SOON, || (opens_of(&first, &file) == 23).then_some(()));
    assert!(first.stop(Signal::SIGTERM).status.success());
    let mut second = start("kprobe");
    let pin = second.actor("ebpf")["state"]["pin"].clone();
    assert_eq!(pin["adopted"], false, "{pin:#}");
    assert!(pin["refused"].as_str().unwrap().contains("kernel programs"), "{pin:#}");
    let status = second.status();
    let kernel = |one: &&Value| one["kind"] == "ebpf";
    for tracer in status["tracers"].as_array().unwrap().iter().filter(kernel) {
        assert_eq!(
            (&tracer["phase"], &tracer["detail"]["tier"]),
            (&"attached".into(), &3.into()),
            "{tracer:#}"
        );
    }
    let in_second = open_23(&second, 9868);
    assert!(second.stop(Signal::SIGTERM).status.success());
    let mut third = start("kprobe");
    assert_eq!(third.actor("ebpf")["state"]["pin"]["adopted"], true);
    let in_third = open_23(&third, 9869);
    assert!(third.store().run(&["stop", "--unpin"]).status.success());
    assert!(third.wait().status.success());
    third.store().assert_conserved();
    // Each once, and not by the programs of the first run as well.
    for file in [in_second, in_third] {
        assert_eq!(opens_of(&third, &file), 23);
    }
}
