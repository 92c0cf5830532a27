//! TCP connections: both families, blocking and not, successful and refused.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use serde_json::{Value, json};
use tests::workload::{generate, python};
use tests::{Agent, Setup, suite};

suite! {
    threads: 2;
    twenty_three_connections_over_each_family: [Kernel];
    a_refused_and_a_nonblocking_one: [Kernel, Python]
}

fn rows(agent: &Agent, uid: u32) -> Vec<Value> {
    agent.store().query("connect", &[&format!("uid={uid}")])
}

fn twenty_three_connections_over_each_family() {
    let agent = Setup::new().start();
    let loopback = std::net::TcpListener::bind("[::1]:0").is_ok();
    let families = if loopback {
        vec![("127.0.0.1", "AF_INET"), ("::1", "AF_INET6")]
    } else {
        vec![("127.0.0.1", "AF_INET")]
    };
    for (address, _) in &families {
        generate(9991, &["connect", "--address", address, "--count", "23"]);
    }
    let agent = agent.finish();
    let rows = rows(&agent, 9991);
    assert_eq!(rows.len(), 23 * families.len());
    for (address, family) in families {
        let of: Vec<_> = rows.iter().filter(|row| row["extended"]["family"] == family).collect();
        assert_eq!(of.len(), 23, "{family}");
        for row in of {
            let extended = &row["extended"];
            assert_eq!(
                json!([extended["saddr"], extended["daddr"], row["ret"]]),
                json!([address, address, 0]),
                "{row}"
            );
            assert!(
                extended["sport"].as_u64().unwrap() > 0 && extended["dport"].as_u64().unwrap() > 0,
                "{row}"
            );
        }
    }
}

fn a_refused_and_a_nonblocking_one() {
    // Port 1 on loopback: nobody listens there. Prints the listener's port and the second connection's own.
    let script = "
import select, socket
first = socket.socket()
assert first.connect_ex(('127.0.0.1', 1)) != 0
listener = socket.socket(); listener.bind(('127.0.0.1', 0)); listener.listen()
second = socket.socket(); second.setblocking(False)
second.connect_ex(listener.getsockname())
select.select([], [second], [])
assert second.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
print(listener.getsockname()[1], second.getsockname()[1])
";
    let agent = Setup::new().start();
    let output = python(9990, agent.scratch().path(), script, &[]);
    let ports: Vec<u64> = String::from_utf8_lossy(&output.stdout)
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    let agent = agent.finish();
    let rows = rows(&agent, 9990);
    assert_eq!(rows.len(), 2, "{rows:?}");
    let refused = rows.iter().find(|row| row["extended"]["dport"] == 1).unwrap();
    assert_eq!(json!([refused["ret"], refused["extended"]["errno"]]), json!([-111, "ECONNREFUSED"]));
    let other = rows.iter().find(|row| row["extended"]["dport"] == ports[0]).unwrap();
    let extended = &other["extended"];
    let seen = json!([other["ret"], extended["nonblocking"], extended["sport"]]);
    assert_eq!(seen, json!([0, true, ports[1]]));
}
