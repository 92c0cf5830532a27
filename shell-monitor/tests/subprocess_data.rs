//! The output of real children: every event arrives unchanged, everything else is counted by kind.

#![allow(clippy::unwrap_used, reason = "tests may; clippy does not know helpers for such")]

mod harness;

use std::fs;

use harness::{Stand, child, real};
use serde_json::{Value, json};

fn numbers(records: &[serde_json::Map<String, Value>]) -> Vec<u64> {
    records.iter().map(|record| record["n"].as_u64().unwrap()).collect()
}

#[test]
fn a_flood_comes_through_whole_and_in_order() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script =
            "for n in range(100_000): event(n=n, fname='/data/some/file', pid=os.getpid(), comm='x')\nwait()";
        let mut stand = Stand::new(&child(dir.path(), script, ""));
        let taken = stand.take("it", 100_000).await;
        assert_eq!(numbers(taken), (0..100_000).collect::<Vec<_>>());
        let ends = stand.stop().await;
        assert_eq!((ends[0].exits.stopped, ends[0].restarts), (1, 0));
        assert_eq!(stand.state("it", "/stdout/events"), 100_000);
        assert_eq!((stand.account("it").seen, stand.account("it").stored), (100_000, 100_000));
    });
}

#[test]
fn a_slow_collector_holds_the_child_back_and_loses_nothing() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "for n in range(30_000): event(n=n, text='x' * 100)\nwait()";
        let mut stand = Stand::with_queue(&child(dir.path(), script, "poll_interval = \"10ms\""), 1);
        // Nothing is taken from the queue: the amount that is read stays limited, and the child is still polled.
        stand.counted("it", "/stdout/events", 1).await;
        let polls = stand.state("it", "/polls").as_u64().unwrap();
        stand.counted("it", "/polls", polls + 20).await;
        assert!(stand.state("it", "/stdout/events").as_u64().unwrap() < 10_000);
        assert_eq!(numbers(stand.take("it", 30_000).await), (0..30_000).collect::<Vec<_>>());
        stand.stop().await;
    });
}

#[test]
fn between_garbage_every_event_is_found() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"
say(b'starting up...\n\xff\xfe\x00binary\n\n')
event(n=0); sys.stdout.flush()
say(b'12\n[1]\n"text"\nnull\n{}\n{"type": "what"}\n{"type": 7}\n')
say(b'{"type": "event", "payload": null}\n{"type": "event", "payload": [1]}\n')
say(b'{"type": "event", "payload": {"n": 1}}\r\n{"type": "event", "payload": {"n": 2}}\r')
say(b'{"type": "event", "payload": {"n": 3, "a-b": 1, "class": {"x": []}, "_x": "", "1st": 1}}\n')
say(b'{"type": "event", "pay'); say(b'load": {"n"')
time.sleep(0.02)
say(b': 4}}\n')
say(b'{"type": "event", "payl\n')
say(b'{"type": "event", "payload": {"n": 5, "fname": "/\xff"}}\n')
event(n=6, fname=os.fsdecode(b'/\xfe'), x=float('nan')); sys.stdout.flush()
say(b'{"type": "event", "payload": {"n": 7, "x": "' + b'y' * 10_000_000 + b'"}}\n')
say(b'{"type": "event", "payload": {"n": 8}}\n')
wait()
"#;
        let mut stand = Stand::new(&child(dir.path(), script, ""));
        let taken = stand.take("it", 9).await;
        assert_eq!(numbers(taken), (0..9).collect::<Vec<_>>());
        assert_eq!(taken[3].keys().collect::<Vec<_>>(), ["n", "a-b", "class", "_x", "1st"]);
        assert_eq!((&taken[5]["fname"], &taken[5]["fname_bytes"]), (&json!("/\\xff"), &json!("2fff")));
        assert_eq!((&taken[6]["fname"], &taken[6]["fname_bytes"]), (&json!("/\\xfe"), &json!("2ffe")));
        assert_eq!(taken[7]["x"].as_str().unwrap().len(), 10_000_000);
        stand.stop().await;
        assert_eq!(
            stand.state("it", "/stdout/bad"),
            json!({"not_json": 2, "torn": 1, "not_object": 4, "no_type": 1, "unknown_type": 2, "bad_payload": 2,
                   "too_long": 0})
        );
        assert_eq!(stand.state("it", "/stdout/odd/repaired"), 2);
        let account = stand.account("it");
        assert_eq!((account.seen, account.stored, account.lost.decode), (12, 9, 3));
    });
}

