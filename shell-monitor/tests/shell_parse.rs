//! Commands whose output becomes fields, of which only new parts are stored, and commands that run as another user.

#![allow(clippy::unwrap_used, reason = "tests may; clippy does not know helpers for such")]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use harness::{Stand, config, real};
use model::TracerName;
use serde_json::{Value, json};
use shell_monitor::{ClearCache, GetCache, SetCache};

fn values(records: &[serde_json::Map<String, Value>]) -> Vec<Value> {
    records.iter().cloned().map(Value::Object).collect()
}

/// Starts a tracer `it` that prints a file, with more settings.
fn shows(file: &std::path::Path, settings: &str) -> Stand {
    let comm = format!("comm = [\"cat\", {:?}]", file.to_str().unwrap());
    Stand::new(&config(&format!("[sh.it]\n{comm}\ninterval = \"10ms\"\n{settings}")))
}

/// Replaces the file's text atomically, so that no run reads half of it.
fn put(file: &std::path::Path, text: &str) {
    let whole = file.with_extension("new");
    fs::write(&whole, text).unwrap();
    fs::rename(whole, file).unwrap();
}

#[test]
fn only_the_new_lines_of_a_growing_log_are_stored() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        put(&log, "one\ntwo\n");
        let mut stand = shows(&log, "parse = \"lines\"");
        assert_eq!(values(stand.take("it", 2).await), [json!({"line": "one"}), json!({"line": "two"})]);
        // A repeated line is new. After a rotation, all lines are new except those that were kept.
        put(&log, "one\ntwo\ntwo\nthree\n");
        assert_eq!(
            values(&stand.take("it", 4).await[2..]),
            [json!({"line": "two"}), json!({"line": "three"})]
        );
        put(&log, "three\nfour\n");
        assert_eq!(values(&stand.take("it", 5).await[4..]), [json!({"line": "four"})]);
        stand.counted("it", "/unchanged", 1).await;
        put(&log, "one\nthree\nfour\n");
        assert_eq!(values(&stand.take("it", 6).await[5..]), [json!({"line": "one"})]);
        stand.stop().await;
        assert_eq!((stand.state("it", "/emitted"), stand.account("it").stored), (json!(6), 6));
    });
}

#[test]
fn the_cache_of_lines_is_read_set_and_cleared() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        put(&log, "a\nb\n");
        let mut stand = shows(&log, "parse = \"lines\"");
        stand.take("it", 2).await;
        let it = stand.monitor.shell(&TracerName::new("it")).unwrap();
        assert_eq!(it.ask(GetCache).await, Ok(Some(b"a\nb\n".to_vec())));
        assert_eq!(it.ask(SetCache(b"b\n".to_vec())).await, Ok(()));
        assert_eq!(values(&stand.take("it", 3).await[2..]), [json!({"line": "a"})]);
        assert_eq!(it.ask(ClearCache).await, Ok(()));
        stand.take("it", 5).await;
        stand.stop().await;
    });
}

#[test]
fn json_lines_become_fields_and_bad_ones_are_counted_as_lost() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events");
        put(&file, "{\"pid\": 7, \"fname\": \"/a\", \"more\": {\"x\": [1]}}\nnot json\n[1]\n{\"pid\": 8}\n");
        let mut stand = shows(&file, "parse = \"jsonl\"");
        let first = json!({"pid": 7, "fname": "/a", "more": {"x": [1]}});
        assert_eq!(values(stand.take("it", 2).await), [first, json!({"pid": 8})]);
        stand.counted("it", "/unchanged", 3).await;
        // A bad line that the previous run had too is not lost again.
        assert_eq!(stand.state("it", "/bad_lines"), 2);
        assert_eq!(stand.state("it", "/last_fault"), "2 lines or elements are not JSON objects");
        stand.stop().await;
        let account = stand.account("it");
        assert_eq!((account.seen, account.stored, account.lost.decode), (4, 2, 2));
    });
}

