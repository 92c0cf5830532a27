//! The absolute path of an open, however it was asked for: relative, by descriptor, through symlinks, bind
//! mounts, chroot and mount namespaces, by each of the four system calls, and when it fails.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tests::workload::{PYTHON, python, succeed};
use tests::{Agent, Scratch, Setup, suite, until};

suite! {
    threads: 2;
    relative_dirfd_and_symlink: [Kernel, Python];
    each_system_call: [Kernel, Python];
    failed_opens: [Kernel, Python];
    bind_mount_and_mount_namespace: [Kernel, Python, Mounts];
    chroot: [Kernel, Python, Mounts];
    a_file_outside_of_the_root_is_no_answer_to_filters: [Kernel, Python, Mounts];
    files_in_subvolumes_have_the_device_that_stat_shows: [Kernel, Python, Mounts, Btrfs];
    files_in_unknown_subvolumes_are_marked: [Kernel, Python, Mounts, Btrfs];
    subvolumes_made_by_ioctl_leave_no_row: [Kernel, Python, Mounts, Btrfs]
}

const SOON: Duration = Duration::from_secs(30);

/// The rows of that user whose path as asked is `asked`; where that is the absolute one, it is told once.
fn asked(agent: &Agent, uid: u32, asked: &str) -> Vec<Value> {
    let rows = agent.store().query("open", &[&format!("uid={uid}")]);
    let is_it = |row: &Value| *row["extended"].get("path_asked").unwrap_or(&row["fname"]) == asked;
    rows.into_iter().filter(is_it).collect()
}

