//! The default filter drops rows that only read files of the system, and no row about a file that only has the path of one: a
//! mount namespace, a container or the links in `/proc` can give any path to any file. All tests use the default configuration.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tests::workload::{PYTHON, python, succeed};
use tests::{Agent, Scratch, Setup, suite, until};

suite! {
    threads: 2;
    what_only_reads_files_of_the_system_is_hidden: [Kernel, Python];
    changes_through_the_links_of_proc_are_rows: [Kernel, Python];
    what_is_mounted_over_files_of_the_system_is_not_hidden: [Kernel, Python, Mounts];
    a_users_own_mount_over_a_library_folder_is_not_hidden: [Kernel, Mounts];
    files_below_a_known_folder_are_the_systems_only_if_they_are_roots_alone: [Kernel, Python, Mounts];
    a_known_folder_is_found_anew_by_a_reload: [Kernel, Python]
}

const SOON: Duration = Duration::from_secs(30);

/// Returns the rows of one user and one tracer with this path.
fn rows(agent: &Agent, tracer: &str, uid: u32, path: &str) -> Vec<Value> {
    let mut rows = agent.store().query(tracer, &[&format!("uid={uid}")]);
    rows.retain(|row| row["fname"] == path);
    rows
}

/// Returns the number of rows of `open` for a path, and the directions (read, written, mapped) of its rows of `usage`.
fn shown(agent: &Agent, uid: u32, path: &str) -> (usize, Vec<&'static str>) {
    let usage = rows(agent, "usage", uid, path);
    let has =
        |direction: &&str| usage.iter().any(|row| !row["extended"][format!("bytes_{direction}")].is_null());
    let directions = ["read", "written", "mapped"].into_iter().filter(|direction| has(direction));
    (rows(agent, "open", uid, path).len(), directions.collect())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Returns a Python module that Python does not import by itself.
fn module() -> PathBuf {
    let script = "import os; print(os.path.dirname(os.__file__) + '/this.py')";
    let output = succeed(Command::new(PYTHON).args(["-c", script]));
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    path.canonicalize().unwrap()
}

fn what_only_reads_files_of_the_system_is_hidden() {
    const UID: u32 = 9811;
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("data");
    let script = "
import os, sys
for path in ('/proc/self/status', '/sys/kernel/notes', '/etc/ld.so.cache', sys.argv[1], '/dev/zero'):
    with open(path, 'rb', buffering=0) as file: assert file.read(64) or path == '/sys/kernel/notes', path
with open('/dev/null', 'wb', buffering=0) as file: file.write(b'x')
with open('/proc/self/comm', 'wb', buffering=0) as file: file.write(b'renamed')
open('mine', 'w').close()
os.listdir(os.path.dirname(sys.argv[1]))
";
    python(UID, &folder, script, &[text(&module())]);
    let agent = agent.finish();
    let left: Vec<_> = ["open", "usage"]
        .iter()
        .flat_map(|tracer| agent.store().query(tracer, &[&format!("uid={UID}")]))
        .filter(|row| row["ret"].as_i64().unwrap_or_default() >= 0)
        .map(|row| row["fname"].as_str().unwrap().to_owned())
        .collect();
    assert!(left.iter().any(|path| path.ends_with("data/mine")), "{left:?}");
    assert!(
        left.iter().filter(|path| path.ends_with("/comm")).count() == 2,
        "an open and its bytes: {left:?}"
    );
    let hidden = ["/proc/", "/sys/", "/usr/lib/", "/dev/", "/etc/ld.so.cache"];
    let noise: Vec<_> = left
        .iter()
        .filter(|path| !path.ends_with("/comm") && hidden.iter().any(|start| path.starts_with(start)))
        .collect();
    assert!(noise.is_empty(), "{noise:?}");
    for tracer in ["open", "usage"] {
        assert!(agent.store().account(tracer).filtered > 5, "{:?}", agent.store().account(tracer));
    }
    agent.store().assert_conserved_to_the_row();
}

fn changes_through_the_links_of_proc_are_rows() {
    const UID: u32 = 9812;
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("data");
    let lock = format!("/run/lock/duetector-test-{}", std::process::id());
    let script = "
import ctypes, os, sys
folder, lock = sys.argv[1:3]
for name in ('a', 'b', 'c'): open(name, 'w').close()
os.unlink('/proc/self/root' + folder + '/a')
os.rename('/proc/self/cwd/b', '/proc/self/cwd/d')
os.chmod('/proc/self/cwd/c', 0o600)
try: open('/proc/self/cwd/none')
except OSError: pass
try: open('/sys/none')
except OSError: pass
with open(lock, 'w') as file: file.write('x')
with open(lock) as file: assert file.read() == 'x'
os.unlink(lock)
fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)
os.write(fd, b'hidden')
# With a folder, so that Python calls linkat.
os.link(f'/proc/self/fd/{fd}', 'named', dst_dir_fd=os.open('.', os.O_PATH), follow_symlinks=True)
secret = ctypes.create_string_buffer(b'secret')
with open('/proc/self/mem', 'r+b', buffering=0) as memory:
    memory.seek(ctypes.addressof(secret))
    assert memory.read(6) == b'secret'
    memory.seek(ctypes.addressof(secret))
    memory.write(b'public')
assert secret.value == b'public'
with open('/proc/self/environ', 'rb') as file: file.read()
print(os.getpid())
";
    let output = python(UID, &folder, script, &[text(&folder), &lock]);
    let pid = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let agent = agent.finish();
    let of = |tracer: &str| agent.store().query(tracer, &[&format!("uid={UID}")]);
    let asked = |tracer: &str, what: &str| {
        let is_it = |row: &Value| row["extended"]["path_asked"] == what || row["fname"] == what;
        of(tracer).iter().filter(|row| is_it(row)).count()
    };
    let root = format!("/proc/self/root{}/a", text(&folder));
    assert_eq!(asked("unlink", &root), 1, "{:?}", of("unlink"));
    assert_eq!(asked("rename", "/proc/self/cwd/b"), 1, "{:?}", of("rename"));
    assert_eq!(asked("attr", "/proc/self/cwd/c"), 1, "{:?}", of("attr"));
    assert_eq!(asked("open", "/proc/self/cwd/none"), 1, "{:?}", of("open"));
    assert_eq!(asked("open", "/sys/none"), 1, "{:?}", of("open"));
    let named = of("link");
    assert!(named.iter().any(|row| row["extended"]["new_path"] == text(&folder.join("named"))), "{named:?}");
    let both = || vec!["read", "written"];
    assert_eq!(shown(&agent, UID, &lock), (2, both()));
    assert_eq!(asked("unlink", &lock), 1);
    assert_eq!(shown(&agent, UID, &format!("/proc/{pid}/mem")), (1, both()));
    assert_eq!(shown(&agent, UID, &format!("/proc/{pid}/environ")), (1, vec!["read"]));
}

