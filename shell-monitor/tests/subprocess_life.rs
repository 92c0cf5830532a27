//! Real children that run and exit in many ways: none delays another, none is left behind, and each one's end is
//! reported.

mod harness;

use std::fs;

use actors::{ExitCounts, Phase};
use harness::{Stand, child, config, eventually, gone, real};
use model::TracerName;
use serde_json::json;

#[test]
fn a_child_that_exits_at_once_is_restarted_and_given_up_with_its_first_cause() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let counter = dir.path().join("starts");
        let script = format!(
            "with open({counter:?}, 'a') as f: f.write('x')\n\
             n = os.path.getsize({counter:?})\n\
             event(n=n); sys.stdout.flush()\n\
             sys.stderr.write(f'no licence, try {{n}}\\n'); sys.stderr.flush()\n\
             os._exit(n)"
        );
        let mut stand = Stand::new(&child(dir.path(), &script, "restart_times = 2"));
        let status = stand.given_up("it").await;
        assert_eq!((status.phase, status.restarts), (Phase::GivenUp, 2));
        assert_eq!(status.exits, ExitCounts { failed: 3, ..ExitCounts::default() });
        let cause = |n| format!("child exited with code {n}; last on stderr: no licence, try {n}");
        assert_eq!((status.first_cause, status.last_cause), (Some(cause(1)), Some(cause(3))));
        assert_eq!(stand.take("it", 3).await.len(), 3);
        assert_eq!((stand.state("it", "/starts"), stand.state("it", "/stdout/events")), (json!(3), json!(3)));
        stand.stop().await;
    });
}

#[test]
fn a_child_that_ignores_everything_is_killed_with_its_group() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                      child = os.fork()\n\
                      if child: event(child=child, pid=os.getpid())\n\
                      last()";
        let mut stand = Stand::new(&child(dir.path(), script, "kill_timeout = \"100ms\""));
        let taken = stand.take("it", 1).await[0].clone();
        let ends = stand.stop().await;
        assert_eq!(ends[0].exits, ExitCounts { stopped: 1, ..ExitCounts::default() });
        assert_eq!(stand.state("it", "/last_exit"), "killed by SIGKILL");
        gone(&taken["pid"]).await;
        gone(&taken["child"]).await;
    });
}

#[test]
fn output_during_the_stop_is_read() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "event(n=0); sys.stdout.flush()\n\
                      for line in sys.stdin: pass\n\
                      for n in range(1, 2000): event(n=n)\n";
        let mut stand = Stand::new(&child(dir.path(), script, ""));
        stand.take("it", 1).await;
        let ends = stand.stop().await;
        assert_eq!(ends[0].phase, Phase::Stopped);
        assert_eq!(stand.taken[&TracerName::new("it")].len(), 2000);
        assert_eq!(stand.state("it", "/last_exit"), "exited with code 0");
    });
}

#[test]
fn a_child_that_closes_stdout_keeps_running() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "event(n=0); sys.stdout.flush(); os.close(1)\nfor line in sys.stdin: pass";
        let mut stand = Stand::new(&child(dir.path(), script, "poll_interval = \"10ms\""));
        stand.counted("it", "/stdout_closed", 1).await;
        let polls = stand.state("it", "/polls").as_u64().unwrap();
        stand.counted("it", "/polls", polls + 3).await;
        let ends = stand.stop().await;
        assert_eq!((ends[0].exits.failed, ends[0].exits.stopped), (0, 1));
        assert_eq!(stand.account("it").stored, 1);
    });
}

#[test]
fn a_grandchild_that_holds_the_pipe_is_no_problem() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "child = os.fork()\n\
                      if not child:\n    \
                          while True: say(b'noise\\n')\n\
                      event(child=child); sys.stdout.flush()\n\
                      os._exit(0)";
        let mut stand = Stand::new(&child(dir.path(), script, "restart_times = 0"));
        let status = stand.given_up("it").await;
        assert_eq!(status.first_cause.as_deref(), Some("child exited with code 0"));
        let taken = stand.take("it", 1).await[0].clone();
        gone(&taken["child"]).await;
        stand.stop().await;
    });
}

