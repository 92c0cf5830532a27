//! Tests of a set of children on a paused clock: each kind of change, changes that are interrupted, and children that are
//! enabled and disabled at run time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::testkit::{Fault, Faulty, FaultyState, paused};
use actors::{AnyChild, ChildKind, ChildRef, ChildSet, Member, Phase, Spec, Supervisor, clock};
use model::{Change, Problem, Subject, What};

/// Time that a child needs to stop.
const STOP: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, PartialEq)]
struct Settings {
    name: &'static str,
    /// A child with another size has to be restarted.
    size: u32,
    note: u32,
    enabled: bool,
}

/// Settings of an enabled child.
fn of(name: &'static str, size: u32) -> Settings {
    Settings { name, size, note: 0, enabled: true }
}

fn disabled(name: &'static str, size: u32) -> Settings {
    Settings { enabled: false, ..of(name, size) }
}

/// Makes children that misbehave on command, and notes what happens to them.
struct Workers<const KEEPS_ACTOR: bool> {
    supervisor: Supervisor,
    log: Arc<Mutex<Vec<String>>>,
}

type Worker = (&'static str, ChildRef<Faulty, FaultyState>);

impl<const KEEPS_ACTOR: bool> ChildKind for Workers<KEEPS_ACTOR> {
    type Key = &'static str;
    type Settings = Settings;
    type Child = Worker;
    type Error = String;
    const KEEPS_ACTOR: bool = KEEPS_ACTOR;

    fn key(settings: &Settings) -> &'static str {
        settings.name
    }

    fn subject(settings: &Settings, before: Option<&Settings>) -> Subject {
        let size = |settings: &Settings| format!("{}{}", settings.name, settings.size);
        Subject::Filter(before.map_or(String::new(), |before| size(before) + " to ") + &size(settings))
    }

    fn enables(settings: &Settings) -> bool {
        settings.enabled
    }

    fn replaces(before: &Settings, after: &Settings) -> bool {
        before.size != after.size
    }

    fn actor((_, child): &Worker) -> &dyn AnyChild {
        child
    }

    fn starting(&self, all: &[&Settings]) {
        self.note(format!("starting {}", all.len()));
    }

    fn start(&self, settings: &Settings, before: Option<&Member<Self>>) -> Worker {
        let after = if before.is_some_and(|before| before.child.is_some()) { " after another" } else { "" };
        self.note(format!("start {}{}{after}", settings.name, settings.size));
        (settings.name, self.supervisor.spawn(Spec::new(settings.name), Faulty::new))
    }

    async fn stop(&self, (name, child): &Worker) {
        self.note(format!("stop {name}"));
        clock::sleep(STOP).await;
        child.stop().await;
    }

    async fn follow(&self, (name, child): &Worker, on: bool) -> Result<(), String> {
        self.note(format!("follow {name} {on}"));
        if *name == "bad" && on { Err(format!("{:?}", child.status().phase)) } else { Ok(()) }
    }

    async fn changed(&self, members: &[Member<Self>]) {
        self.note(format!("{} exist", members.iter().filter(|member| member.exists()).count()));
    }
}

impl<const KEEPS_ACTOR: bool> Workers<KEEPS_ACTOR> {
    fn note(&self, text: String) {
        self.log.lock().unwrap().push(text);
    }
}

fn set<const KEEPS_ACTOR: bool>(settings: &[Settings]) -> ChildSet<Workers<KEEPS_ACTOR>> {
    let workers = Workers { supervisor: Supervisor::new(), log: Arc::default() };
    let set = ChildSet::start_all(workers, settings.to_vec());
    events(&set);
    set
}

/// Takes the notes about what has happened.
fn events<const KEEPS_ACTOR: bool>(set: &ChildSet<Workers<KEEPS_ACTOR>>) -> Vec<String> {
    std::mem::take(&mut set.kind().log.lock().unwrap())
}

/// Makes the set follow these settings.
async fn apply<const KEEPS_ACTOR: bool>(
    set: &ChildSet<Workers<KEEPS_ACTOR>>,
    settings: Vec<Settings>,
) -> Vec<Change> {
    let change = set.prepare(Vec::new(), |set| async move { set.apply(settings).await });
    change.unwrap_or_else(|problems| panic!("{problems:?}")).await
}

fn change(what: What, name: &str) -> Change {
    Change::new(what, Subject::Filter(name.to_owned()))
}

fn names<const KEEPS_ACTOR: bool>(set: &ChildSet<Workers<KEEPS_ACTOR>>) -> Vec<&'static str> {
    set.members().iter().map(|member| member.settings.name).collect()
}

fn phase<const KEEPS_ACTOR: bool>(set: &ChildSet<Workers<KEEPS_ACTOR>>, name: &'static str) -> Option<Phase> {
    Some(set.get(&name)?.child?.1.status().phase)
}

