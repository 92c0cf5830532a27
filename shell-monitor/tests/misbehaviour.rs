//! A thousand children that misbehave in every way duetector's protocol allows: all valid records arrive unchanged,
//! the rest is counted, and neither processes, descriptors nor memory are left behind.

#![allow(clippy::unwrap_used, reason = "tests may; clippy does not know helpers for such")]

mod harness;

use std::fs;

use actors::Phase;
use harness::{Stand, config, eventually, real};
use model::TracerName;
use serde_json::{Value, json};

/// Children started before the first measurement, so that buffers and caches have grown to their size.
const WARM_UP: u64 = 200;
const CHILDREN: u64 = 1000;
/// Allowed difference in resident memory, in KiB. A leak of one pipe's buffer per child would be ten times as much.
const TOLERANCE: u64 = 6 * 1024;

/// Each child misbehaves in one way, between two records that must arrive. `$n` is the child's number.
const CHILD: &str = r#"
n=$(cat "$1"); echo $((n + 1)) > "$1"
e() { echo "{\"type\":\"event\",\"payload\":{\"n\":$n,\"part\":$1}}"; }
e 1
case $((n % 10)) in
  0) e 2; exit 1 ;;
  1) printf 'garbage \377\376\n\n[1]\n"x"\n{}\n{"type":"x"}\n'; e 2; exit 2 ;;
  2) printf '{"type":"event","payload":{"n":%s,"part"' "$n"; printf ':2}}\n{"type":"ev'; exit 0 ;;
  3) head -c 200000 /dev/zero | tr '\0' y; echo; e 2; exit 3 ;;
  4) printf '{"type":"event","payload":{"n":%s,"part":2,"a-b":"/\377","class":{"1st":[]}}}\n' "$n"; kill -9 $$ ;;
  5) e 2; exec 1>&-; exit 5 ;;
  6) echo "why it ends" >&2; echo '{"type":"event","payload":{"n":-1}}' >&2; e 2; exit 6 ;;
  7) sleep "$2" & e 2; exit 7 ;;
  8) trap '' TERM; (trap '' TERM; sleep "$2") & e 2; exec <&-; exit 8 ;;
  9) printf '{"type":"event","payload":null}\n{"type":"event","payload":7}\n{"type":7}\n7\n'; e 2; exit 9 ;;
esac
"#;

#[test]
fn a_thousand_children_leave_nothing_behind_but_their_records() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let (script, counter) = (dir.path().join("child.sh"), dir.path().join("count"));
        fs::write(&script, CHILD).unwrap();
        fs::write(&counter, "0").unwrap();
        // Time that grandchildren sleep, which also identifies them.
        let marker = format!("1000.{}", std::process::id());
        let comm = json!(["sh", script, counter, marker]);
        let template = format!("[sp.it]\ncomm = {comm}\nrestart_times = 0\nline_limit = \"64KiB\"\n");
        let mut stand = Stand::new(&config(&template));
        let mut warm = None;
        for number in 1..=CHILDREN {
            let status = stand.given_up("it").await;
            assert_eq!((status.phase, status.exits.failed), (Phase::GivenUp, number));
            if number == WARM_UP {
                warm = Some((descriptors(), resident()));
            }
            if number < CHILDREN {
                // The supervisor's back-off would make this test wait; an attach does not.
                let name = TracerName::new("it");
                let monitor = stand.monitor.clone();
                let attached = stand.meanwhile(async move { monitor.set_enabled(&name, true).await }).await;
                // The child may have exited before the attach noticed that it ran.
                assert!(attached.is_ok() || attached.unwrap_err().to_string().contains("child "));
            }
        }
        let taken = stand.take("it", 2 * CHILDREN as usize).await.to_vec();
        check_records(&taken);
        check_counts(&stand);
        let (descriptors_then, resident_then) = warm.unwrap();
        eventually("no descriptor more than before", || descriptors() <= descriptors_then).await;
        eventually("no child left, nor its children", || of_our_children(&marker).is_empty()).await;
        let grown = resident().saturating_sub(resident_then);
        assert!(grown < TOLERANCE, "{grown} KiB more than after {WARM_UP} children");
        stand.stop().await;
        let account = stand.account("it");
        assert_eq!((account.seen, account.stored), (2 * CHILDREN + CHILDREN / 10 * 4, 2 * CHILDREN));
    });
}

/// Checks that there are two records of each child, in order, with every field as written.
fn check_records(taken: &[serde_json::Map<String, Value>]) {
    assert_eq!(taken.len() as u64, 2 * CHILDREN);
    for (index, record) in taken.iter().enumerate() {
        let (n, part) = (index as u64 / 2, index as u64 % 2 + 1);
        let mut expected = json!({"n": n, "part": part});
        if (n % 10, part) == (4, 2) {
            expected["a-b"] = "/\\xff".into();
            expected["a-b_bytes"] = "2fff".into();
            expected["class"] = json!({"1st": []});
        }
        assert_eq!(Value::Object(record.clone()), expected);
    }
}

fn check_counts(stand: &Stand) {
    let each = CHILDREN / 10;
    let bad = json!({
        "not_json": each, "torn": each, "not_object": 3 * each, "no_type": each, "unknown_type": 2 * each,
        "bad_payload": 2 * each, "too_long": each
    });
    assert_eq!(stand.state("it", "/stdout/bad"), bad);
    assert_eq!(stand.state("it", "/stdout/odd/repaired"), each);
    assert_eq!(stand.state("it", "/stdout/events"), 2 * CHILDREN);
    assert_eq!(stand.state("it", "/stderr/lines"), 2 * each);
    assert_eq!(stand.state("it", "/starts"), CHILDREN);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns the resident memory of this process in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// Returns the processes of this test: children, zombies included, and grandchildren.
fn of_our_children(marker: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ours = processes.filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit(") ").next()?.split(' ').nth(1)?.to_owned();
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        (parent == own || command.contains(marker)).then_some(stat)
    });
    ours.collect()
}