#[test]
fn a_child_that_never_reads_is_not_waited_for() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        // The first message alone is larger than a pipe.
        let settings = format!(
            "poll_interval = \"10ms\"\nkill_timeout = \"50ms\"\nconfig = {{ filler = {:?} }}",
            "x".repeat(100_000)
        );
        let script = "for n in range(1000): event(n=n)\nlast()";
        let mut stand = Stand::new(&child(dir.path(), script, &settings));
        assert_eq!(stand.take("it", 1000).await.len(), 1000);
        stand.counted("it", "/polls_skipped", 5).await;
        assert_eq!(stand.state("it", "/polls"), 0);
        stand.stop().await;
        assert_eq!(stand.state("it", "/last_exit"), "killed by SIGTERM");
    });
}

#[test]
fn silent_and_missing_programs_delay_no_other() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let mut config = child(dir.path(), "event(n=0)\nwait()", "");
        config.template.sp.extend(
            self::config(
                "[sp.silent]\ncomm = [\"sleep\", \"1000\"]\nkill_timeout = \"10ms\"\n\
                 [sp.absent]\ncomm = [\"/no/such/program\"]\n\
                 [sp.folder]\ncomm = [\"sleep\", \"1\"]\ncwd = \"/no/such/folder\"\n\
                 [sp.data]\ncomm = [\"/etc/passwd\"]\n",
            )
            .template
            .sp,
        );
        let mut stand = Stand::new(&config);
        stand.take("it", 1).await;
        stand.counted("silent", "/polls", 1).await;
        for (name, cause) in [
            (
                "absent",
                "program \"/no/such/program\" not found: install it, or correct comm in [tracer.template.sp.absent]",
            ),
            (
                "folder",
                "working folder \"/no/such/folder\" of program \"sleep\" can't be entered (No such file or directory (os error 2)): create it, or correct cwd in [tracer.template.sp.folder]",
            ),
            (
                "data",
                "program \"/etc/passwd\" can't be run (Permission denied (os error 13)): make it executable, or correct comm in [tracer.template.sp.data]",
            ),
        ] {
            let status = stand.given_up(name).await;
            assert_eq!((status.phase, status.restarts), (Phase::GivenUp, 0));
            assert_eq!(status.first_cause.as_deref(), Some(cause));
        }
        assert_eq!(stand.tracer("silent").status().phase, Phase::Running);
        stand.stop().await;
    });
}

#[test]
fn a_child_that_sends_stopped_is_finished() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "event(n=0); sys.stdout.flush()\nsay(b'{\"type\":\"stopped\"}\\n')\nlast()";
        let mut stand = Stand::new(&child(dir.path(), script, ""));
        let status = stand.given_up("it").await;
        assert_eq!((status.phase, status.restarts), (Phase::Finished, 0));
        assert_eq!(stand.account("it").stored, 1);
        stand.stop().await;
    });
}

#[test]
fn attached_and_detached_at_run_time() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let mut stand = Stand::new(&child(dir.path(), "event(pid=os.getpid())\nwait()", ""));
        let first = stand.take("it", 1).await[0]["pid"].clone();
        let name = TracerName::new("it");
        assert_eq!(stand.monitor.set_enabled(&name, false).await, Ok(true));
        gone(&first).await;
        assert_eq!(stand.state("it", "/pid"), json!(null));
        assert_eq!(stand.monitor.hosts()[1].state_json()["detached"], json!(["it"]));
        assert_eq!(stand.monitor.set_enabled(&name, true).await, Ok(true));
        assert_ne!(stand.take("it", 2).await[1]["pid"], first);
        let unknown = stand.monitor.set_enabled(&TracerName::new("other"), true).await;
        assert_eq!(unknown.unwrap_err().to_string(), "there is no tracer other of this kind");
        assert_eq!(stand.tracer("it").status().restarts, 0);
        stand.stop().await;
    });
}

#[test]
fn many_children_leave_no_process_and_no_pidfd_behind() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let mut stand = Stand::new(&child(
            dir.path(),
            "event(pid=os.getpid())\nsys.stdout.flush()\nos._exit(1)",
            "restart_times = 6",
        ));
        let status = stand.given_up("it").await;
        assert_eq!(status.restarts, 6);
        for record in stand.take("it", 7).await.to_vec() {
            gone(&record["pid"]).await;
        }
        stand.stop().await;
        // Other tests run in this process too and hold pidfds for a while; a leaked one would stay.
        eventually("no pidfd of a dead process", || pidfds_of_the_dead() == 0).await;
    });
}

