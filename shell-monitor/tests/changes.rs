//! Changes of the configuration while tracers run: tracers are added, removed, restarted with other settings, and
//! attached again.

#![allow(clippy::unwrap_used, reason = "tests may; clippy does not know helpers for such")]

mod harness;

use std::fs;

use actors::Phase;
use harness::{Stand, child, config, gone, real};
use model::{Change, Subject, TracerName, What};
use serde_json::json;

fn tracer(what: What, name: &str) -> Change {
    Change::new(what, Subject::Tracer(name.into()))
}

const STEADY: &str = "[sp.steady]\ncomm = [\"sh\", \"-c\", \"echo '{\\\"type\\\":\\\"event\\\"}'; cat >/dev/null\"]\n\
                      [sh.tick]\ncomm = [\"echo\", \"tick\"]\ninterval = \"10ms\"\nenable_cache = false\n";

#[test]
fn only_changed_tracers_are_touched_and_nothing_is_lost() {
    real(async {
        // Tracers that each write a thousand numbered records before they exit.
        let dir = tempfile::tempdir().unwrap();
        let talker = dir.path().join("talker.sh");
        let script = "i=0; echo '{\"type\":\"event\",\"payload\":{\"n\":-1}}'; cat >/dev/null\n\
                      while [ $i -lt 1000 ]; do echo \"{\\\"type\\\":\\\"event\\\",\\\"payload\\\":{\\\"n\\\":$i}}\"; i=$((i+1)); done";
        fs::write(&talker, script).unwrap();
        let talker = |name: &str, more: &str| {
            format!("[sp.{name}]\ncomm = [\"sh\", {:?}]\n{more}\n", talker.to_str().unwrap())
        };
        let mut stand =
            Stand::new(&config(&(STEADY.to_owned() + &talker("goes", "") + &talker("again", ""))));
        for name in ["goes", "again", "steady"] {
            stand.take(name, 1).await;
        }
        let (steady, tick) = (stand.state("steady", "/pid"), stand.state("tick", "/runs").as_u64().unwrap());

        let same = config(&(STEADY.to_owned() + &talker("goes", "") + &talker("again", "")));
        assert_eq!(stand.apply(&same).await, []);

        let other =
            config(&(STEADY.to_owned() + &talker("comes", "") + &talker("again", "restart_times = 7")));
        let changes = stand.apply(&other).await;
        let expected =
            [tracer(What::Restarted, "again"), tracer(What::Added, "comes"), tracer(What::Removed, "goes")];
        assert_eq!(changes, expected);
        let present: Vec<_> = stand.monitor.tracers().iter().map(|it| it.name.to_string()).collect();
        assert_eq!(present, ["again", "comes", "steady", "tick"]);
        // The removed tracer's last records were sent before the change was answered.
        assert_eq!(stand.taken[&TracerName::new("goes")].len(), 1001);
        stand.take("again", 1002).await;
        stand.take("comes", 1).await;
        assert_eq!((stand.state("steady", "/pid"), stand.state("steady", "/starts")), (steady, json!(1)));
        assert!(stand.state("tick", "/runs").as_u64().unwrap() >= tick);
        stand.stop().await;
        assert_eq!((stand.account("goes").stored, stand.account("again").stored), (1001, 2002));
    });
}

#[test]
fn a_changed_host_section_affects_tracers_that_inherit_it_and_an_invalid_one_none() {
    real(async {
        let template = "[sp.own]\ncomm = [\"cat\"]\nkill_timeout = \"1s\"\n[sp.inherits]\ncomm = [\"cat\"]\n";
        let mut stand = Stand::new(&config(template));
        let mut other = config(template);
        other.subprocess.kill_timeout = "2s".parse().unwrap();
        other.shell.max_running = 3;
        let changes = stand.apply(&other).await;
        let setting = Change::new(What::Changed, Subject::Setting("shell.max_running".to_owned()));
        assert_eq!(changes, [tracer(What::Restarted, "inherits"), setting]);

        other.subprocess.line_limit = "1".parse().unwrap();
        other.template.sp.clear();
        let problems = stand.monitor.prepare(&other).err().unwrap();
        assert_eq!(problems[0].to_string(), "subprocess.line_limit: expected at least 1KiB");
        assert_eq!(stand.monitor.tracers().len(), 2);
        stand.stop().await;
    });
}