#[test]
fn only_children_that_differ_are_touched_and_all_stop_before_one_starts() {
    paused(async {
        let set =
            set::<false>(&[of("keep", 1), of("goes", 1), of("again", 1), of("off", 1), disabled("on", 1)]);
        let begun = clock::now();
        let kept = set.get(&"keep").unwrap().child.unwrap().1;
        let after = [
            of("comes", 1),
            of("keep", 1),
            of("again", 2),
            disabled("off", 1),
            of("on", 1),
            disabled("never", 1),
        ];
        let changes = apply(&set, after.to_vec()).await;
        let expected = [
            change(What::Added, "comes1"),
            change(What::Restarted, "again1 to again2"),
            change(What::Removed, "off1"),
            change(What::Added, "on1"),
            change(What::Removed, "goes1"),
        ];
        assert_eq!(changes, expected);
        assert_eq!(begun.elapsed(), STOP, "all are stopped at the same time");
        let log = [
            "stop again",
            "stop off",
            "stop goes",
            "starting 3",
            "start comes1",
            "start again2 after another",
            "start on1",
            "follow comes true",
            "follow again true",
            "follow on true",
            "4 exist",
        ];
        assert_eq!(events(&set), log);
        assert_eq!(names(&set), ["comes", "keep", "again", "off", "on", "never"]);
        assert_eq!((kept.status().phase, kept.state().started), (Phase::Running, 1));
        assert!(set.get(&"off").unwrap().child.is_none());
        assert_eq!(apply(&set, after.to_vec()).await, []);
        assert_eq!(events(&set), ["4 exist"]);
    });
}

#[test]
fn settings_that_need_no_restart_are_taken_over() {
    paused(async {
        let set = set::<false>(&[of("a", 1)]);
        assert_eq!(apply(&set, vec![Settings { note: 7, ..of("a", 1) }]).await, []);
        assert_eq!((set.members()[0].settings.note, phase(&set, "a")), (7, Some(Phase::Running)));
    });
}

#[test]
fn a_change_whose_caller_is_gone_completes_before_the_next_one_begins() {
    paused(async {
        let set = set::<false>(&[of("a", 1)]);
        let first = tokio::time::timeout(STOP / 2, apply(&set, vec![of("a", 2), of("b", 1)])).await;
        assert!(first.is_err(), "the caller gives up while a child is being stopped");
        assert_eq!(names(&set), ["a"]);
        let second = apply(&set, vec![of("b", 2)]).await;
        assert_eq!(second, [change(What::Restarted, "b1 to b2"), change(What::Removed, "a2")]);
        let dropped = tokio::time::timeout(STOP / 2, set.set_enabled("b", false)).await;
        assert!(dropped.is_err());
        assert_eq!(set.set_enabled("b", false).await, Some(Ok(false)), "the first call has disabled it");
    });
}

#[test]
fn a_plan_changes_nothing_and_children_that_leave_are_listed_until_the_end() {
    paused(async {
        let set = set::<false>(&[of("goes", 1), of("again", 1)]);
        let mut steps = set.plan(vec![of("again", 2)]);
        assert_eq!((names(&set), events(&set).len()), (vec!["goes", "again"], 0));
        set.start(&mut steps);
        assert_eq!(names(&set), ["again", "again", "goes"]);
        set.stop(&steps).await;
        set.finish(&steps);
        assert_eq!((names(&set), phase(&set, "again")), (vec!["again"], Some(Phase::Running)));
    });
}

#[test]
fn a_child_disabled_at_run_time_stays_listed_until_its_settings_change() {
    paused(async {
        let (a, b) = (of("a", 1), of("b", 1));
        let set = set::<false>(&[a.clone(), b.clone()]);
        for name in ["a", "b"] {
            assert_eq!(set.set_enabled(name, false).await, Some(Ok(true)));
            assert_eq!(set.set_enabled(name, false).await, Some(Ok(false)));
        }
        assert_eq!(
            events(&set),
            ["stop a", "follow a false", "1 exist", "stop b", "follow b false", "0 exist"]
        );
        assert_eq!((set.members()[0].is_off(), phase(&set, "a")), (true, Some(Phase::Stopped)));
        assert_eq!(apply(&set, vec![a.clone(), b.clone()]).await, []);
        // Any other setting ends it, also one that needs no restart.
        let changed = vec![Settings { note: 1, ..a }, disabled("b", 1)];
        assert_eq!(apply(&set, changed).await, [change(What::Added, "a1"), change(What::Removed, "b1")]);
        assert_eq!((set.members()[0].is_off(), phase(&set, "a")), (false, Some(Phase::Running)));
        assert_eq!(phase(&set, "b"), None);
    });
}

