//! Shell tracers with real commands: run at their interval, limited in time and output, never the cause of a crash.

mod harness;

use std::fs;

use actors::{Phase, clock};
use harness::{Stand, config, gone, real};
use model::TracerName;
use serde_json::{Value, json};
use shell_monitor::{ClearCache, Config, GetCache, SetCache};

#[test]
fn uname_is_stored_once_while_the_cache_is_on() {
    real(async {
        let mut config = Config::default();
        config.uname.interval = "10ms".parse().unwrap();
        let mut stand = Stand::new(&config);
        stand.counted("uname", "/unchanged", 3).await;
        let expected = std::process::Command::new("uname").arg("-a").output().unwrap().stdout;
        assert_eq!(stand.take("uname", 1).await[0]["output"], String::from_utf8(expected).unwrap());
        let uname = stand.monitor.shell(&TracerName::new("uname")).unwrap().clone();
        assert_eq!(uname.ask(ClearCache).await, Ok(()));
        assert_eq!(stand.take("uname", 2).await.len(), 2);
        stand.stop().await;
        assert_eq!(stand.state("uname", "/emitted"), 2);
    });
}

#[test]
fn the_cache_is_read_and_set() {
    real(async {
        let mut stand = Stand::new(&config("[sh.it]\ncomm = [\"echo\", \"same\"]\ninterval = \"10ms\""));
        stand.take("it", 1).await;
        let it = stand.monitor.shell(&TracerName::new("it")).unwrap().clone();
        stand.counted("it", "/emitted", 1).await;
        assert_eq!(it.ask(GetCache).await, Ok(Some(b"same\n".to_vec())));
        assert_eq!(it.ask(SetCache(b"other\n".to_vec())).await, Ok(()));
        assert_eq!(stand.take("it", 2).await[1]["output"], "same\n");
        stand.stop().await;
    });
}

#[test]
fn without_a_cache_every_run_is_a_record() {
    real(async {
        let mut stand = Stand::new(&config(
            "[sh.it]\ncomm = [\"echo\"]\ninterval = \"10ms\"\nconfig = { enable_cache = false }",
        ));
        assert_eq!(stand.take("it", 5).await.len(), 5);
        stand.stop().await;
        assert_eq!(stand.state("it", "/unchanged"), 0);
    });
}

#[test]
fn a_hanging_command_is_killed_with_its_whole_group() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = format!("trap '' TERM; sleep 1000 & echo $$ $! >> {}; wait; sleep 1000", pids.display());
        let template = format!(
            "[sh.it]\ncomm = [\"sh\", \"-c\", {script:?}]\ntimeout = \"100ms\"\ninterval = \"10ms\"\n\
                                [sh.beside]\ncomm = [\"echo\", \"hello\"]\n"
        );
        let mut stand = Stand::new(&config(&template));
        stand.take("beside", 1).await;
        stand.counted("it", "/timed_out", 1).await;
        stand.counted("it", "/runs", 2).await;
        let written = fs::read_to_string(&pids).unwrap();
        for pid in written.lines().next().unwrap().split_whitespace() {
            gone(&pid.parse::<u64>().unwrap().into()).await;
        }
        assert_eq!(stand.state("it", "/last_fault"), "took longer than 0.1 s, killed by SIGKILL");
        let ends = stand.stop().await;
        assert!(ends.iter().all(|end| end.phase == Phase::Stopped && end.restarts == 0));
        for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
            gone(&pid.parse::<u64>().unwrap().into()).await;
        }
        assert_eq!(stand.account("it").seen, 0);
    });
}