/// Runs a shell script as root in a mount namespace of its own, in this folder.
fn in_namespace(script: &str, folder: &Path) {
    let mut command = Command::new("unshare");
    succeed(command.args(["--mount", "--propagation", "private", "sh", "-ec", script]).current_dir(folder));
}

fn what_is_mounted_over_files_of_the_system_is_not_hidden() {
    const UID: u32 = 9813;
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("data");
    let secret = agent.scratch().folder("data/secret");
    for part in ["upper", "work"] {
        agent.scratch().folder(&format!("data/{part}"));
    }
    std::fs::write(secret.join("plan"), "plan").unwrap();
    std::fs::write(folder.join("roots"), "a file of root's that nobody else may write to").unwrap();
    std::fs::copy("/bin/true", secret.join("run")).unwrap();
    for (name, mode) in [("plan", 0o666), ("run", 0o755)] {
        std::fs::set_permissions(secret.join(name), PermissionsExt::from_mode(mode)).unwrap();
    }
    let use_them = "import os, subprocess, sys
os.setuid(int(sys.argv[1]))
for path in sys.argv[2:]:
    with open(path) as file: file.read()
    if path.endswith('/plan'):
        with open(path, 'a') as file: file.write('x')
        subprocess.run([os.path.dirname(path) + '/run'], check=True)
";
    let (module, antigravity) = (module(), module().with_file_name("antigravity.py"));
    let run = |mounts: &str, paths: &[&str]| {
        let paths = paths.join(" ");
        in_namespace(&format!("{mounts}; exec {PYTHON} -c \"{use_them}\" {UID} {paths}"), &folder);
    };
    let (module, antigravity) = (text(&module), text(&antigravity));
    let over = ["/sys/kernel", "/usr/lib/locale"];
    let mounts = over.map(|over| format!("mount --bind secret {over}")).join("; ");
    run(&mounts, &["/sys/kernel/plan", "/usr/lib/locale/plan"]);
    run(
        &format!("mount --bind secret/plan {module}; mount --bind roots {antigravity}"),
        &[module, antigravity],
    );
    let mounted = agent.finish();
    let both = || vec!["read", "written"];
    for over in over {
        assert_eq!(shown(&mounted, UID, &format!("{over}/plan")), (2, both()), "{over}");
        assert_eq!(rows(&mounted, "exec", UID, &format!("{over}/run")).len(), 1, "{over}");
    }
    let read = || vec!["read"];
    assert_eq!(shown(&mounted, UID, module), (1, read()));
    assert_eq!(shown(&mounted, UID, antigravity), (1, read()));

    // A container's own libraries, on an overlay: the very same file, on another device.
    let agent = Setup::new().start();
    run("mount -t overlay none -o lowerdir=/usr/lib,upperdir=upper,workdir=work /usr/lib", &[module]);
    let agent = agent.finish();
    assert_eq!(shown(&agent, UID, module), (1, read()));
    agent.store().assert_conserved_to_the_row();
}

