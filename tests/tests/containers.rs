//! Containers that are gone before anybody could ask their runtime: all they did says whose it was.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::workload::{python, succeed};
use tests::{Cgroups, Setup, suite};

const COUNT: u64 = 200;
/// Containers that run at a time.
const AT_ONCE: usize = 4;
const UID: u32 = 9950;
const POD: &str = "3f1a2b4c-0d5e-4f60-8172-93a4b5c6d7e8";

suite! {
    threads: 1;
    two_hundred_containers_of_20_ms_are_distinguished: [Kernel, Mounts, Runc];
    name_and_image_come_from_the_runtimes_socket: [Kernel, Mounts, Runc];
    a_cgroup_that_a_user_made_only_claims_to_be_a_container: [Kernel, Python];
    cgroups_of_a_runtimes_user_are_containers: [Kernel, Python]
}

/// Every other one is named as docker does it, the rest as Kubernetes' kubelet does.
fn id(number: usize) -> String {
    format!("{number:08x}").repeat(8)
}

fn cgroup(groups: &Cgroups, number: usize) -> String {
    let id = id(number);
    if number.is_multiple_of(2) {
        groups.path(&format!("docker/{id}"))
    } else {
        groups.path(&format!("kubepods/burstable/pod{POD}/{id}"))
    }
}

/// A folder with the program, and how to run it: 20 ms, and a name asked for that says which container it was.
fn bundle(folder: &Path, groups: &Cgroups, number: usize) -> PathBuf {
    let script = format!("/busybox usleep 20000; /busybox cat /of/{}; true", id(number));
    bundle_of(folder, groups, number, &script)
}

fn bundle_of(folder: &Path, groups: &Cgroups, number: usize, script: &str) -> PathBuf {
    let bundle = folder.join(number.to_string());
    fs::create_dir(&bundle).unwrap();
    let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": UID, "gid": UID},
            "args": ["/busybox", "sh", "-c", script],
            "env": ["PATH=/"],
            "cwd": "/",
        },
        "root": {"path": folder.join("rootfs"), "readonly": true},
        // Containers share their root, so that what runc makes in /dev must be each one's own.
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {"cgroupsPath": cgroup(groups, number), "namespaces": namespaces},
    });
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    bundle
}

fn run(state: &Path, bundle: &Path, number: usize) {
    let mut runc = Command::new("runc");
    runc.arg("--root").arg(state).args(["run", "--bundle"]).arg(bundle).arg(id(number));
    succeed(&mut runc);
}

/// Makes the root folder that the containers of these tests share.
fn root_folder(folder: &Path) {
    for name in ["rootfs/proc", "rootfs/dev"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", folder.join("rootfs/busybox")).unwrap();
}

fn two_hundred_containers_of_20_ms_are_distinguished() {
    // Only theirs: what a busy machine does besides may fill the ring.
    let setup = Setup::new().set("filter.system.disabled", "true");
    let agent = setup.set("ebpf.uids", &format!("[{UID}]")).start();
    let folder = agent.scratch().folder("containers");
    let state = agent.scratch().folder("state");
    let groups = Cgroups::new();
    let count = suite::share(COUNT) as usize;
    root_folder(&folder);
    std::thread::scope(|scope| {
        for lane in 0..AT_ONCE {
            let (folder, state, groups) = (&folder, &state, &groups);
            scope.spawn(move || {
                for number in (lane..count).step_by(AT_ONCE) {
                    run(state, &bundle(folder, groups, number), number);
                }
            });
        }
    });
    let agent = agent.finish();
    let numbers: BTreeMap<String, usize> = (0..count).map(|number| (id(number), number)).collect();
    let mut counts: BTreeMap<(&str, usize), usize> = BTreeMap::new();
    for tracer in ["open", "exec", "clone", "exit"] {
        for row in agent.store().query(tracer, &[&format!("uid={UID}")]) {
            let number = row["container_id"].as_str().and_then(|id| numbers.get(id));
            let number = *number.unwrap_or_else(|| panic!("a row of no container: {row}"));
            check(&row, &groups, number);
            *counts.entry((tracer, number)).or_default() += 1;
        }
    }
    for number in 0..count {
        let of = |tracer| counts.get(&(tracer, number)).copied().unwrap_or_default();
        // The shell and two programs it runs, one of which opens a file.
        assert_eq!((of("exec"), of("clone"), of("exit")), (3, 2, 3), "{number}");
        assert!(of("open") >= 1, "{number}");
    }
}

/// Answers every question as docker does, until the socket is gone.
fn answer_as_docker(listener: &UnixListener) {
    let body = json!({"Name": "/train", "Config": {"Image": "registry/train:3"}}).to_string();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        assert!(String::from_utf8_lossy(&request[..length]).starts_with("GET /containers/"));
        let answer = format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

fn name_and_image_come_from_the_runtimes_socket() {
    let scratch = tests::Scratch::new();
    let socket = scratch.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || answer_as_docker(&listener));
    let setup = Setup::new().set("ebpf.uids", &format!("[{UID}]"));
    let agent = setup.set("collector.runtimes.docker", socket.to_str().unwrap()).start();
    let folder = agent.scratch().folder("containers");
    let groups = Cgroups::new();
    root_folder(&folder);
    // It lives until the agent has answers, and then runs one more program.
    let script = "i=0; while [ $i -lt 60 ]; do /busybox usleep 50000; i=$((i+1)); done; /busybox true";
    run(&agent.scratch().folder("state"), &bundle_of(&folder, &groups, 0, script), 0);
    let agent = agent.finish();
    let rows = agent.store().query("exec", &[&format!("uid={UID}")]);
    let last = rows.iter().find(|row| row["extended"]["argv"] == json!(["/busybox", "true"])).unwrap();
    assert_eq!(last["container_id"], json!(id(0)));
    let reported =
        ["container_runtime", "container_name", "container_image"].map(|field| &last["extended"][field]);
    assert_eq!(reported, ["docker", "train", "registry/train:3"]);
}

/// Makes a cgroup of that name below those that were delegated to the user, goes there, and runs a program.
const CLAIM: &str = r#"
import os, subprocess, sys
name, folders = sys.argv[1], sys.argv[2:]
entered = 0
for folder in folders:
    group = os.path.join(folder, name)
    try:
        os.mkdir(group)
        with open(os.path.join(group, "cgroup.procs"), "w") as procs: procs.write("0")
        entered += 1
    except OSError: pass
assert entered, folders
subprocess.run(["/bin/cat", "/proc/self/cgroup"], check=True)
"#;

/// Runs a user's processes in a cgroup that is named as docker names its own, and returns the row of the last program.
fn claimed_row(settings: &[(&str, &str)], below: &str) -> Value {
    let scratch = tests::Scratch::new();
    let socket = scratch.path().join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || answer_as_docker(&listener));
    let setup = Setup::new().set("ebpf.uids", &format!("[{UID}]"));
    let setup = setup.set("collector.runtimes.docker", socket.to_str().unwrap());
    let agent = settings.iter().fold(setup, |setup, (key, value)| setup.set(key, value)).start();
    let groups = Cgroups::new();
    let folders = groups.delegate(below, UID);
    groups.enter(below);
    let name = format!("docker-{}.scope", id(1));
    let folders = folders.iter().map(|folder| folder.to_str().unwrap());
    let arguments: Vec<&str> = std::iter::once(&*name).chain(folders).collect();
    python(UID, scratch.path(), CLAIM, &arguments);
    groups.leave();
    let agent = agent.finish();
    let rows = agent.store().query("exec", &[&format!("uid={UID}")]);
    let is_last = |row: &&Value| row["extended"]["argv"][0] == json!("/bin/cat");
    let row = rows.iter().find(is_last).unwrap_or_else(|| panic!("{rows:?}")).clone();
    let path = row["extended"]["cgroup"].as_str().unwrap();
    assert_eq!(path, groups.path(&format!("{below}/{name}")));
    row
}

