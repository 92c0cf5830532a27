//! Floods the agent with more than it can take, and with just as much as it can take.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use tests::workload::generate;
use tests::{Setup, suite};

/// The budget for the agent's memory in a storm, with default settings.
const PEAK_MIB: u64 = 128;

suite! {
    threads: 1;
    five_seconds_at_full_speed_are_accounted_for_to_the_last_event: [Kernel];
    twenty_thousand_a_second_lose_nothing: [Kernel]
}

/// An agent that sees only what that user does, so that the kernel's count can be compared with the generator's.
fn only(uid: u32) -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{uid}]"))
}

fn five_seconds_at_full_speed_are_accounted_for_to_the_last_event() {
    let agent = only(9993).start();
    let file = agent.scratch().file("storm", "");
    let done = generate(9993, &["open", file.to_str().unwrap(), "--seconds", "5"]);
    let made = done["count"].as_u64().unwrap();
    let peak = agent.peak_mib();
    assert!(agent.store().run(&["status"]).status.success(), "the agent is not well after the storm");
    let agent = agent.finish();

    let open = agent.store().account("open");
    assert_eq!(open.seen, made, "the kernel's count is not the generator's");
    // A loss is a row, too: its counts add up to what the books lost.
    let losses = agent.store().query("loss", &[]);
    let of_open = losses.iter().filter(|row| row["extended"]["lost_tracer"] == "open");
    let reported: u64 = of_open.filter_map(|row| row["count"].as_u64()).sum();
    assert_eq!(reported, open.lost_total(), "{losses:?}");
    assert!(open.stored > 0, "{open:?}");
    assert!(peak <= PEAK_MIB, "{peak} MiB resident at the peak");
}

fn twenty_thousand_a_second_lose_nothing() {
    let agent = only(9992).start();
    let file = agent.scratch().file("paced", "");
    let done = generate(9992, &["paced", file.to_str().unwrap(), "--rate", "20000", "--seconds", "10"]);
    assert_eq!(done["count"], 200_000);
    let agent = agent.finish();
    let open = agent.store().account("open");
    assert_eq!((open.seen, open.stored, open.lost_total()), (200_000, 200_000, 0));
    assert_eq!(open.count, 200_000);
}
