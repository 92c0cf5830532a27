//! `uses` and `process` on what the agent recorded: the sums are those that a program knows it has done.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use tests::workload::python;
use tests::{Agent, Setup, suite};

const OWNER: u32 = 9961;
const OTHER: u32 = 9962;

suite! {
    threads: 1;
    a_file_is_followed_under_all_its_names: [Kernel, Python];
    a_process_is_shown_with_its_kin: [Kernel, Python]
}

/// Uses the files of the folder that it starts in.
const USES: &str = r"
import mmap, os

def read(path, count):
    file = os.open(path, os.O_RDONLY)
    assert len(os.read(file, count)) == count
    os.close(file)

read('data/a', 3000)
os.link('data/a', 'other/hard')
read('other/hard', 2000)
read('bound/a', 1000)
os.rename('data/a', 'data/b')
file = os.open('data/b', os.O_RDWR)
assert os.write(file, b'x' * 500) == 500
mmap.mmap(file, 4096, prot=mmap.PROT_READ).close()
copy = os.open('other/copy', os.O_WRONLY | os.O_CREAT, 0o600)
assert os.copy_file_range(file, copy, 1500, 0) == 1500
os.close(file)
os.close(copy)
os.unlink('other/hard')
file = os.open('data/c', os.O_WRONLY | os.O_CREAT, 0o600)
assert os.write(file, b'y' * 700) == 700
os.close(file)
os.chmod('data/c', 0o640)
os.truncate('data/c', 10)
";

/// Tries to use a file of another user.
const REFUSED: &str = r"
import os
try:
    os.open('data/b', os.O_RDONLY)
except PermissionError:
    pass
else:
    raise AssertionError
";

/// A folder that is mounted at a second one until it is dropped.
struct Bound<'a>(&'a Path);