#[test]
fn elements_of_a_json_array_are_records_of_their_own() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("links");
        put(&file, "[{\"ifname\": \"lo\"}, {\"ifname\": \"eth0\"}]");
        let mut stand = shows(&file, "parse = \"json\"");
        stand.take("it", 2).await;
        put(&file, "[{\"ifname\": \"eth0\"},\n {\"ifname\": \"eth1\"}]\n");
        assert_eq!(values(&stand.take("it", 3).await[2..]), [json!({"ifname": "eth1"})]);
        stand.stop().await;
        assert_eq!(stand.account("it").seen, 3);
    });
}

#[test]
fn a_pattern_makes_fields_of_each_line_it_is_found_in() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ps");
        put(&file, "  PID   RSS COMMAND\n    1  1204 init\n   17   n/a kthread\n");
        let settings = "parse = \"regex\"\npattern = '^\\s*(?<pid>\\d+)\\s+(?<rss>\\S+)\\s+(?<comm>.+)$'\n\
                        numbers = [\"pid\", \"rss\"]\nenable_cache = false";
        let mut stand = shows(&file, settings);
        let expected = [
            json!({"pid": 1, "rss": 1204, "comm": "init"}),
            json!({"pid": 17, "rss": "n/a", "comm": "kthread"}),
        ];
        assert_eq!(values(&stand.take("it", 4).await[2..]), expected);
        stand.counted("it", "/unmatched", 2).await;
        stand.stop().await;
        assert_eq!(stand.account("it").lost.total(), 0);
    });
}

#[test]
fn lines_beyond_the_limit_are_counted_as_lost() {
    real(async {
        let template = "[sh.it]\ncomm = [\"seq\", \"1\", \"1000\"]\ninterval = \"1h\"\nparse = \"lines\"\noutput_limit = 100";
        let mut stand = Stand::new(&config(template));
        stand.counted("it", "/cut_lines", 1).await;
        stand.stop().await;
        let account = stand.account("it");
        // 1 to 9 take two bytes each, 10 to 36 three; of 37 one byte is within the limit.
        assert_eq!((account.seen, account.stored, account.lost.decode), (1000, 36, 964));
    });
}

#[test]
fn a_command_and_a_child_run_as_the_configured_user_with_its_groups() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    real(async {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // The groups of `nobody` on this system.
        let nobody = |arguments: &[&str]| {
            let output = std::process::Command::new("id").args(arguments).arg("nobody").output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let expected = format!("{} {} {} nobody", nobody(&["-u"]), nobody(&["-g"]), nobody(&["-G"]));
        let script = "echo $(id -u) $(id -g) $(id -G) $USER";
        let event = format!(
            "echo \"{{\\\"type\\\":\\\"event\\\",\\\"payload\\\":{{\\\"is\\\":\\\"$({script})\\\"}}}}\"; cat >/dev/null"
        );
        let template = format!(
            "[sh.named]\ncomm = [\"sh\", \"-c\", {script:?}]\nuser = \"nobody\"\n\
             [sh.numbered]\ncomm = [\"sh\", \"-c\", \"echo $(id -u) $(id -g) $(id -G)\"]\nuser = \"54321:54322\"\n\
             [sh.plain]\ncomm = [\"id\", \"-u\"]\n\
             [sp.child]\ncomm = [\"sh\", \"-c\", {event:?}]\nuser = \"nobody\"\n"
        );
        let mut stand = Stand::new(&config(&template));
        assert_eq!(stand.take("named", 1).await[0]["output"], format!("{expected}\n"));
        assert_eq!(stand.take("numbered", 1).await[0]["output"], "54321 54322 54322\n");
        assert_eq!(stand.take("child", 1).await[0]["is"], expected);
        // The other tracer and the agent still run as root.
        assert_eq!(stand.take("plain", 1).await[0]["output"], "0\n");
        assert!(nix::unistd::geteuid().is_root());
        stand.stop().await;
    });
}