/// Counts descriptors of this process that refer to processes that are dead and reaped: `Pid: -1`
/// (proc_pid_fdinfo(5)).
fn pidfds_of_the_dead() -> usize {
    let infos = fs::read_dir("/proc/self/fdinfo").expect("procfs is mounted").flatten();
    let texts = infos.filter_map(|info| fs::read_to_string(info.path()).ok());
    texts.filter(|text| text.lines().any(|line| line == "Pid:\t-1")).count()
}

#[test]
fn a_collector_that_never_takes_can_not_keep_a_child_alive() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let settings = "kill_timeout = \"10ms\"\npoll_interval = \"10ms\"";
        let script = "while True: event(pid=os.getpid())";
        let stand = Stand::with_queue(&child(dir.path(), script, settings), 1);
        stand.counted("it", "/stdout/events", 1).await;
        // The queue is full when polls continue and nothing more is read.
        let mut before = json!(null);
        while stand.state("it", "/stdout/events") != before {
            before = stand.state("it", "/stdout/events");
            let polls = stand.state("it", "/polls").as_u64().unwrap();
            stand.counted("it", "/polls", polls + 10).await;
        }
        let pid = stand.state("it", "/pid");
        let status = stand.tracer("it").stop().await;
        // The records can't be sent, and the tracer's end reports that.
        assert_eq!((status.phase, status.exits.stalled), (Phase::Stopped, 1));
        gone(&pid).await;
        // Everything that was read is accounted for: one batch in the queue, the others lost before it.
        let account = stand.account("it");
        assert!(account.lost.queue > 0 && account.in_flight() > 0, "{account:?}");
        assert_eq!(account.seen, stand.state("it", "/stdout/events").as_u64().unwrap());
    });
}

#[test]
fn a_child_that_falls_silent_is_ended_and_replaced() {
    real(async {
        // Writes one event, then hangs and ignores signals.
        let script = "trap '' TERM; echo \"{\\\"type\\\":\\\"event\\\",\\\"payload\\\":{\\\"pid\\\":$$}}\"; sleep 1000; sleep 1000";
        let settings = "heartbeat = \"1s\"\npoll_interval = \"20ms\"\nrestart_times = 1";
        let mut stand =
            Stand::new(&config(&format!("[sp.it]\ncomm = [\"sh\", \"-c\", {script:?}]\n{settings}")));
        let status = stand.given_up("it").await;
        assert_eq!((status.restarts, status.exits.failed), (1, 2));
        let cause = status.first_cause.unwrap();
        assert!(cause.starts_with("child said nothing for "), "{cause}");
        assert!(cause.ends_with("killed by SIGKILL"), "{cause}");
        assert_eq!(stand.state("it", "/silent"), 2);
        for record in stand.take("it", 2).await.to_vec() {
            gone(&record["pid"]).await;
        }
        stand.stop().await;
    });
}

#[test]
fn a_child_that_only_answers_polls_or_waits_for_the_collector_is_alive() {
    real(async {
        let answers = "while read -r line; do echo '{\"type\":\"event\"}'; done";
        let flood = r#"{"type":"event","payload":{"text":"not taken for a while"}}"#;
        let template = format!(
            "[sp.answers]\ncomm = [\"sh\", \"-c\", {answers:?}]\npoll_interval = \"500ms\"\nheartbeat = \"2s\"\n\
             [sp.flood]\ncomm = [\"yes\", {flood:?}]\npoll_interval = \"20ms\"\nheartbeat = \"1s\"\n\
             kill_timeout = \"10ms\"\n"
        );
        let mut stand = Stand::with_queue(&config(&template), 1);
        // Nothing is taken from the queue for longer than the flood's heartbeat.
        stand.counted("flood", "/polls", 80).await;
        stand.take("answers", 6).await;
        for name in ["answers", "flood"] {
            assert_eq!((stand.state(name, "/silent"), stand.state(name, "/starts")), (json!(0), json!(1)));
        }
        stand.stop().await;
    });
}