impl<'a> Bound<'a> {
    fn new(from: &Path, to: &'a Path) -> Self {
        mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
        Self(to)
    }
}

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        // A folder that stays mounted would be emptied with the test's folder.
        umount2(self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

fn ask(agent: &Agent, words: &[&str]) -> Value {
    let output = agent.store().run(&[words, &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns the numbers of a user's row that are not 0, without calls.
fn sums(answer: &Value, uid: u32) -> Value {
    let rows = answer["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["group"]["uid"] == uid).unwrap_or(&Value::Null);
    let numbers = row.as_object().into_iter().flatten();
    let numbers = numbers.filter(|(name, value)| {
        value.as_u64().is_some_and(|number| number > 0) && !name.starts_with("calls")
    });
    Value::Object(numbers.map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn a_file_is_followed_under_all_its_names() {
    let agent = Setup::new().set("ebpf.uids", &format!("[{OWNER}, {OTHER}]")).start();
    let folder = agent.scratch().folder("uses");
    for name in ["data", "other", "bound"] {
        fs::create_dir(folder.join(name)).unwrap();
        chown(folder.join(name), Some(OWNER), Some(OWNER)).unwrap();
        fs::set_permissions(folder.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let file = folder.join("data/a");
    fs::write(&file, vec![b'z'; 10_000]).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    chown(&file, Some(OWNER), Some(OWNER)).unwrap();
    {
        let (from, to) = (folder.join("data"), folder.join("bound"));
        let _bound = Bound::new(&from, &to);
        python(OWNER, &folder, USES, &[]);
        python(OTHER, &folder, REFUSED, &[]);
    }
    let agent = agent.finish();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();

    let answer = ask(&agent, &["uses", &path("data/a"), "--by", "user"]);
    let [target] = answer["targets"].as_array().unwrap().as_slice() else { panic!("{answer}") };
    let names = target["names"].as_array().unwrap().iter().map(|name| name["path"].as_str().unwrap());
    let mut names = names.collect::<Vec<_>>();
    names.sort_unstable();
    assert_eq!(names, ["bound/a", "data/a", "data/b", "other/hard"].map(path), "{answer}");
    let expected = json!({
        "bytes_read": 7500, "bytes_written": 500, "bytes_mapped": 4096, "bytes_copied": 1500, "opens": 4,
        "renames": 1, "deletes": 1, "links": 1,
    });
    assert_eq!(sums(&answer, OWNER), expected, "{answer}");
    assert_eq!(sums(&answer, OTHER), json!({"refused": 1}), "{answer}");
    assert_eq!(answer["gaps"], json!([]), "{answer}");

    let answer = ask(&agent, &["uses", &format!("{}/", path("data")), "--by", "user"]);
    let expected = json!({
        "bytes_read": 7500, "bytes_written": 1200, "bytes_mapped": 4096, "bytes_copied": 1500, "opens": 5,
        "renames": 1, "deletes": 1, "links": 1, "attrs": 1, "truncations": 1,
    });
    assert_eq!(sums(&answer, OWNER), expected, "{answer}");
    assert_eq!(sums(&answer, OTHER), json!({"refused": 1}), "{answer}");

    // The same by the identity, and by a label.
    let id = format!("id:{}", target["file_id"].as_str().unwrap());
    let label = format!("label.it.files=[{:?}]", path("data/a"));
    let by_id = ask(&agent, &["uses", &id, "--by", "user"]);
    let by_label = ask(&agent, &["--set", &label, "uses", "label:it", "--by", "user"]);
    for answer in [by_id, by_label] {
        assert_eq!(sums(&answer, OWNER)["bytes_read"], 7500, "{answer}");
        assert_eq!(answer["targets"][0]["file_id"], target["file_id"], "{answer}");
    }

    // What was made of the label's file has its bytes, too.
    let derived = ask(&agent, &["--set", &label, "uses", "label:it", "--by", "user", "--derived"]);
    let targets = derived["targets"].as_array().unwrap();
    let has = |name: &str| targets.iter().any(|target| target["names"][0]["path"] == path(name));
    assert!(has("other/copy"), "{derived}");
    assert_eq!(sums(&derived, OWNER)["bytes_read"], 7500, "the copy was not read: {derived}");
    assert!(sums(&derived, OWNER)["bytes_written"].as_u64() >= Some(500 + 1500), "{derived}");
}

/// Runs a program, which runs another one, and waits for it.
const FAMILY: &str = r"
import os, subprocess, sys
file = os.open('read', os.O_RDONLY)
os.read(file, 100)
subprocess.run(['/bin/sh', '-c', 'cat read > written; exit 3'])
try:
    os.kill(1, 0)
except PermissionError:
    pass
print(os.getpid())
";

fn a_process_is_shown_with_its_kin() {
    let agent = Setup::new().set("ebpf.uids", &format!("[{OWNER}]")).start();
    let folder = agent.scratch().folder("kin");
    chown(&folder, Some(OWNER), Some(OWNER)).unwrap();
    fs::write(folder.join("read"), vec![b'z'; 1000]).unwrap();
    let output = python(OWNER, &folder, FAMILY, &[]);
    let pid: i64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let agent = agent.finish();
    let answer = ask(&agent, &["process", &pid.to_string()]);
    assert_eq!(answer["process"]["pid"], pid, "{answer}");
    assert_eq!(
        (&answer["process"]["code"], &answer["process"]["uid"]),
        (&json!(0), &json!(OWNER)),
        "{answer}"
    );
    let file = |name: &str| {
        let path = folder.join(name);
        let files = answer["files"].as_array().unwrap();
        files.iter().find(|file| file["path"] == path.to_str().unwrap()).cloned().unwrap_or_default()
    };
    assert_eq!(file("read")["bytes_read"], 100, "{answer}");
    assert!(file("written").is_null(), "{answer}");
    let descendants = answer["descendants"].as_array().unwrap();
    let shell = descendants.iter().find(|one| one["code"] == 3).unwrap();
    assert_eq!(shell["argv"][2], "cat read > written; exit 3", "{answer}");
    assert_eq!(shell["parent_exec_id"], answer["process"]["exec_id"], "{answer}");
    assert!(!answer["execs"].as_array().unwrap().is_empty(), "{answer}");
    // The environment of a test can have folders of libraries that this user may not read.
    let refused = answer["refused"].as_array().unwrap();
    assert!(refused.iter().any(|call| call["tracer"] == "kill" && call["errno"] == "EPERM"), "{answer}");
    // The shell's answer has this process among its ancestors.
    let answer = ask(&agent, &["process", shell["exec_id"].as_str().unwrap()]);
    let ancestors = answer["ancestors"].as_array().unwrap();
    assert!(ancestors.iter().any(|one| one["pid"] == pid), "{answer}");
}
