//! All built-in tracers at once, with defaults: each is attached, `check` says so beforehand, each sees something,
//! and the books balance. What a kernel must be able to do, in one test; runs in virtual machines, too.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use tests::workload::generate;
use tests::{Setup, Store, suite};

const UID: u32 = 9975;

suite! {
    threads: 1;
    every_built_in_tracer_attaches_and_records: [Kernel]
}

fn every_built_in_tracer_attaches_and_records() {
    let agent = Setup::new().start();
    let check = Store::at(agent.scratch().folder("unused")).json(&["check", "--format", "json"]);
    assert!(check.as_array().unwrap().iter().all(|finding| finding["ok"] == true), "{check:#}");
    let status = agent.status();
    let tracers = status["tracers"].as_array().unwrap();
    let attached = |name: &str| tracers.iter().any(|one| one["tracer"] == name && one["phase"] == "attached");
    for tracer in tests::catalog::built_in() {
        assert!(attached(&tracer), "{tracer} is not attached: {status:#}");
    }
    assert!(tracers.iter().all(|tracer| tracer["phase"] == "attached"), "{status:#}");

    let file = agent.scratch().file("opened", "");
    generate(UID, &["open", file.to_str().unwrap(), "--count", "23"]);
    generate(UID, &["spawn", "/bin/true", "--count", "23"]);
    generate(UID, &["connect", "--address", "127.0.0.1", "--count", "23"]);
    let agent = agent.finish();

    let count = |tracer: &str, condition: &str| {
        agent.store().query(tracer, &[&format!("uid={UID}"), condition]).len()
    };
    assert_eq!(count("open", &format!("fname={}", file.display())), 23);
    assert_eq!(count("exec", "comm=true"), 23);
    assert_eq!(count("exit", "comm=true"), 23);
    assert_eq!(count("clone", "comm=generator"), 23);
    assert_eq!(count("connect", "comm=generator"), 23);
    assert_eq!(agent.store().query("uname", &[]).len(), 1);
}
