//! `uses`, `process` and `lineage` take the same targets, have the same exit codes, and write times, amounts and names in the same way.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tests::workload::python;
use tests::{Setup, Store, suite};

const UID: u32 = 9981;

suite! {
    threads: 1;
    each_target_is_taken_by_each_command_that_can_answer: [Kernel, Python];
    names_that_tables_print_are_targets: [Kernel, Python];
    what_renamed_folders_hide_is_said: [Kernel, Python]
}

/// Copies a file; the pid of the process is also the name of another file.
const COPY: &str = r"
import os
data = open('source', 'rb').read()
open('copy', 'wb').write(data)
open(str(os.getpid()), 'w').write('x')
print(os.getpid())
";

fn ask(store: &Store, words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = store.run(words);
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn each_target_is_taken_by_each_command_that_can_answer() {
    let agent = Setup::new().set("ebpf.uids", &format!("[{UID}]")).start();
    let folder = agent.scratch().folder("targets");
    std::fs::write(folder.join("source"), [7; 3000]).unwrap();
    let pid = String::from_utf8(python(UID, &folder, COPY, &[]).stdout).unwrap().trim().to_owned();
    let agent = agent.finish();
    let store = agent.store();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();

    // The numbers and names of one answer are targets of the others.
    let uses = store.json(&["uses", &path("source"), "--format", "json"]);
    let process = &uses["rows"][0]["group"];
    let exec_id = process["exec_id"].as_str().unwrap();
    let file_id = uses["targets"][0]["file_id"].as_str().unwrap();
    let program = Path::new(process["exe"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
    for target in [
        &pid,
        exec_id,
        &format!("pid:{pid}"),
        &format!("exec:{exec_id}"),
        &format!("process:{exec_id}"),
        &format!("{program}[{pid}]"),
        &format!("{program}[{pid}] {exec_id}"),
    ] {
        let found = store.json(&["process", target, "--format", "json"]);
        assert_eq!(found["process"]["exec_id"], exec_id, "{target}");
        let found = store.json(&["lineage", target, "--format", "json"]);
        assert_eq!(names(&found, "/copy"), 1, "{target}: {found}");
    }
    for target in
        [path("source"), format!("id:{file_id}"), format!("file:{file_id}"), format!("file:{file_id}/0")]
    {
        let found = store.json(&["uses", &target, "--format", "json"]);
        assert_eq!(found["rows"][0]["bytes_read"], 3000, "{target}: {found}");
        let found = store.json(&["lineage", &target, "--format", "json"]);
        assert_eq!(names(&found, "/copy"), 1, "{target}: {found}");
    }

    words_are_the_same(store, &uses, (&path("source"), &pid));

    // A number that is a file in the working folder and a process is neither without more.
    let own = |words: &[&str]| {
        let mut command = Command::new(tests::binary::agent());
        command.args(words).arg("--workdir").arg(store.workdir()).current_dir(&folder);
        let Output { status, stderr, .. } = command.output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    };
    let (code, error) = own(&["lineage", &pid]);
    assert!(
        code == Some(1) && error.contains("can be the file") && error.contains(&format!("pid:{pid}")),
        "{error}"
    );
    assert_eq!(own(&["lineage", &format!("./{pid}")]).0, Some(0));
    assert_eq!(own(&["lineage", &format!("pid:{pid}")]).0, Some(0));
    nothing_is_said_in_one_way(store);
    what_a_command_is_not_about_is_refused(store, &path("source"));
}

/// A table has the same words for a process, an amount and a time as a tree.
fn words_are_the_same(store: &Store, uses: &Value, (source, pid): (&str, &str)) {
    let process = &uses["rows"][0]["group"];
    let exec_id = process["exec_id"].as_str().unwrap();
    let program = Path::new(process["exe"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
    let (_, table, _) = ask(store, &["uses", source, "--utc"]);
    let (_, tree, _) = ask(store, &["lineage", source, "--utc"]);
    let (_, text, _) = ask(store, &["process", exec_id, "--utc"]);
    let shown = format!("{program}[{pid}]");
    let time = &uses["rows"][0]["first"].as_str().unwrap()[..23].replace('T', " ");
    assert!(table.contains(&format!("{shown}  {exec_id}")) && table.contains("3000 bytes"), "{table}");
    assert!(tree.contains(&format!("→ {shown}  [")) && tree.contains("3000 bytes"), "{tree}");
    assert!(text.starts_with(&format!("{shown} {exec_id}  ")) && text.contains("3000 bytes"), "{text}");
    // The file was new when it was opened with O_TRUNC.
    assert!(!tree.contains("(contents"), "{tree}");
    let bounded = store.json(&["uses", source, "--until", "2100-01-01", "--utc", "--format", "json"]);
    assert_eq!(bounded["until"], "2100-01-01T00:00:00.000000000+00:00");
    let year = &time[..5];
    for answer in [&table, &tree, &text] {
        let times: Vec<&str> =
            answer.match_indices(year).map(|(at, _)| &answer[at..(at + 29).min(answer.len())]).collect();
        assert!(!times.is_empty() && times.iter().all(|time| is_time(time)), "{times:?}");
    }
}

/// Returns the number of nodes whose name ends so.
fn names(answer: &Value, end: &str) -> usize {
    let nodes = answer["nodes"].as_array().unwrap();
    nodes.iter().filter(|node| node["name"].as_str().unwrap().ends_with(end)).count()
}

fn is_time(text: &str) -> bool {
    let form = "dddd-dd-dd dd:dd:dd.ddd+00:00";
    text.len() == form.len()
        && text
            .chars()
            .zip(form.chars())
            .all(|(one, kind)| if kind == 'd' { one.is_ascii_digit() } else { one == kind })
}

fn nothing_is_said_in_one_way(store: &Store) {
    for (words, what) in [
        (["uses", "/no/such/file"], "nothing is recorded of /no/such/file: no row has this path, from 2"),
        (["uses", "id:1:2"], "nothing is recorded of id:1:2: no row has this identity, from 2"),
        (["uses", "/no/such/"], "no row has a path below this folder, from 2"),
        (["lineage", "/no/such/file"], "nothing is recorded of /no/such/file: no row has this path, from 2"),
        (["lineage", "id:1:2"], "no row has this identity, from 2"),
        (
            ["lineage", "pid:4000000"],
            "nothing is recorded of pid:4000000: no row is of such a process, from 2",
        ),
        (["lineage", "pipe:1"], "nothing is recorded of pipe:1: no row names it, from 2"),
        (["process", "4000000"], "nothing is recorded of pid:4000000: no row is of such a process, from 2"),
        (["process", "nosuch"], "nothing is recorded of comm:nosuch: no row is of such a process, from 2"),
    ] {
        let (code, out, error) = ask(store, &words);
        assert!(
            code == Some(1) && out.is_empty() && error.contains(what),
            "{words:?}: {code:?} {out} {error}"
        );
        let (code, out, error) = ask(store, &[&words[..], &["--format", "json"]].concat());
        let answer: Value = serde_json::from_str(&out).unwrap();
        assert!(
            code == Some(1) && error.contains(what) && answer["gaps"].is_array(),
            "{words:?}: {code:?} {out} {error}"
        );
    }
    let (code, _, error) =
        ask(store, &["uses", "/no/such", "--since", "2001-01-01", "--until", "2001-01-02"]);
    assert!(code == Some(1) && error.contains("other times were not searched"), "{error}");
}

fn what_a_command_is_not_about_is_refused(store: &Store, path: &str) {
    for (words, command) in [
        (["uses", "pid:1"], "`process pid:1`".to_owned()),
        (["uses", "pipe:1"], "`lineage pipe:1`".to_owned()),
        (["process", path], format!("`uses {path}`")),
    ] {
        let (code, _, error) = ask(store, &words);
        assert!(code == Some(2) && error.contains(&command), "{words:?}: {error}");
    }
}

/// Makes files whose names need care, and reads them.
const NAMES: &str = r"
import os, sys
for number, name in enumerate([b'nl\nname\x1b[31mRED', b'a[1].csv', b'a1.csv', b'it\'s \\ a*', b'caf\xe9', b'\xe2\x80\xaeevil', b'$HOME `id`']):
    path = os.getcwd().encode() + b'/names/' + name
    file = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    os.write(file, b'x' * (number + 1))
";

fn names_that_tables_print_are_targets() {
    let agent = Setup::new().set("ebpf.uids", &format!("[{UID}]")).start();
    let folder = agent.scratch().folder("odd");
    std::fs::create_dir(folder.join("names")).unwrap();
    std::os::unix::fs::chown(folder.join("names"), Some(UID), Some(UID)).unwrap();
    python(UID, &folder, NAMES, &[]);
    let agent = agent.finish();
    let store = agent.store();
    let below = format!("{}/names/", folder.display());
    let (_, table, _) = ask(store, &["uses", &below]);
    let lines = table.lines().take_while(|line| !line.is_empty());
    let mut sizes = Vec::new();
    for line in lines {
        let word = line.rsplit_once(" (id:").unwrap().0;
        // As it is, and as a shell passes it.
        let by_shell = Command::new("bash")
            .args([
                "-c",
                &format!(
                    "{} uses {word} --by user --format json --workdir {}",
                    tests::binary::agent().display(),
                    store.workdir().display()
                ),
            ])
            .output()
            .unwrap();
        let by_shell: Value = serde_json::from_slice(&by_shell.stdout).unwrap();
        let plain = store.json(&["uses", word, "--by", "user", "--format", "json"]);
        for answer in [&by_shell, &plain] {
            assert_eq!(answer["files"], 1, "{word}: {answer}");
            assert_eq!(answer["rows"], plain["rows"], "{word}");
        }
        sizes.push(plain["rows"][0]["bytes_written"].as_u64().unwrap());
    }
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 3, 4, 5, 6, 7], "{table}");
}

/// Renames a folder, and deletes a file in it under the new path.
const RENAMED: &str = r"
import os
os.mkdir('names/old')
open('names/old/file', 'w').write('x')
open('names/other', 'w').write('x')
os.rename('names/old', 'names/new')
os.remove('names/new/file')
";

fn what_renamed_folders_hide_is_said() {
    let agent = Setup::new().set("ebpf.uids", &format!("[{UID}]")).set("ebpf.tier", "\"tracepoint\"").start();
    let folder = agent.scratch().folder("renamed");
    std::fs::create_dir(folder.join("names")).unwrap();
    std::os::unix::fs::chown(folder.join("names"), Some(UID), Some(UID)).unwrap();
    python(UID, &folder, RENAMED, &[]);
    let agent = agent.finish();
    let spots = |name: &str| {
        let path = format!("{}/names/{name}", folder.display());
        let answer = agent.store().json(&["uses", &path, "--format", "json"]);
        let blind = answer["blind"].as_array().unwrap().clone();
        blind
            .into_iter()
            .filter(|spot| spot["what"].as_str().unwrap().contains("was renamed to"))
            .collect::<Vec<_>>()
    };
    let found = spots("old/file");
    assert!(found.len() == 1 && found[0]["touches"] == true && found[0]["tracer"] == "rename", "{found:?}");
    assert_eq!(spots("other"), Vec::<Value>::new());
}