#[test]
fn every_failure_of_a_command_is_counted() {
    real(async {
        let mut config = config(
            "[sh.fails]\ncomm = [\"sh\", \"-c\", \"echo partly; echo why >&2; exit 3\"]\n\
             [sh.dies]\ncomm = [\"sh\", \"-c\", \"kill -9 $$\"]\n\
             [sh.long]\ncomm = [\"sh\", \"-c\", \"head -c 1000000 /dev/zero | tr '\\\\0' x\"]\n\
             [sh.bytes]\ncomm = [\"printf\", 'a\\377b']\n\
             [sh.holds]\ncomm = [\"sh\", \"-c\", \"sleep 1000 & echo $!\"]\n\
             [sh.env]\ncomm = [\"sh\", \"-c\", \"echo $CARGO_PKG_NAME$MORE\"]\nenv = { MORE = \"more\" }\n\
             [sh.absent]\ncomm = [\"/no/such/program\"]\n",
        );
        config.shell.output_limit = "1000".parse().unwrap();
        let mut stand = Stand::new(&config);
        let expected = [
            ("fails", json!({"output": "partly\n", "exit": "exited with code 3"}), "/failed"),
            ("dies", json!({"output": "", "exit": "killed by SIGKILL"}), "/failed"),
            ("long", json!({"output": "x".repeat(1000), "output_cut": 999_000}), "/cut"),
            ("bytes", json!({"output": "a\\xffb", "output_bytes": "61ff62"}), "/not_utf8"),
            ("env", json!({"output": "more\n"}), "/emitted"),
        ];
        for (name, record, counter) in expected {
            assert_eq!(Value::Object(stand.take(name, 1).await[0].clone()), record);
            stand.counted(name, counter, 1).await;
        }
        let grandchild =
            stand.take("holds", 1).await[0]["output"].as_str().unwrap().trim().parse::<u64>().unwrap();
        gone(&grandchild.into()).await;
        let status = stand.given_up("absent").await;
        assert_eq!((status.phase, status.restarts), (Phase::GivenUp, 0));
        assert!(
            status
                .first_cause
                .unwrap()
                .contains("not found: install it, or correct comm in [tracer.template.sh.absent]")
        );
        stand.stop().await;
    });
}

#[test]
fn commands_run_side_by_side_up_to_the_bound_and_one_tracers_never_overlap() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        // Each command logs its begin and end; with a limit of 2, three tracers can't all be between the two.
        let log = dir.path().join("log");
        let line = |name| {
            let script = format!("echo +{name} >> {0}; sleep 0.03; echo -{name} >> {0}", log.display());
            format!("[sh.{name}]\ncomm = [\"sh\", \"-c\", {script:?}]\ninterval = \"10ms\"\n")
        };
        let mut config = config(&["a", "b", "c"].map(line).concat());
        config.shell.max_running = 2;
        let mut stand = Stand::new(&config);
        for name in ["a", "b", "c"] {
            stand.counted(name, "/runs", 4).await;
        }
        // Read before the stop, which ends runs before they log their end.
        let noted = fs::read_to_string(&log).unwrap();
        stand.stop().await;
        let (mut running, mut most) = (Vec::new(), 0);
        for line in noted.lines() {
            let (sign, name) = line.split_at(1);
            if sign == "+" {
                assert!(!running.contains(&name.to_owned()), "{name} overlaps itself");
                running.push(name.to_owned());
                most = most.max(running.len());
            } else {
                running.retain(|other| other != name);
            }
        }
        assert_eq!(most, 2);
    });
}

#[test]
fn a_stop_ends_a_run_at_once_and_detach_too() {
    real(async {
        let mut stand = Stand::new(&config(
            "[sh.it]\ncomm = [\"sleep\", \"1000\"]\ntimeout = \"1h\"\ninterval = \"10ms\"",
        ));
        stand.counted("it", "/runs", 1).await;
        let name = TracerName::new("it");
        let before = clock::now();
        assert_eq!(stand.monitor.set_enabled(&name, false).await, Ok(true));
        assert_eq!(stand.state("it", "/running"), false);
        assert_eq!(stand.monitor.set_enabled(&name, true).await, Ok(true));
        stand.counted("it", "/runs", 2).await;
        stand.stop().await;
        assert!(before.elapsed().as_secs() < 20);
        assert_eq!((stand.state("it", "/timed_out"), stand.state("it", "/failed")), (json!(0), json!(0)));
    });
}

#[test]
fn a_program_that_is_not_there_is_given_up_and_can_not_be_attached() {
    real(async {
        let mut stand = Stand::new(&config("[sh.it]\ncomm = [\"/no/such/program\"]"));
        let status = stand.given_up("it").await;
        assert_eq!((status.phase, status.exits.failed), (Phase::GivenUp, 1));
        let refused = stand.monitor.set_enabled(&TracerName::new("it"), true).await.unwrap_err().to_string();
        assert!(
            refused.starts_with("tracer it is not running: program \"/no/such/program\" not found"),
            "{refused}"
        );
        assert_eq!(stand.monitor.set_enabled(&TracerName::new("it"), false).await, Ok(false));
        stand.stop().await;
    });
}
