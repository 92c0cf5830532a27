//! Common programs at work, under ptrace: each call that makes a row, with its path and its result, and each byte that goes
//! through a file, a pipe or a socket.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::workload::succeed;
use tests::{Agent, Store, binary};

use crate::{Sums, assert_same, field};

pub(crate) const UID: u32 = 9956;

/// Name and script of a shell, which runs in a folder of its own that has a folder `tree`.
type Workload = (&'static str, &'static str);

/// Workloads of programs that virtual machines have, too.
pub(crate) const SMALL: &[Workload] = &[
    (
        "tar",
        "tar -cf tree.tar tree && mkdir out && tar -xpf tree.tar -C out && tar -czf tree.tgz tree && \
         tar -df tree.tar && tar -tzf tree.tgz",
    ),
    (
        "rsync",
        "rsync -aH tree/ copy && echo more >> tree/a && rm tree/c && \
         rsync -aH --delete --no-whole-file tree/ copy",
    ),
    ("sqlite3", concat!("sqlite3 base \"", include_str!("workload.sql"), "\"")),
    ("python3", concat!("/usr/bin/python3 -B -c '", include_str!("workload.py"), "'")),
];

/// Workloads of programs that are too large for virtual machines.
pub(crate) const LARGE: &[Workload] = &[
    (
        "git",
        "git init -q -b main work && cd work && git config user.email a@b.c && git config user.name a && \
         cp -R ../tree . && git add . && git commit -qm one && git checkout -qb side && \
         git mv tree/a tree/moved && echo more >> tree/b && git commit -qam two && git checkout -q main && \
         rm tree/c && git commit -qam three && git merge -q -m merged side && git gc -q && \
         git fsck --no-progress && git log --stat > ../log && cd .. && git clone -q work clone && \
         git -C clone status --short",
    ),
    (
        "vim",
        "vim -es -N -u NONE -i NONE -c 'set backup' -c '%s/1/2/ge' -c '%!sort' -c wq tree/a; \
         vim -es -N -u NONE -i viminfo -c 'split tree/c' -c 'normal Goend' -c wqall tree/b; test -s tree/b",
    ),
    (
        "gcc",
        "echo 'int two(void) { return 2; }' > two.c && \
         printf '#include <stdio.h>\\nint two(void);\\nint main(void) { return printf(\"x\") - two() + 1; }' > one.c && \
         gcc -O1 -c two.c && ar cr two.a two.o && gcc -pipe -o one one.c two.a && ./one > out",
    ),
];

/// Workloads of runtimes with many threads, which are too large for virtual machines.
pub(crate) const RUNTIMES: &[Workload] = &[
    ("node", concat!("node - <<'END'\n", include_str!("workload.js"), "END\n")),
    (
        "java",
        concat!(
            "cat > Workload.java <<'END'\n",
            include_str!("Workload.java"),
            "END\njavac Workload.java && java Workload"
        ),
    ),
];

/// Tracers of calls that the programs could make.
pub(crate) const TRACERS: &[&str] = &[
    "accept",
    "attr",
    "bind",
    "bpf",
    "clone",
    "connect",
    "exec",
    "exit",
    "ipc",
    "kill",
    "link",
    "memfd",
    "mkdir",
    "module",
    "mount",
    "namespace",
    "open",
    "ptrace",
    "rename",
    "setuid",
    "truncate",
    "unlink",
];

/// A process, tracer, call, path and result.
type Made = (i64, String, String, String, i64);
/// How often each call was made.
type Calls = BTreeMap<Made, u64>;

