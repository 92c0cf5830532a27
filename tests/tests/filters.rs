//! Filters by expression on the real agent: what they drop is counted under their name, what they have no answer for is
//! kept and counted, a wrong one is refused before anything runs; and `query --where` says the same of stored rows.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::workload::generate;
use tests::{Agent, Scratch, Setup, Store, suite, until};

const DEADLINE: Duration = Duration::from_secs(30);

suite! {
    threads: 2;
    expressions_drop_and_keep_and_are_counted: [Kernel];
    what_has_no_answer_is_kept_and_counted: [];
    a_wrong_expression_is_refused_with_line_and_column: [];
    a_filter_that_drops_everything_is_warned_of: [];
    a_test_that_no_row_can_pass_is_warned_of: [];
    a_path_that_is_not_known_as_a_whole_is_kept_and_counted: [Kernel]
}

/// The collector's counts of one filter, dropped or undecided.
fn counts(agent: &Agent, what: &str, filter: &str) -> Value {
    agent.actor("collector")["state"][what][filter].clone()
}

/// Returns how many records one filter dropped, in the kernel and in the collector.
fn filtered(agent: &Agent, filter: &str) -> u64 {
    let in_kernel = agent.actor("ebpf")["state"]["filtered"][filter].as_u64().unwrap_or_default();
    in_kernel + counts(agent, "filtered", filter).as_u64().unwrap_or_default()
}

/// Opens a file of that name in `folder` so often.
fn open(uid: u32, folder: &std::path::Path, name: &str, count: u32) {
    let file = folder.join(name);
    std::fs::write(&file, "").unwrap();
    generate(uid, &["open", file.to_str().unwrap(), "--count", &count.to_string()]);
}

fn expressions_drop_and_keep_and_are_counted() {
    let (scratch, data) = (Scratch::new(), Scratch::new());
    let folder = data.folder("data");
    let ours = format!("uid in [9961, 9962] && fname.startsWith({:?})", folder.to_str().unwrap());
    // One drops for all tracers, one keeps for one of them, one needs what is only looked up later.
    let config = format!(
        "[filter.noise]\ndrop = '''{ours} && fname.endsWith('/noise')'''\n\
         [filter.only_sets]\nkeep = '''!({ours}) || fname.matches('/(set|late)$')'''\ntracers = ['open']\n\
         [filter.late]\ndrop = '''{ours} && uid == 9962 && exe.contains('generator') && cwd != null'''\n"
    );
    let file = scratch.file("config.toml", config);
    let agent = Setup::new().options(&["--config", file.to_str().unwrap()]).start();
    for (uid, name, count) in
        [(9961, "noise", 23), (9961, "set", 19), (9961, "other", 17), (9962, "late", 13)]
    {
        open(uid, &folder, name, count);
    }
    until("everything filtered", DEADLINE, || {
        (["noise", "only_sets", "late"].map(|filter| filtered(&agent, filter)) == [23, 17, 13]).then_some(())
    });
    let shown = agent.store().run(&["status"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("filter noise: 23 filtered"), "{shown:?}");

    let agent = agent.finish();
    let store = agent.store();
    assert_eq!(store.query("open", &[&ours]).len(), 19);
    assert_eq!(store.query("open", &[&ours, "uid=9961", "fname.endsWith('/set') && ret >= 0"]).len(), 19);
    assert_eq!(
        store.query("open", &["uid == 9961 && 'O_RDONLY' in flags && fname.endsWith('/set')"]).len(),
        19
    );
    // Other tracers' rows of these users are there, and say so themselves.
    let others =
        store.json(&["query", "--where", "uid == 9961 && tracer == 'exit' && code == 0", "--format", "json"]);
    assert!(others.as_array().is_some_and(|rows| !rows.is_empty()), "{others}");
    store.assert_conserved_to_the_row();
}

fn what_has_no_answer_is_kept_and_counted() {
    let scratch = Scratch::new();
    let sizes = scratch.file("sizes", "{\"size\": 500}\n{\"size\": \"large\"}\n{\"size\": 1}\n");
    let config = format!(
        "[tracer.template.sh.sizes]\ncomm = [\"cat\", {sizes:?}]\nparse = \"jsonl\"\n\
         [filter.large]\ndrop = \"extended.size > 100\"\ntracers = [\"sizes\"]\n"
    );
    let file = scratch.file("config.toml", config);
    let setup = Setup::new().set("ebpf.disabled", "true").set("tracer.uname.disabled", "true");
    let agent = setup.options(&["--config", file.to_str().unwrap()]).start();
    until("what is not dropped stored", DEADLINE, || (agent.tracer("sizes")["stored"] == 2).then_some(()));
    assert_eq!(counts(&agent, "filtered", "large"), 1);
    let cause = "> does not take string";
    assert_eq!(counts(&agent, "undecided", "large"), json!({"rows": 1, "first_cause": cause}));
    let shown = agent.store().run(&["status"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.contains(&format!("filter large has no answer for 1 rows, which are kept: {cause}")),
        "{shown}"
    );

    let agent = agent.finish();
    let asked = agent.store().run(&["query", "--where", "extended.size < 100", "--format", "jsonl"]);
    assert_eq!(String::from_utf8_lossy(&asked.stdout).lines().count(), 1);
    let warned = String::from_utf8_lossy(&asked.stderr).into_owned();
    assert!(warned.contains("has no answer for 1 rows, which are left out"), "{warned}");
    agent.store().assert_conserved_to_the_row();
}

fn a_wrong_expression_is_refused_with_line_and_column() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path().join("work"));
    let file = scratch.file(
        "config.toml",
        "[filter.mine]\ndrop = \"uid == 'root'\"\nkeep = \"true\"\n[filter.two]\nkeep = \"pidd > 1\"\n",
    );
    let refused = |arguments: &[&str]| {
        let output = store.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let output = refused(&["start", "--duration", "1ms", "--config", file.to_str().unwrap()]);
    for words in [
        "config.toml:3: filter.mine.keep: expected drop or keep, found both",
        "config.toml:5: filter.two.keep: 1:1: unknown field \"pidd\", did you mean \"pid\"?",
    ] {
        assert!(output.contains(words), "{output}");
    }
    let output = refused(&["start", "--duration", "1ms", "--set", "filter.x.drop=uid == 'root'"]);
    assert!(output.contains("filter.x.drop: 1:5: operator == does not take int and string"), "{output}");
    assert!(!store.database().exists());
    // The place is shown to people.
    let output = refused(&["query", "--where", "uid == 0 && fname > 3"]);
    assert!(
        output.contains(
            "1:19: operator > does not take string and int\n  uid == 0 && fname > 3\n                    ^"
        ),
        "{output}"
    );
}

fn a_filter_that_drops_everything_is_warned_of() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path().join("work"));
    let file = scratch.file("config.toml", "[filter.mine]\nre_exclude_fname = ['(?!/data/)']\n");
    let output = store.run(&["config", "validate", "--config", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && text.contains("found in every text"), "{text}");
    assert!(text.contains("write \"^(?!/data/)\""), "{text}");
}

