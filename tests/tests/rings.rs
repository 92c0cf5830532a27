//! Several data rings, and what becomes of a flood: merged by time, sampled aloud.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::thread;

use serde_json::Value;
use tests::workload::generate;
use tests::{Agent, Setup, suite};

suite! {
    threads: 1;
    several_rings_are_read_in_order_of_time: [Kernel];
    what_sampling_leaves_out_is_reported: [Kernel]
}

const OPENS: usize = 20_000;

fn only(uid: u32) -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{uid}]"))
}

/// The rows of tracer `loss` that tell of opens.
fn losses(agent: &Agent) -> Vec<Value> {
    let mut rows = agent.store().query("loss", &[]);
    rows.retain(|row| row["extended"]["lost_tracer"] == "open");
    rows
}

fn several_rings_are_read_in_order_of_time() {
    // Half of a ring is enough for all records, however slowly they are read.
    let agent = only(9981).set("ebpf.data_rings", "2").set("ebpf.data_ring", "\"32MiB\"").start();
    let file = agent.scratch().file("both", "");
    // Two processes, so that both CPUs are busy.
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let count = OPENS.to_string();
                let done = generate(9981, &["open", file.to_str().unwrap(), "--count", &count]);
                assert_eq!(done["count"], OPENS);
            });
        }
    });
    let agent = agent.finish();
    let open = agent.store().account("open");
    assert_eq!(open.seen, 2 * OPENS as u64, "{open:?}");
    let rows = agent.store().query("open", &["uid=9981"]);
    let times: Vec<_> = rows.iter().map(|row| (row["dt"].as_str().unwrap(), row["pid"].as_u64())).collect();
    assert!(times.is_sorted_by_key(|(time, _)| *time), "rows of two rings are not in order of time");
    let switches = times.windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
    assert!(switches > 2, "the processes did not run at the same time, so that this showed nothing");
}

fn what_sampling_leaves_out_is_reported() {
    let agent = only(9982).set("ebpf.data_ring", "\"64KiB\"").set("ebpf.sample", "16").start();
    let file = agent.scratch().file("flood", "");
    let done = generate(9982, &["open", file.to_str().unwrap(), "--count", "300000"]);
    let agent = agent.finish();
    let open = agent.store().account("open");
    assert_eq!(open.seen, done["count"].as_u64().unwrap());
    let losses = losses(&agent);
    let reported = |cause: &str| -> u64 {
        let rows = losses.iter().filter(|row| row["extended"]["cause"].as_str().unwrap().starts_with(cause));
        rows.filter_map(|row| row["count"].as_u64()).sum()
    };
    assert!(reported("sampled") > 0, "{losses:?}");
    assert_eq!(reported(""), open.lost_total(), "{losses:?}");
    for row in &losses {
        let [from, to, from_time, to_time] =
            ["from", "to", "from_time", "to_time"].map(|name| row["extended"][name].as_str().unwrap());
        assert!(from <= to, "{row}");
        for (local, zoned) in [(from, from_time), (to, to_time)] {
            let offset = &zoned[29..];
            assert!(offset.len() == 6 && local.replace(' ', "T") == zoned[..26], "{row}");
        }
    }
}
