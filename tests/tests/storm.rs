//! Floods the agent with more than it can take, and with bursts that find room in its ring however slow the machine is.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::time::Duration;

use tests::workload::generate;
use tests::{Setup, suite, until};

const SOON: Duration = Duration::from_secs(60);

/// The budget for the agent's memory in a storm, with default settings.
const PEAK_MIB: u64 = 128;

/// Opens of one burst: about 3 MB of records. Anyone may fill the first 4 MiB of the ring; beyond, users have budgets.
const BURST: u64 = 12_000;
const BURSTS: u64 = 10;

suite! {
    threads: 1;
    five_seconds_at_full_speed_are_accounted_for_to_the_last_event: [Kernel];
    bursts_that_fit_into_half_of_the_ring_lose_nothing: [Kernel]
}

/// Returns an agent that sees only this user's events, so that the kernel's count can be compared with the generator's.
fn only(uid: u32) -> Setup {
    Setup::new().set("ebpf.uids", &format!("[{uid}]"))
}

fn five_seconds_at_full_speed_are_accounted_for_to_the_last_event() {
    let agent = only(9993).start();
    let file = agent.scratch().file("storm", "");
    let done = generate(9993, &["open", file.to_str().unwrap(), "--seconds", "5"]);
    let made = done["count"].as_u64().unwrap();
    let peak = agent.peak_mib();
    assert!(agent.store().run(&["status"]).status.success(), "`status` fails after the storm");
    let agent = agent.finish();

    let open = agent.store().account("open");
    assert_eq!(open.seen, made, "the kernel's count is not the generator's");
    // A loss is a row, too: the counts of these rows add up to the account's.
    let losses = agent.store().query("loss", &[]);
    let of_open = losses.iter().filter(|row| row["extended"]["lost_tracer"] == "open");
    let reported: u64 = of_open.filter_map(|row| row["count"].as_u64()).sum();
    assert_eq!(reported, open.lost_total(), "{losses:?}");
    assert!(open.stored > 0, "{open:?}");
    assert!(peak <= PEAK_MIB, "{peak} MiB resident at the peak");
}

fn bursts_that_fit_into_half_of_the_ring_lose_nothing() {
    let agent = only(9992).start();
    let file = agent.scratch().file("burst", "");
    for burst in 1..=BURSTS {
        let count = BURST.to_string();
        assert_eq!(generate(9992, &["open", file.to_str().unwrap(), "--count", &count])["count"], BURST);
        until("the burst is stored", SOON, || {
            (agent.tracer("open")["stored"].as_u64() >= Some(burst * BURST)).then_some(())
        });
    }
    let agent = agent.finish();
    let open = agent.store().account("open");
    let all = BURSTS * BURST;
    assert_eq!((open.seen, open.stored, open.lost_total(), open.count), (all, all, 0, all));
}