#[test]
fn a_child_enabled_at_run_time_runs_until_its_settings_change() {
    paused(async {
        let settings = vec![disabled("a", 1), disabled("b", 1)];
        let set = set::<false>(&settings);
        for name in ["a", "b"] {
            assert_eq!(set.set_enabled(name, true).await, Some(Ok(true)));
            assert_eq!(set.set_enabled(name, true).await, Some(Ok(false)));
        }
        assert_eq!(events(&set)[..4], ["starting 1", "start a1", "follow a true", "1 exist"]);
        assert_eq!(apply(&set, settings).await, []);
        assert_eq!(phase(&set, "a"), Some(Phase::Running));
        // Disabled again, it is as its settings say, so nothing is kept of it.
        assert_eq!(set.set_enabled("b", false).await, Some(Ok(true)));
        assert_eq!(phase(&set, "b"), None);
        assert_eq!(apply(&set, vec![disabled("a", 2)]).await, [change(What::Removed, "a1")]);
        assert_eq!(phase(&set, "a"), None);
    });
}

#[test]
fn a_disabled_child_can_keep_its_actor() {
    paused(async {
        let set = set::<true>(&[of("a", 1)]);
        let child = set.get(&"a").unwrap().child.unwrap().1;
        assert_eq!(set.set_enabled("a", false).await, Some(Ok(true)));
        assert_eq!((set.members()[0].is_off(), child.status().phase), (true, Phase::Running));
        assert_eq!(apply(&set, vec![of("a", 1)]).await, []);
        assert_eq!(set.set_enabled("a", true).await, Some(Ok(true)));
        assert_eq!(set.set_enabled("a", true).await, Some(Ok(false)));
        assert_eq!(events(&set), ["follow a false", "1 exist", "1 exist", "follow a true", "1 exist"]);
        assert_eq!((child.status().phase, child.state().started), (Phase::Running, 1));
        assert_eq!(set.set_enabled("a", false).await, Some(Ok(true)));
        assert_eq!(apply(&set, vec![of("a", 2)]).await, [change(What::Restarted, "a1 to a2")]);
        assert_eq!((set.members()[0].is_off(), child.status().phase), (false, Phase::Stopped));
    });
}

#[test]
fn a_child_that_was_given_up_can_be_enabled_again() {
    paused(async {
        let give_up = async |child: ChildRef<Faulty, FaultyState>| {
            let _ = child.ask(Fault::GiveUp).await;
            child.ended().await.phase
        };
        let replaced = set::<false>(&[of("a", 1)]);
        assert_eq!(give_up(replaced.get(&"a").unwrap().child.unwrap().1).await, Phase::GivenUp);
        assert_eq!(apply(&replaced, vec![of("a", 1)]).await, [], "its settings are the same");
        assert_eq!(replaced.set_enabled("a", true).await, Some(Ok(true)));
        assert_eq!(phase(&replaced, "a"), Some(Phase::Running));
        assert_eq!(give_up(replaced.get(&"a").unwrap().child.unwrap().1).await, Phase::GivenUp);
        assert_eq!(replaced.set_enabled("a", false).await, Some(Ok(true)));

        let kept = set::<true>(&[of("a", 1)]);
        assert_eq!(give_up(kept.get(&"a").unwrap().child.unwrap().1).await, Phase::GivenUp);
        assert_eq!(kept.set_enabled("a", false).await, Some(Ok(false)));
        assert_eq!(kept.set_enabled("a", true).await, Some(Ok(true)));
        assert_eq!(events(&kept), ["follow a true", "1 exist"]);
    });
}

#[test]
fn a_child_that_does_not_follow_is_enabled_all_the_same() {
    paused(async {
        let set = set::<false>(&[disabled("bad", 1)]);
        assert_eq!(set.set_enabled("bad", true).await, Some(Err("Starting".to_owned())));
        assert!(!set.members()[0].is_off());
        assert_eq!(set.set_enabled("other", true).await, None);
        assert_eq!(apply(&set, vec![of("bad", 1)]).await, [], "it runs, and its settings agree now");
    });
}

#[test]
fn a_change_with_a_problem_can_not_be_made() {
    paused(async {
        let set = set::<false>(&[of("a", 1)]);
        let change = |problems| set.prepare(problems, |set| async move { set.apply(vec![of("a", 2)]).await });
        let problem = || vec![Problem::new("a.size", "too large")];
        assert_eq!(change(problem()).err(), Some(problem()));
        drop(change(Vec::new()).unwrap_or_else(|_| unreachable!()));
        assert_eq!(events(&set).len(), 0, "a change that is dropped before it was awaited changes nothing");
        let changes = change(Vec::new()).unwrap_or_else(|_| unreachable!()).await;
        assert_eq!(changes, [self::change(What::Restarted, "a1 to a2")]);
    });
}