/// Runs the workloads; returns the bytes and the calls that ptrace counted.
pub(crate) fn run(folder: &Path, workloads: &[Workload]) -> (Sums, Calls) {
    let (mut sums, mut calls) = (Sums::new(), Calls::new());
    for (name, script) in workloads {
        let own = folder.join(name);
        prepare(&own);
        let mut command = Command::new(binary::program("byte_count"));
        command.args(["--uid", &UID.to_string(), "--", "sh", "-e", "-c", script]).current_dir(&own);
        command.env("HOME", &own).env("LC_ALL", "C");
        let counted: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();
        for of in counted["bytes"].as_array().unwrap() {
            let direction = of["direction"].as_str().unwrap().to_owned();
            let key = (of["pid"].as_i64().unwrap(), field(of, "ino"), direction);
            sums.insert(key, (field(of, "bytes"), field(of, "calls")));
        }
        let counted = counted["calls"].as_array().unwrap();
        assert!(counted.len() > 50, "{name} made few calls: {counted:?}");
        for of in counted {
            let text = |name: &str| of[name].as_str().unwrap().to_owned();
            let number = |name: &str| of[name].as_i64().unwrap();
            calls.insert(
                (number("pid"), text("tracer"), text("call"), text("path"), number("ret")),
                field(of, "count"),
            );
        }
    }
    (sums, calls)
}

/// Makes the folder of a workload, with a small tree of files.
fn prepare(own: &Path) {
    let tree = own.join("tree");
    fs::create_dir_all(tree.join("below/it")).unwrap();
    for (name, count) in [("a", 1), ("b", 300), ("c", 5000), ("below/d", 20_000), ("below/it/e", 0)] {
        let lines: String = (0..count).map(|line| format!("{}\n", line * 7919)).collect();
        fs::write(tree.join(name), lines).unwrap();
    }
    fs::hard_link(tree.join("b"), tree.join("below/b")).unwrap();
    symlink("below/d", tree.join("link")).unwrap();
    for path in ["", "tree", "tree/a", "tree/b", "tree/c", "tree/below", "tree/below/d", "tree/below/it"] {
        chown(own.join(path), Some(UID), Some(UID)).unwrap();
    }
}

/// Compares what was recorded with what ptrace counted.
pub(crate) fn compare(agent: &Agent, expected: &(Sums, Calls)) {
    let store = agent.store();
    let calls = recorded_calls(store);
    let keys: std::collections::BTreeSet<_> = expected.1.keys().chain(calls.keys()).collect();
    let differ = keys.into_iter().filter(|key| expected.1.get(*key) != calls.get(*key));
    let differ: Vec<_> =
        differ.map(|key| format!("{key:?}: {:?}, rows {:?}", expected.1.get(key), calls.get(key))).collect();
    let all: u64 = expected.1.values().sum();
    assert!(differ.is_empty(), "of {all} calls differ\n{}", differ.join("\n"));
    let sums = crate::sums(store, UID, |row| {
        row["extended"]["file_type"]
            .as_str()
            .is_some_and(|kind| ["regular", "fifo", "socket"].contains(&kind))
    });
    assert_same(&expected.0, &sums);
}

fn recorded_calls(store: &Store) -> Calls {
    let mut calls = Calls::new();
    for &tracer in TRACERS {
        assert_eq!(store.account(tracer).lost_total(), 0, "{tracer}");
        for row in store.query(tracer, &[&format!("uid={UID}")]) {
            // The program that becomes the user.
            if tracer == "setuid" && row["exe"].as_str().is_some_and(|exe| exe.ends_with("/setpriv")) {
                continue;
            }
            *calls.entry(made(tracer, &row)).or_default() += 1;
        }
    }
    calls
}

/// Returns the call that a row is about.
fn made(tracer: &str, row: &Value) -> Made {
    let extended = &row["extended"];
    let call = extended["call"].as_str().unwrap_or_default();
    let ret = match tracer {
        "exit" => {
            let number = |name: &str| extended[name].as_i64().unwrap();
            number("code") + number("signal")
        }
        _ => row["ret"].as_i64().unwrap_or_else(|| panic!("no result: {row}")),
    };
    let by_descriptor = ["fchmod", "fchown", "fsetxattr", "fremovexattr", "ftruncate", "fallocate"];
    let with_path = ["attr", "exec", "link", "mkdir", "open", "rename", "truncate", "unlink"];
    let has_path = with_path.contains(&tracer) && !by_descriptor.contains(&call);
    let path = extended["path_asked"].as_str().or(row["fname"].as_str()).filter(|_| has_path);
    (
        row["pid"].as_i64().unwrap(),
        tracer.to_owned(),
        call.to_owned(),
        path.unwrap_or_default().to_owned(),
        ret,
    )
}