#[test]
fn a_line_over_the_limit_is_read_past_without_being_kept() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"
event(n=0); sys.stdout.flush()
say(b'{"type": "event", "payload": {"x": "')
for _ in range(1000): say(b'y' * 100_000)
say(b'"}}\n')
event(n=1)
wait()
"#;
        let before = memory_peak();
        let mut stand = Stand::new(&child(dir.path(), script, "line_limit = \"64KiB\""));
        assert_eq!(numbers(stand.take("it", 2).await), [0, 1]);
        stand.stop().await;
        assert_eq!(stand.state("it", "/stdout/bad/too_long"), 1);
        assert_eq!(stand.account("it").lost.decode, 1);
        // Other tests of this process may run at the same time, one of them with several copies of a line of 10 MB.
        assert!(memory_peak() - before < 90_000, "{} KiB", memory_peak() - before);
    });
}

/// Returns the peak resident memory of this process in KiB.
fn memory_peak() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[test]
fn the_last_output_is_read_and_needs_no_line_end() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "for n in range(50): event(n=n)\nsys.stdout.flush()\nsay(b'{\"type\":\"event\",\"payload\":{\"n\":50}}')\nos._exit(3)";
        let mut stand = Stand::new(&child(dir.path(), script, "restart_times = 0"));
        let status = stand.given_up("it").await;
        assert_eq!(status.first_cause.as_deref(), Some("child exited with code 3"));
        assert_eq!(numbers(stand.take("it", 51).await), (0..51).collect::<Vec<_>>());
        stand.stop().await;
    });
}

#[test]
fn stderr_goes_only_to_the_log_and_delays_nothing() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"
for n in range(10_000): sys.stderr.write('{"type": "event", "payload": {"n": 99}}\n')
sys.stderr.write("x" * 1_000_000 + "\n"); sys.stderr.flush()
event(n=0)
wait()
"#;
        let mut stand = Stand::new(&child(dir.path(), script, ""));
        assert_eq!(numbers(stand.take("it", 1).await), [0]);
        stand.counted("it", "/stderr/lines", 10_001).await;
        assert!(stand.state("it", "/stderr/suppressed").as_u64().unwrap() > 9_000);
        stand.stop().await;
        assert_eq!(stand.account("it").seen, 1);
    });
}

#[test]
fn the_payloads_name_decides_where_it_is_stored_and_accounted_for() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "event(n=0, tracer_name='Other')\nevent(n=1, tracer_name='open')\nevent(n=2)\nwait()";
        let mut stand = Stand::new(&child(dir.path(), script, "name = \"mine\""));
        assert_eq!(numbers(stand.take("mine", 2).await), [1, 2]);
        assert_eq!(numbers(stand.take("other", 1).await), [0]);
        stand.stop().await;
        assert_eq!(stand.state("mine", "/stdout/odd/name_refused"), 1);
        assert_eq!(
            (stand.account("mine").stored, stand.account("other").stored, stand.account("open").seen),
            (2, 1, 0)
        );
    });
}

#[test]
fn the_first_line_is_init_and_polls_follow() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "for n in range(3): event(n=n, line=sys.stdin.readline())\nwait()";
        let settings = "poll_interval = \"20ms\"\nconfig = { depth = 3 }";
        let mut stand = Stand::new(&child(dir.path(), script, settings));
        let taken = stand.take("it", 3).await;
        let init = "{\"proto\":\"duetector\",\"version\":\"0.1.0\",\"type\":\"init\",\"payload\":{\"poll_time\":0.01,\
                    \"kill_timeout\":5,\"config\":{\"disabled\":false,\"depth\":3}}}\n";
        let poll = "{\"proto\":\"duetector\",\"version\":\"0.1.0\",\"type\":\"event\",\"payload\":{}}\n";
        assert_eq!(
            taken.iter().map(|it| it["line"].as_str().unwrap()).collect::<Vec<_>>(),
            [init, poll, poll]
        );
        stand.stop().await;
    });
}

#[test]
fn the_environment_is_clean_unless_it_is_to_be_preserved() {
    real(async {
        let script =
            "event(n=0, env=dict(os.environ), cwd=os.getcwd(), group=os.getpgid(0) == os.getpid())\nwait()";
        for (preserve, has) in [(false, false), (true, true)] {
            let dir = tempfile::tempdir().unwrap();
            let cwd = dir.path().to_str().unwrap().to_owned();
            let settings = format!("preserve_env = {preserve}\ncwd = {cwd:?}\nenv = {{ MORE = \"1\" }}");
            let mut stand = Stand::new(&child(dir.path(), script, &settings));
            let taken = &stand.take("it", 1).await[0];
            assert_eq!((&taken["cwd"], &taken["group"]), (&json!(cwd), &json!(true)));
            assert_eq!((&taken["env"]["MORE"], taken["env"]["PATH"].is_string()), (&json!("1"), true));
            // A variable of this test's environment other than the four clean ones.
            let clean = ["PATH", "HOME", "LANG", "TZ"];
            let mut others = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
            let other = others.find(|name| !clean.contains(&name.as_str()) && !name.starts_with("LC_"));
            let env = taken["env"].as_object().unwrap();
            assert_eq!(other.is_some_and(|name| env.contains_key(&name)), has);
            stand.stop().await;
        }
    });
}