#[test]
fn from_nothing_to_both_kinds_and_back() {
    real(async {
        let mut stand = Stand::new(&config(""));
        assert!(stand.monitor.tracers().is_empty());
        stand.apply(&config(STEADY)).await;
        stand.take("steady", 1).await;
        stand.take("tick", 3).await;
        let pid = stand.state("steady", "/pid");
        // The same name for another kind of program.
        let swapped = "[sh.steady]\ncomm = [\"echo\", \"hello\"]\n";
        let changes = stand.apply(&config(swapped)).await;
        assert_eq!(changes, [tracer(What::Restarted, "steady"), tracer(What::Removed, "tick")]);
        gone(&pid).await;
        assert_eq!(stand.take("steady", 2).await[1]["output"], "hello\n");
        stand.apply(&config("")).await;
        assert!(stand.monitor.tracers().is_empty());
        stand.stop().await;
    });
}

#[test]
fn a_changed_interval_emits_no_output_again() {
    real(async {
        let template = |interval, text| {
            config(&format!("[sh.it]\ncomm = [\"echo\", \"{text}\"]\ninterval = \"{interval}\""))
        };
        let mut stand = Stand::new(&template("10ms", "one"));
        stand.counted("it", "/unchanged", 1).await;
        stand.apply(&template("20ms", "one")).await;
        stand.counted("it", "/unchanged", 2).await;
        assert_eq!(stand.state("it", "/emitted"), 0);
        stand.apply(&template("20ms", "two")).await;
        assert_eq!(stand.take("it", 2).await[1]["output"], "two\n");
        stand.stop().await;
    });
}

#[test]
fn a_detached_tracer_stays_detached_whatever_else_changes_about_it() {
    real(async {
        let mut stand = Stand::new(&config(STEADY));
        stand.take("steady", 1).await;
        let name = TracerName::new("steady");
        assert_eq!(stand.monitor.set_enabled(&name, false).await, Ok(true));
        let mut other = config(STEADY);
        other.subprocess.kill_timeout = "2s".parse().unwrap();
        assert_eq!(stand.apply(&other).await, [tracer(What::Restarted, "steady")]);
        let tracer = stand.monitor.tracers().remove(0);
        assert_eq!((tracer.is_wanted(), tracer.is_attached()), (false, false));
        assert_eq!(stand.monitor.set_enabled(&name, true).await, Ok(true));
        assert!(stand.monitor.tracers()[0].is_attached());
        stand.take("steady", 2).await;
        stand.stop().await;
    });
}

#[test]
fn a_tracer_that_was_given_up_can_be_attached_once_its_program_exists() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        let sh = format!("[sh.command]\ncomm = [{:?}]\ninterval = \"10ms\"\n", program.to_str().unwrap());
        let sp = format!("[sp.child]\ncomm = [{:?}]\n", program.to_str().unwrap());
        let mut stand = Stand::new(&config(&(sh + &sp)));
        for name in ["command", "child"] {
            let status = stand.given_up(name).await;
            assert!(status.first_cause.unwrap().contains("not found"));
            let refused = stand.monitor.set_enabled(&name.into(), true).await.unwrap_err().to_string();
            assert!(refused.contains("not found"), "{refused}");
        }
        fs::write(&program, "#!/bin/sh\necho '{\"type\":\"event\"}'; cat >/dev/null\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["command", "child"] {
            assert_eq!(stand.monitor.set_enabled(&name.into(), true).await, Ok(true));
            stand.take(name, 1).await;
            let status = stand.tracer(name).status();
            assert_eq!((status.phase, status.first_cause), (Phase::Running, None));
        }
        stand.stop().await;
    });
}

#[test]
fn a_tracer_that_has_finished_can_be_attached_again() {
    real(async {
        let dir = tempfile::tempdir().unwrap();
        let script = "event(pid=os.getpid()); sys.stdout.flush()\nsay(b'{\"type\":\"stopped\"}\\n')";
        let mut stand = Stand::new(&child(dir.path(), script, ""));
        assert_eq!(stand.given_up("it").await.phase, Phase::Finished);
        assert_eq!(stand.monitor.set_enabled(&"it".into(), true).await, Ok(true));
        let taken = stand.take("it", 2).await;
        assert_ne!(taken[0]["pid"], taken[1]["pid"]);
        stand.stop().await;
    });
}