/// The container's id, what is only claimed, and the data that the runtime would add.
fn named(row: &Value) -> [Option<&str>; 5] {
    let field = |name: &str| row["extended"].get(name).and_then(Value::as_str);
    [
        row["container_id"].as_str(),
        field("container_claimed"),
        field("container_runtime"),
        field("container_name"),
        field("container_image"),
    ]
}

fn a_cgroup_that_a_user_made_only_claims_to_be_a_container() {
    // Neither kernel nor collector may take the rows for those of the container, which the filters drop.
    let drop = format!("\"container_id == '{}' || container_runtime == 'docker'\"", id(1));
    for pushdown in ["true", "false"] {
        let settings = [("filter.cel_hidden.drop", &*drop), ("ebpf.pushdown", pushdown)];
        let row = claimed_row(&settings, "user");
        assert_eq!(named(&row), [None, Some(&*id(1)), None, None, None], "{row}");
    }
    let row = claimed_row(&[], &format!("docker/{}", id(2)));
    assert_eq!(named(&row)[..2], [None, Some(&*id(1))], "a container's own folder that is the user's: {row}");
    let row = claimed_row(&[], &format!("docker/{}/user", id(2)));
    assert_eq!(named(&row)[..2], [Some(&*id(2)), Some(&*id(1))], "a user of a container: {row}");
}

fn cgroups_of_a_runtimes_user_are_containers() {
    let row = claimed_row(&[("collector.runtimes.uids", &format!("[{UID}]"))], "user");
    assert_eq!(named(&row)[..3], [Some(&*id(1)), None, Some("docker")], "{row}");
}

/// Checks the container that the row names, where it names one.
fn check(row: &Value, groups: &Cgroups, number: usize) {
    let extended = &row["extended"];
    let path = extended["cgroup"].as_str().unwrap();
    assert_eq!(path, cgroup(groups, number), "{row}");
    let by_docker = number.is_multiple_of(2);
    assert_eq!(extended["container_runtime"].as_str(), by_docker.then_some("docker"), "{row}");
    assert_eq!(extended["pod_uid"].as_str(), (!by_docker).then_some(POD), "{row}");
    assert!(extended["ns_pid"].as_i64().unwrap() < row["pid"].as_i64().unwrap(), "{row}");
    let argv = extended["argv"].as_array();
    let words = argv.into_iter().flatten().chain(extended.get("path_asked")).filter_map(Value::as_str);
    for word in words.filter(|word| word.contains("/of/")) {
        assert!(word.contains(&id(number)), "another's: {row}");
    }
}