fn a_test_that_no_row_can_pass_is_warned_of() {
    let scratch = Scratch::new();
    let store = Store::at(scratch.path().join("work"));
    let config = "[filter.pattern]\nexclude_uid = ['root', 'nobody-here']\n\
                  [filter.mine]\ntracers = ['openat', 'open']\ndrop = \"errno == 'eacces'\"\n\
                  [filter.long]\ndrop = \"comm == 'sixteen-bytes-xx' || 'O_CREATE' in flags\"\n";
    let file = scratch.file("config.toml", config);
    let output = store.run(&["config", "validate", "--config", file.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    for warning in [
        "filter.pattern.exclude_uid[1]: this machine has no user \"nobody-here\"",
        "filter.mine.tracers[0]: no tracer is called \"openat\", did you mean \"open\"?",
        "filter.mine.drop: no row has \"eacces\" in errno, did you mean \"EACCES\"?",
        "filter.long.drop: no row has \"sixteen-bytes-xx\" in comm: the kernel keeps only the first 15 bytes",
        "filter.long.drop: no row has \"O_CREATE\" in flags, did you mean \"O_CREAT\"?",
    ] {
        assert!(text.contains(warning), "{warning}: {text}");
    }
    assert_eq!(text.matches("warning: ").count(), 5, "{text}");
}

/// The kernel side follows a path up to 256 folders: above them it may begin anywhere.
fn a_path_that_is_not_known_as_a_whole_is_kept_and_counted() {
    let (scratch, data) = (Scratch::new(), Scratch::new());
    let folder = data.folder("data");
    let mut deep = folder.clone();
    deep.extend(std::iter::repeat_n("d", 300));
    std::fs::create_dir_all(&deep).unwrap();
    let starts = format!("fname.startsWith({:?})", folder.to_str().unwrap());
    let config = format!("[filter.deep]\nkeep = '''uid != 9963 || {starts}'''\ntracers = ['open']\n");
    let file = scratch.file("config.toml", config);
    let agent = Setup::new().options(&["--config", file.to_str().unwrap()]).start();
    open(9963, &deep, "kept", 7);
    open(9963, &folder, "kept", 5);
    open(9963, scratch.path(), "dropped", 3);
    let store = agent.store();
    let of_user = |store: &Store| store.query("open", &["uid=9963"]);
    until("the last rows", DEADLINE, || (of_user(store).len() >= 12).then_some(()));
    let rows = of_user(store);
    let in_doubt = rows.iter().filter(|row| row["extended"]["path_incomplete"] == true).count();
    assert_eq!((rows.len(), in_doubt), (12, 7), "{rows:?}");
    assert_eq!(counts(&agent, "undecided", "deep")["rows"], 7);
    let shown = store.run(&["status"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        text.contains("filter deep has no answer for 7 rows, which are kept: the path is not known"),
        "{text}"
    );
    let output = store.run(&["query", "--tracer", "open", "--where", "uid == 9963", "--where", &starts]);
    let (out, text) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(out.matches("/kept").count(), 5, "{out}");
    assert!(text.contains("--where has no answer for 7 rows"), "{text}");
}
