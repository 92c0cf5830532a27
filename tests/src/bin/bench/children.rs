//! Measures how fast a subprocess tracer's child can write: events per second from its first byte to the last one
//! stored, nothing lost, with the default filters; and the same child alone, as the upper bound.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::wait::now;
use tests::{Setup, binary, until};

use crate::figure::{cpu_seconds, median};

const EVENTS: u64 = 2_000_000;
const STORED: Duration = Duration::from_secs(120);

/// Rate and cost with one sink.
pub(crate) struct Flood {
    into: &'static str,
    must: f64,
    rate: f64,
    /// CPU seconds of the agent per million events.
    cpu: f64,
}

/// Returns medians of `rounds` rounds, at most five.
pub(crate) fn take(rounds: usize) -> Vec<Flood> {
    let rounds = rounds.clamp(1, 5);
    let alone = median((0..rounds).map(|_| alone()).collect());
    let mut floods = vec![Flood { into: "nothing: the child alone", must: 0.0, rate: alone, cpu: 0.0 }];
    let sinks = [
        ("`memory`", "memory", 200_000.0),
        ("`store`", "store", 100_000.0),
        ("`sqlite`", "sqlite", 100_000.0),
    ];
    for (into, sink, must) in sinks {
        let (rates, cpus): (Vec<_>, Vec<_>) = (0..rounds).map(|_| flood(sink)).unzip();
        floods.push(Flood { into, must, rate: median(rates), cpu: median(cpus) });
    }
    floods
}

/// Returns the figures as a table.
pub(crate) fn report(floods: &[Flood]) -> String {
    let mut text = String::from(
        "\n| a flooding child, all events into | events/s | must | met | CPU s per million |\n|---|---|---|---|---|\n",
    );
    for Flood { into, must, rate, cpu } in floods {
        let met = if rate >= must { "yes" } else { "**missed**" };
        text.push_str(&format!("| {into} | {rate:.0} | {must:.0} | {met} | {cpu:.2} |\n"));
    }
    text
}

fn alone() -> f64 {
    let mut command = Command::new(binary::generator());
    command.args(["flood", "--count", &EVENTS.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the generator can't be started");
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (mut stdin, mut stdout) = stdin.zip(stdout).expect("two pipes");
    let start = now();
    stdin.write_all(b"{}\n").expect("the generator does not read");
    drop(stdin);
    let mut buffer = vec![0; 64 << 10];
    while stdout.read(&mut buffer).expect("the generator does not write") > 0 {}
    let rate = EVENTS as f64 / start.elapsed().as_secs_f64();
    child.wait().expect("the generator can't be waited for");
    rate
}

fn flood(sink: &str) -> (f64, f64) {
    let scratch = tests::Scratch::new();
    let go = scratch.path().join("go");
    let comm =
        [&binary::generator().display().to_string(), "flood", "--count", &EVENTS.to_string(), "--when"];
    let comm: Vec<_> = comm.into_iter().map(str::to_owned).chain([go.display().to_string()]).collect();
    let config = scratch.file("config.toml", format!("[tracer.template.sp.flood]\ncomm = {comm:?}\n"));
    let mut setup = Setup::new().set("ebpf.disabled", "true").set("tracer.uname.disabled", "true");
    for other in ["memory", "store", "sqlite"] {
        setup =
            setup.set(&format!("collector.{other}.disabled"), if other == sink { "false" } else { "true" });
    }
    let agent = setup.options(&["--config", config.to_str().unwrap_or_default()]).start();
    let before = cpu_seconds(&agent);
    let start = now();
    scratch.file("go", "");
    let account = until("all of the flood is stored", STORED, || {
        let account = agent.tracer("flood");
        let settled = account["seen"] == EVENTS && account["in_flight"] == 0;
        // Asking costs time too: not too often.
        std::thread::sleep(Duration::from_millis(50));
        settled.then_some(account)
    });
    let took = start.elapsed().as_secs_f64();
    assert_eq!(account["stored"], Value::from(EVENTS), "not all are stored: {account}");
    (EVENTS as f64 / took, (cpu_seconds(&agent) - before) * 1e6 / EVENTS as f64)
}