fn a_users_own_mount_over_a_library_folder_is_not_hidden() {
    const UID: &str = "9814";
    let agent = Setup::new().start();
    let script = "mount -t tmpfs none /usr/lib/locale && echo secret > /usr/lib/locale/plan && cat /usr/lib/locale/plan";
    let mut command = Command::new("setpriv");
    command.args(["--reuid", UID, "--regid", UID, "--clear-groups"]);
    succeed(command.args(["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script]));
    let agent = agent.finish();
    let both = vec!["read", "written"];
    assert_eq!(shown(&agent, UID.parse().unwrap(), "/usr/lib/locale/plan"), (2, both));
}

/// A folder with files of several owners and modes, in which only `plain` and `deep/er/file` are root's alone.
fn library(scratch: &Scratch) -> PathBuf {
    let library = scratch.folder("library");
    for (path, mode, uid) in [
        ("plain", 0o644, 0),
        ("group", 0o664, 0),
        ("others", 0o646, 0),
        ("setgid", 0o2755, 0),
        ("users", 0o644, 9816),
        ("open/inner", 0o644, 0),
        ("deep/er/file", 0o644, 0),
    ] {
        let path = library.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "content").unwrap();
        chown(&path, Some(uid), None).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }
    for (path, mode) in [("open", 0o777), ("", 0o755)] {
        std::fs::set_permissions(library.join(path), PermissionsExt::from_mode(mode)).unwrap();
    }
    library
}

fn files_below_a_known_folder_are_the_systems_only_if_they_are_roots_alone() {
    const READER: &str = "
import os, sys
os.setgid(9815)
for path in sys.argv[1:]:
    with open(path, 'rb', buffering=0) as file: assert file.read() == b'content', path
";
    const MAPPER: &str = "
import mmap, os, sys
with open(sys.argv[1], 'rb') as file: mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ).close()
with open(sys.argv[2], 'r+b') as file: mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
";
    let scratch = Scratch::new();
    let library = library(&scratch);
    let at = |name: &str| library.join(name).to_str().unwrap().to_owned();
    let bound = scratch.folder("bound");
    let folders = format!("[{:?}]", text(&library));
    // The kernel and the collector decide the same.
    for pushdown in ["true", "false"] {
        let agent =
            Setup::new().set("filter.system.folders", &folders).set("ebpf.pushdown", pushdown).start();
        let others = ["group", "others", "setgid", "users", "open/inner"].map(at);
        let hidden = ["plain", "deep/er/file"].map(at);
        let all: Vec<_> = others.iter().chain(&hidden).map(String::as_str).collect();
        let run = |script: &str, paths: &[&str]| {
            let mut command = Command::new(PYTHON);
            succeed(command.args(["-c", script]).args(paths));
        };
        run(READER, &all);
        // The same file under another name of its folder.
        let words = format!("{PYTHON} -c \"{READER}\" {}", text(&bound.join("plain")));
        in_namespace(&format!("mount --bind {} {}; {words}", text(&library), text(&bound)), scratch.path());
        run(MAPPER, &[&at("deep/er/file"), &at("plain")]);
        let in_kernel = || agent.actor("ebpf")["state"]["filtered"]["system"].as_u64().unwrap_or_default();
        if pushdown == "true" {
            until("the kernel has filtered", SOON, || (in_kernel() > 0).then_some(()));
        } else {
            assert_eq!(in_kernel(), 0);
        }
        let agent = agent.finish();
        let read = || vec!["read"];
        for path in &others {
            assert_eq!(shown(&agent, 0, path), (1, read()), "{path}");
        }
        let (opens, directions) = shown(&agent, 0, &at("deep/er/file"));
        assert_eq!((opens, directions), (0, vec![]));
        // It was hidden until it was opened and mapped for writing.
        assert_eq!(shown(&agent, 0, &at("plain")), (1, vec!["mapped"]));
        assert_eq!(shown(&agent, 0, text(&bound.join("plain"))), (0, vec![]));
        agent.store().assert_conserved_to_the_row();
    }
}

fn a_known_folder_is_found_anew_by_a_reload() {
    const UID: u32 = 9817;
    let scratch = Scratch::new();
    let library = library(&scratch);
    let config = scratch.file("config.toml", format!("[filter.system]\nfolders = [{:?}]\n", text(&library)));
    let agent = Setup::new().options(&["--config", text(&config)]).start();
    let read = "import sys; open(sys.argv[1]).read()";
    let (file, former) = (library.join("plain"), scratch.path().join("former/plain"));
    python(UID, scratch.path(), read, &[text(&file)]);
    std::fs::rename(&library, scratch.path().join("former")).unwrap();
    let ino = self::library(&scratch).metadata().unwrap().ino();
    // Not known yet.
    python(UID, scratch.path(), read, &[text(&file)]);
    let done = agent.store().run(&["reload"]);
    assert!(done.status.success(), "{done:?}");
    python(UID, scratch.path(), read, &[text(&file)]);
    python(UID, scratch.path(), read, &[text(&former)]);
    let agent = agent.finish();
    assert_ne!(ino, scratch.path().join("former").metadata().unwrap().ino());
    assert_eq!(rows(&agent, "open", UID, text(&file)).len(), 1);
    assert_eq!(rows(&agent, "open", UID, text(&former)).len(), 1);
}