/// The one row of that user whose path as asked is `path`, and its absolute path.
fn only(agent: &Agent, uid: u32, path: &str) -> (String, Value) {
    let rows = asked(agent, uid, path);
    assert_eq!(rows.len(), 1, "{path} was asked for once: {rows:?}");
    (rows[0]["fname"].as_str().unwrap().to_owned(), rows[0].clone())
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn relative_dirfd_and_symlink() {
    let agent = Setup::new().start();
    let top = agent.scratch().folder("top");
    let inner = agent.scratch().folder("top/inner");
    std::fs::write(inner.join("file"), "").unwrap();
    symlink(&inner, top.join("link")).unwrap();
    symlink("inner/file", top.join("filelink")).unwrap();
    let script = "
import os
def touch(path, **where): os.close(os.open(path, os.O_RDONLY, **where))
touch('inner/file'); touch('./inner/../inner//file'); touch('link/file'); touch('filelink')
folder = os.open('inner', os.O_PATH | os.O_DIRECTORY)
os.chdir('/')
touch('file', dir_fd=folder)
os.fchdir(folder); touch('../inner/file')
";
    python(9989, &top, script, &[]);
    let agent = agent.finish();
    let file = text(&inner.join("file"));
    for path in ["inner/file", "./inner/../inner//file", "link/file", "filelink", "file", "../inner/file"] {
        assert_eq!(only(&agent, 9989, path).0, file, "{path}");
    }
    assert_eq!(only(&agent, 9989, "inner").1["extended"]["file_type"], "directory");
}

fn each_system_call() {
    // open 2, creat 85 and openat2 437 have no function in libc that is sure to use them.
    let script = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    fd = libc.syscall(*words)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    os.close(fd)
if os.uname().machine == 'x86_64':
    call(2, b'by-open', os.O_CREAT | os.O_RDWR, 0o640)
    call(85, b'by-creat', 0o600)
call(257 if os.uname().machine == 'x86_64' else 56, -100, b'by-openat', os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o604)
how = (ctypes.c_uint64 * 3)(os.O_CREAT | os.O_RDWR, 0o620, 0x08)
call(437, -100, b'by-openat2', ctypes.byref(how), ctypes.sizeof(how))
";
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("calls");
    python(9988, &folder, script, &[]);
    let agent = agent.finish();
    let mut calls = vec![
        ("by-openat", json!(["O_WRONLY", "O_CREAT", "O_EXCL"]), 0o604),
        ("by-openat2", json!(["O_RDWR", "O_CREAT"]), 0o620),
    ];
    if cfg!(target_arch = "x86_64") {
        calls.push(("by-open", json!(["O_RDWR", "O_CREAT"]), 0o640));
        calls.push(("by-creat", json!(["O_WRONLY", "O_CREAT", "O_TRUNC"]), 0o600));
    }
    for (name, flags, mode) in calls {
        let (path, row) = only(&agent, 9988, name);
        assert_eq!(path, text(&folder.join(name)));
        assert_eq!(
            json!([row["extended"]["flags"], row["extended"]["mode"]]),
            json!([flags, mode]),
            "{name}"
        );
    }
}

fn failed_opens() {
    let script = "
import os
for path, flags in (('missing/file', 0), ('secret', 0), ('there', os.O_CREAT | os.O_EXCL), ('/proc/self/nonesuch', 0)):
    try: os.open(path, flags)
    except OSError: pass
    else: raise SystemExit(path)
";
    let agent = Setup::new().set("filter.system.disabled", "true").start();
    let folder = agent.scratch().folder("failing");
    std::fs::write(folder.join("secret"), "").unwrap();
    std::fs::write(folder.join("there"), "").unwrap();
    succeed(Command::new("chmod").arg("600").arg(folder.join("secret")));
    python(9987, &folder, script, &[]);
    let agent = agent.finish();
    let expected = [
        ("missing/file", text(&folder.join("missing/file")), -2, "ENOENT"),
        ("secret", text(&folder.join("secret")), -13, "EACCES"),
        ("there", text(&folder.join("there")), -17, "EEXIST"),
        ("/proc/self/nonesuch", "/proc/self/nonesuch".to_owned(), -2, "ENOENT"),
    ];
    for (path, absolute, ret, errno) in expected {
        let (fname, row) = only(&agent, 9987, path);
        assert_eq!(
            json!([fname, row["ret"], row["extended"]["errno"]]),
            json!([absolute, ret, errno]),
            "{path}"
        );
    }
}

/// Runs a shell script as root in a mount namespace of its own.
fn in_namespace(script: &str, folder: &Path) {
    let mut command = Command::new("unshare");
    succeed(command.args(["--mount", "--propagation", "private", "sh", "-ec", script]).current_dir(folder));
}

fn bind_mount_and_mount_namespace() {
    let agent = Setup::new().start();
    let folder = agent.scratch().folder("mounts");
    let source = agent.scratch().folder("mounts/source");
    agent.scratch().folder("mounts/target");
    std::fs::write(source.join("data"), "").unwrap();
    // The same file by two ways; the mounts exist in this namespace only.
    let open = "import os; os.setuid(9986)
for path in ('target/data', 'source/data', 'target/tmp/fresh'): os.close(os.open(path, os.O_RDWR | os.O_CREAT))";
    let script = format!(
        "mount --bind source target; mkdir -m 777 -p target/tmp; mount -t tmpfs -o mode=777 none target/tmp; \
         {PYTHON} -c \"{open}\""
    );
    let all = "chmod 666 source/data";
    succeed(Command::new("sh").args(["-ec", all]).current_dir(&folder));
    in_namespace(&script, &folder);
    let agent = agent.finish();
    let by_mount = only(&agent, 9986, "target/data");
    let direct = only(&agent, 9986, "source/data");
    assert_eq!((by_mount.0, direct.0), (text(&folder.join("target/data")), text(&source.join("data"))));
    let identity = |row: &Value| json!([row["extended"]["dev"], row["extended"]["ino"]]);
    assert_eq!(identity(&by_mount.1), identity(&direct.1), "one file, two identities");
    assert_eq!(only(&agent, 9986, "target/tmp/fresh").0, text(&folder.join("target/tmp/fresh")));
    let own = std::fs::read_link("/proc/self/ns/mnt").unwrap();
    let own = own.to_str().unwrap().trim_matches(|c: char| !c.is_ascii_digit()).to_owned();
    assert_ne!(by_mount.1["extended"]["mnt_ns"].to_string(), own);
}

fn chroot() {
    let agent = Setup::new().start();
    let jail = agent.scratch().folder("jail");
    agent.scratch().folder("jail/in");
    std::fs::write(jail.join("in/file"), "").unwrap();
    let script = "
import os
os.chroot('.'); os.chdir('/in'); os.setuid(9985)
os.close(os.open('/in/file', os.O_RDONLY)); os.close(os.open('file', os.O_RDONLY))
";
    succeed(Command::new(PYTHON).args(["-c", script]).current_dir(&jail));
    let agent = agent.finish();
    // The process's own view: paths start at its root.
    assert_eq!(only(&agent, 9985, "/in/file").0, "/in/file");
    assert_eq!(only(&agent, 9985, "file").0, "/in/file");
}

/// A chroot may have a file of the same path as one that is outside of it.
fn a_file_outside_of_the_root_is_no_answer_to_filters() {
    let scratch = Scratch::new();
    let outside = text(&scratch.folder("outside"));
    // The kernel tests the beginning of paths.
    let agent = Setup::new()
        .set("ebpf.uids", "[9984]")
        .set("filter.out.tracers", "[\"open\"]")
        .set("filter.out.re_exclude_fname", &format!("[\"^{outside}/\"]"))
        .set("filter.kept.tracers", "[\"usage\"]")
        .set("filter.kept.keep", "\"fname.startsWith('/nowhere/')\"")
        .start();
    let jail = scratch.folder(&format!("jail/{outside}"));
    for folder in [Path::new(&outside), &jail] {
        std::fs::write(folder.join("file"), "content").unwrap();
    }
    let script = "
import os, sys
folder = os.open(sys.argv[1], os.O_PATH)
os.chroot('jail'); os.chdir('/'); os.setuid(9984)
for where in (folder, os.open(sys.argv[1], os.O_PATH)):
    fd = os.open('file', os.O_RDONLY, dir_fd=where)
    assert os.read(fd, 9) == b'content'
";
    succeed(Command::new(PYTHON).args(["-c", script, &outside]).current_dir(scratch.path()));
    for filter in ["out", "kept"] {
        let rows = || agent.actor("collector")["state"]["undecided"][filter]["rows"] == 1;
        until("the row is counted", SOON, || rows().then_some(()));
    }
    let agent = agent.finish();
    for tracer in ["open", "usage"] {
        let rows = agent.store().query(tracer, &["uid=9984"]);
        let files =
            rows.iter().filter(|row| row["fname"].as_str().is_some_and(|path| path.ends_with("/file")));
        let shown: Vec<_> = files.map(|row| (&row["fname"], &row["extended"]["path_incomplete"])).collect();
        let path = json!(format!("{}/file", outside.strip_prefix('/').unwrap()));
        assert_eq!(shown, [(&path, &json!(true))], "{tracer}: {rows:?}");
    }
}

/// A file system of btrfs with the subvolume `one` and its snapshot `two`, made by `mkfs.btrfs --mixed`: both have a `file` with
/// equal numbers.
const SUBVOLUMES: &[u8] = include_bytes!("subvolumes.img.gz");

/// Mounts that file system in a folder, until it is dropped.
struct Subvolumes {
    at: PathBuf,
    _scratch: Scratch,
}

impl Subvolumes {
    fn mount() -> Self {
        let scratch = Scratch::new();
        let (image, at) = (scratch.path().join("image"), scratch.folder("mounted"));
        let mut gzip = Command::new("gzip");
        let gzip = gzip.arg("-dc").stdin(Stdio::piped()).stdout(File::create(&image).unwrap());
        let mut gzip = gzip.spawn().unwrap();
        gzip.stdin.take().unwrap().write_all(SUBVOLUMES).unwrap();
        assert!(gzip.wait().unwrap().success());
        succeed(Command::new("mount").args(["-t", "btrfs", "-o", "loop"]).arg(&image).arg(&at));
        Self { at, _scratch: scratch }
    }

    /// Reads and writes the file of each subvolume.
    fn use_them(&self, uid: u32) {
        let script = "
import os
for name in ('one', 'two'):
    with open(name + '/file', 'r+b', buffering=0) as file:
        assert file.read() == b'content\\n'
        file.write(b'more\\n')
";
        python(uid, &self.at, script, &[]);
    }
}

impl Drop for Subvolumes {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

fn files_in_subvolumes_have_the_device_that_stat_shows() {
    let subvolumes = Subvolumes::mount();
    let agent = Setup::new().start();
    subvolumes.use_them(9983);
    let agent = agent.finish();
    let stats = ["one", "two"].map(|name| subvolumes.at.join(name).join("file").metadata().unwrap());
    assert_eq!(stats[0].ino(), stats[1].ino());
    for (tracer, count) in [("open", 1), ("usage", 2)] {
        let rows = agent.store().query(tracer, &["uid=9983"]);
        for (name, stat) in ["one", "two"].iter().zip(&stats) {
            let path = text(&subvolumes.at.join(name).join("file"));
            let of: Vec<_> = rows.iter().filter(|row| row["fname"] == path.as_str()).collect();
            assert_eq!(of.len(), count, "{tracer}: {rows:?}");
            for row in of {
                let extended = &row["extended"];
                let found = json!([extended["dev"], extended["ino"], extended["subvolume_unknown"]]);
                assert_eq!(found, json!([stat.dev(), stat.ino(), null]), "{row}");
            }
        }
    }
}

/// As if btrfs were a module that was loaded after the agent's start.
fn files_in_unknown_subvolumes_are_marked() {
    let subvolumes = Subvolumes::mount();
    let agent = Setup::new().variable("DUETECTOR_FAULT_SUBVOLUMES", "1").start();
    subvolumes.use_them(9982);
    let agent = agent.finish();
    for (tracer, count) in [("open", 2), ("usage", 4)] {
        let rows = agent.store().query(tracer, &["uid=9982"]);
        let at = text(&subvolumes.at);
        let of: Vec<_> = rows
            .iter()
            .filter(|row| row["fname"].as_str().is_some_and(|path| path.starts_with(&at)))
            .collect();
        assert_eq!(of.len(), count, "{tracer}: {rows:?}");
        assert!(of.iter().all(|row| row["extended"]["subvolume_unknown"] == true), "{of:?}");
        // Of the whole file system: one device for both, and two rows of one tracer for each of the two files.
        assert!(of.iter().all(|row| row["extended"]["dev"] == of[0]["extended"]["dev"]), "{of:?}");
    }
}

fn subvolumes_made_by_ioctl_leave_no_row() {
    let subvolumes = Subvolumes::mount();
    let agent = Setup::new().only(&["mkdir", "unlink"]).start();
    let script = "
import fcntl, os, struct
top = os.open('.', os.O_RDONLY)
fcntl.ioctl(top, 0x5000940e, bytearray(struct.pack('=q4088s', 0, b'three')))  # BTRFS_IOC_SUBVOL_CREATE
assert os.path.isdir('three')
fcntl.ioctl(top, 0x5000940f, bytearray(struct.pack('=q4088s', 0, b'three')))  # BTRFS_IOC_SNAP_DESTROY
assert not os.path.exists('three')
os.mkdir('four')
os.rmdir('four')
";
    python(0, &subvolumes.at, script, &[]);
    let agent = agent.finish();
    for tracer in ["mkdir", "unlink"] {
        let of = |name: &str| {
            let path = text(&subvolumes.at.join(name));
            agent.store().query(tracer, &[&format!("fname={path}")]).len()
        };
        assert_eq!((of("three"), of("four")), (0, 1), "{tracer}");
    }
}
