//! Templates of eBPF programs: the shipped examples and every kind of hook record exactly what was triggered, every
//! field right; what a kernel has no hook for is told.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use tests::template::{example, pid_of, rows, signal_itself};
use tests::{Agent, Setup, suite};

/// Number of events triggered and expected.
const COUNT: usize = 23;

suite! {
    threads: 2;
    kill_records_sender_signal_and_target: [Kernel, Python];
    rename_records_both_names_and_the_result: [Kernel, Python];
    tcp_states_records_addresses_ports_and_states: [Kernel, Python];
    lookup_records_or_says_why_it_can_not: [Kernel, Python];
    every_kind_of_hook_or_why_not: [Kernel, Python]
}

/// An agent with that example's TOML and nothing else.
fn with_example(name: &str) -> Agent {
    let agent =
        Setup::new().options(&["--config", example(&format!("{name}.toml")).to_str().unwrap()]).start();
    let tracer = agent.tracer(name);
    assert_eq!((&tracer["kind"], &tracer["phase"]), (&json!("bpf template"), &json!("attached")), "{tracer}");
    agent
}

fn kill_records_sender_signal_and_target() {
    let agent = with_example("signals");
    let pid = signal_itself(9910, COUNT);
    let agent = agent.finish();
    let expected = json!({
        "pid": pid, "tid": pid, "uid": 9910, "gid": 9910, "comm": "python3", "signal": "SIGUSR2",
        "result": "DELIVERED", "code": 0, "target_tid": pid, "target_comm": "python3",
    });
    assert_eq!(rows(agent.store(), "signals", &json!({"uid": 9910})).len(), COUNT);
    let rows = rows(agent.store(), "signals", &expected);
    assert_eq!(rows.len(), COUNT);
    let columns = json!(["tracer", "pid", "uid", "gid", "dt", "comm", "cwd", "fname", "tid", "extended"]);
    assert!(columns.as_array().unwrap().iter().all(|column| rows[0].get(column.as_str().unwrap()).is_some()));
    let extended: BTreeSet<_> = rows[0]["extended"].as_object().unwrap().keys().cloned().collect();
    let named = ["signal", "result", "code", "target_tid", "target_comm"].map(str::to_owned);
    assert!(named.iter().all(|name| extended.contains(name)), "{extended:?}");
    assert!(!extended.contains("pid") && !extended.contains("timestamp"), "{extended:?}");
    // By when it started the process is told apart from all others.
    let exec_id = rows[0]["exec_id"].as_str().unwrap();
    assert!(
        exec_id.strip_prefix(&format!("{pid}-")).is_some_and(|start| start.parse::<u64>().is_ok()),
        "{exec_id}"
    );
    // In the order in which they happened, by the kernel's clock.
    let times: Vec<_> = rows.iter().map(|row| row["dt"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

fn rename_records_both_names_and_the_result() {
    let agent = with_example("renames");
    let folder = agent.scratch().folder("renames");
    let script = "import os, sys
for i in range(int(sys.argv[1])):
    open(f'old {i}', 'w').close()
    os.rename(f'old {i}', f'new\u{e9} {i}')
try: os.rename('/no/such/file', 'x')
except FileNotFoundError: pass
print(os.getpid())";
    let pid = pid_of(9951, &folder, script, &[&COUNT.to_string()]);
    let agent = agent.finish();
    assert_eq!(rows(agent.store(), "renames", &json!({"uid": 9951})).len(), COUNT + 1);
    for i in 0..COUNT {
        let expected = json!({
            "pid": pid, "tid": pid, "uid": 9951, "gid": 9951, "comm": "python3", "ret": 0,
            "fname": format!("old {i}"), "to": format!("new\u{e9} {i}"),
        });
        assert_eq!(rows(agent.store(), "renames", &expected).len(), 1, "{expected}");
    }
    let failed = json!({"pid": pid, "ret": -2, "fname": "/no/such/file", "to": "x"});
    assert_eq!(rows(agent.store(), "renames", &failed).len(), 1);
}

fn tcp_states_records_addresses_ports_and_states() {
    let agent = with_example("tcp_states");
    let script = "import socket, sys
server = socket.create_server(('127.0.0.1', 0))
for _ in range(int(sys.argv[1])):
    client = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    # The client closes first, so that both go the whole way.
    client.close(); accepted.recv(1); accepted.close()
print(server.getsockname()[1])";
    let port = pid_of(9952, Path::new("/"), script, &[&COUNT.to_string()]);
    let agent = agent.finish();
    let address = json!({"family": "AF_INET", "saddr": "127.0.0.1", "daddr": "127.0.0.1"});
    let steps = [
        ("TCP_CLOSE", "TCP_SYN_SENT"),
        ("TCP_SYN_SENT", "TCP_ESTABLISHED"),
        ("TCP_ESTABLISHED", "TCP_FIN_WAIT1"),
    ];
    for (from, to) in steps {
        let mut expected = address.clone();
        for (name, value) in [("from", json!(from)), ("to", json!(to)), ("dport", json!(port))] {
            expected[name] = value;
        }
        let found = rows(agent.store(), "tcp_states", &expected);
        assert_eq!(found.len(), COUNT, "{expected}");
        assert!(found.iter().all(|row| row["extended"]["saddr6"] == "::ffff:127.0.0.1"), "{}", found[0]);
    }
    let opened = json!({"uid": 9952, "comm": "python3", "to": "TCP_SYN_SENT", "dport": port});
    assert_eq!(rows(agent.store(), "tcp_states", &opened).len(), COUNT);
    let accepted = json!({"from": "TCP_SYN_RECV", "to": "TCP_ESTABLISHED", "sport": port});
    assert_eq!(rows(agent.store(), "tcp_states", &accepted).len(), COUNT);
}

fn lookup_records_or_says_why_it_can_not() {
    let config = example("lookup.toml");
    let agent = Setup::new().options(&["--config", config.to_str().unwrap()]).start();
    let tracer = agent.tracer("lookup");
    if !Path::new("/sys/bus/event_source/devices/uprobe/type").exists() {
        assert_eq!(tracer["phase"], "degraded", "{tracer}");
        let cause = tracer["cause"].as_str().unwrap();
        assert!(cause.contains("libc.so.6:getaddrinfo") && cause.contains("no uprobes"), "{cause}");
        assert_eq!(agent.tracer("open")["phase"], "attached");
        agent.finish();
        return;
    }
    assert_eq!(tracer["phase"], "attached", "{tracer}");
    let script = "import os, socket, sys
for i in range(int(sys.argv[1])):
    try: socket.getaddrinfo(f'host{i}.invalid', 'http')
    except OSError: pass
print(os.getpid())";
    let pid = pid_of(9953, Path::new("/"), script, &[&COUNT.to_string()]);
    let agent = agent.finish();
    assert_eq!(rows(agent.store(), "lookup", &json!({"uid": 9953})).len(), COUNT);
    for i in 0..COUNT {
        let expected = json!({
            "pid": pid, "tid": pid, "gid": 9953, "comm": "python3", "service": "http",
            "node": format!("host{i}.invalid"),
        });
        assert_eq!(rows(agent.store(), "lookup", &expected).len(), 1, "{expected}");
    }
}

/// Each kind of hook, and whether this machine has it.
fn kinds() -> [(&'static str, bool); 10] {
    let probes = |kind: &str| Path::new("/sys/bus/event_source/devices").join(kind).join("type").exists();
    let lsm = std::fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|list| list.contains("bpf"));
    // Where there are kprobes there are trampolines: kernels are built with both or neither.
    let (kprobes, uprobes) = (probes("kprobe"), probes("uprobe"));
    [
        ("TRACEPOINT", true),
        ("RAW_TRACEPOINT", true),
        ("BTF_TRACEPOINT", true),
        ("KPROBE", kprobes),
        ("KRETPROBE", kprobes),
        ("FENTRY", kprobes),
        ("FEXIT", kprobes),
        ("LSM", lsm && kprobes),
        ("UPROBE", uprobes),
        ("URETPROBE", uprobes),
    ]
}

fn every_kind_of_hook_or_why_not() {
    let agent = with_example("hooks");
    let script = "import os, sys
for i in range(int(sys.argv[1])):
    open(f'file{i}', 'w').close()
    os.unlink(f'file{i}')
print(os.getpid())";
    let tracer = agent.tracer("hooks");
    let folder = agent.scratch().folder("unlinks");
    let pid = pid_of(9948, &folder, script, &[&COUNT.to_string()]);
    let agent = agent.finish();
    for (hook, there) in kinds() {
        let met = rows(agent.store(), "hooks", &json!({"hook": hook, "pid": pid, "comm": "python3"})).len();
        assert_eq!(met, if there { COUNT } else { 0 }, "{hook}: {tracer}");
    }
    // What is not there is told, one by one.
    let without = tracer["detail"]["without"].as_array().unwrap();
    assert_eq!(without.len(), kinds().iter().filter(|(_, there)| !there).count(), "{tracer}");
}
