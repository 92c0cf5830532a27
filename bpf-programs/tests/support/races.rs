//! Attacks on texts and paths: other threads change a call's text while it runs, and paths go through symbolic links. Rows
//! name the files that the kernel worked with.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Fs, Open, Record};

use crate::Test;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[
    ("race_open_whose_text_changes", text_changes),
    ("race_exec_whose_text_changes", exec_changes),
    ("race_attr_whose_descriptor_changes", descriptor_changes),
    ("race_names_through_symlinks", through_symlinks),
    ("refused_open_through_a_symlink_is_marked", refused),
];

/// Two opens of a FIFO wait for a writer. Meanwhile another thread changes the text. The first is then interrupted by a
/// signal, and the second gets its writer.
const RACING: &str = r#"
import ctypes, os, signal, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1]); os.mkfifo("asked")
signal.signal(signal.SIGUSR1, lambda *_: None)
def waits(tid):
    with open(f"/proc/self/task/{tid}/syscall") as f: call = f.read().split()[0]
    with open(f"/proc/self/task/{tid}/stat") as f: state = f.read().rsplit(") ", 1)[1][0]
    return call in ("2", "257") and state == "S"
def race(end):
    text, done = ctypes.create_string_buffer(b"asked", 64), threading.Event()
    def opens():
        libc.syscall(257, -100, text, os.O_RDONLY, 0); done.set()
    thread = threading.Thread(target=opens); thread.start()
    while not waits(thread.native_id): os.sched_yield()
    text.value = b"decoy"
    end(thread); thread.join()
race(lambda thread: signal.pthread_kill(thread.ident, signal.SIGUSR1))
race(lambda thread: os.open("asked", os.O_WRONLY))
"#;

/// A FUSE file system that the process itself serves: while the kernel waits for an answer, the process changes the arguments
/// of the call. The exec of a file that does not exist gets another text; the descriptor of a call that changes attributes gets
/// another file, and an extended attribute another name. `refused` has no name.
const RACING_SERVER: &str = r#"
import ctypes, os, struct, sys, threading
libc = ctypes.CDLL(None, use_errno=True); folder = sys.argv[1].encode()
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"none", folder, b"fuse", 0, options): sys.exit("mount: " + os.strerror(ctypes.get_errno()))
text, name = ctypes.create_string_buffer(folder + b"/asked", 200), ctypes.create_string_buffer(b"trusted.asked", 64)
def serve():
    while True:
        try: _, call, request = struct.unpack_from("<IIQ", os.read(fuse, 1 << 17))
        except OSError: return
        def reply(error, data=b""): os.write(fuse, struct.pack("<IiQ", 16 + len(data), error, request) + data)
        if call == 26: reply(0, struct.pack("<IIIIHHII", 7, 31, 0, 0, 0, 0, 4096, 1) + bytes(36))
        elif call == 1: text.value = folder + b"/decoy"; reply(-2)
        elif call in (4, 21, 24): name.value = b"trusted.decoy"; os.dup2(null, held); reply(-1)
        elif call == 27: reply(0, bytes(16))
        elif call != 2: reply(-38)
threading.Thread(target=serve, daemon=True).start()
if sys.argv[2] == "exec":
    libc.execve(text, (ctypes.c_char_p * 2)(b"x", None), None)
    wanted = 2
else:
    null, held = os.open("/dev/null", os.O_RDONLY), os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    if sys.argv[2] == "fchmod": libc.fchmod(held, 0o700)
    elif sys.argv[2] == "fsetxattr": libc.fsetxattr(held, name, b"v", 1, 0)
    elif sys.argv[2] == "fremovexattr": libc.fremovexattr(held, name)
    else: libc.fsetxattr(held, b"", b"v", 1, 0)
    wanted = 34 if sys.argv[2] == "refused" else 1
failed = ctypes.get_errno(); libc.umount2(folder, 2); os._exit(0 if failed == wanted else failed or 99)
"#;

/// The kinds of records about changes of names.
const NAMES: [Kind; 6] = [Kind::Unlink, Kind::Rename, Kind::Link, Kind::Mkdir, Kind::Attr, Kind::Truncate];

/// Loads the programs of these kinds alone, which takes a guest less time.
fn start(kinds: &'static [Kind]) -> anyhow::Result<Kernel> {
    Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| kinds.contains(&kind))
}

fn run(kernel: &mut Kernel, script: &str, folder: &Path, way: &str) -> anyhow::Result<u32> {
    let mut python = Command::new("/usr/bin/python3");
    let mut child = python.args(["-B", "-I", "-S", "-c", script]).arg(folder).arg(way).spawn()?;
    let pid = child.id();
    ensure!(child.wait()?.success(), "the script failed");
    kernel.drain();
    Ok(pid)
}

fn text_changes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = start(&[Kind::Open])?;
    let pid = run(&mut kernel, RACING, folder.path(), "")?;
    let (mut interrupted, mut opened) = (Vec::new(), Vec::new());
    for bytes in kernel.of(pid, Kind::Open) {
        let Record { identity, details: Details::Open(open), .. } = decode(Kind::Open, &bytes)? else {
            continue;
        };
        let unverified = identity.context("no identity")?.unverified;
        match open.path_asked.to_str().as_ref() {
            "asked" | "decoy" if open.ret < 0 => interrupted.push((*open, unverified)),
            "asked" | "decoy" if open.flags & 3 == 0 => opened.push((*open, unverified)),
            _ => {}
        }
    }
    ensure!(interrupted.len() == 1 && opened.len() == 1, "{interrupted:?} {opened:?}");
    let (interrupted, opened) = (&interrupted[0], &opened[0]);
    let real = folder.path().join("asked");
    ensure!(Path::new(&*opened.0.path.to_str()) == real, "{opened:?}");
    if support::tier() == Tier::Function {
        let is_right =
            |open: &Open| Path::new(&*open.path.to_str()) == real && open.path_asked.to_str() == "asked";
        ensure!(is_right(&interrupted.0) && !interrupted.1, "{interrupted:?}");
        ensure!(is_right(&opened.0) && !opened.1, "{opened:?}");
    } else {
        // Its text can't be known, and the row says so.
        ensure!(interrupted.0.path_asked.to_str() == "decoy" && interrupted.1, "{interrupted:?}");
        // The other thread could have put another file behind the new descriptor.
        ensure!(opened.1, "{opened:?}");
    }
    Ok(())
}

fn exec_changes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = start(&[Kind::Exec, Kind::Open, Kind::Unlink])?;
    let pid = run(&mut kernel, RACING_SERVER, folder.path(), "exec")?;
    let below = folder.path().display().to_string();
    let mut failed = Vec::new();
    for bytes in kernel.of(pid, Kind::Exec) {
        if let Record { identity, details: Details::Exec(exec), .. } = decode(Kind::Exec, &bytes)?
            && exec.path_asked.to_str().starts_with(&below)
        {
            failed.push((*exec, identity.context("no identity")?.unverified));
        }
    }
    ensure!(failed.len() == 1, "{failed:?}");
    let (exec, unverified) = &failed[0];
    let name = if support::tier() == Tier::Function { "asked" } else { "decoy" };
    ensure!(exec.path_asked.to_str() == format!("{below}/{name}"), "{exec:?}");
    // The arguments are the caller's memory.
    ensure!(*unverified && exec.ret == -i64::from(libc::ENOENT) && exec.path_unresolved, "{exec:?}");
    Ok(())
}

fn descriptor_changes() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = start(&[Kind::Attr, Kind::Exec, Kind::Open, Kind::Unlink])?;
    for way in ["fchmod", "fsetxattr", "fremovexattr", "refused"] {
        let pid = run(&mut kernel, RACING_SERVER, folder.path(), way)?;
        let found = kernel.of(pid, Kind::Attr);
        ensure!(found.len() == 1, "{way}: {} rows", found.len());
        let Record { identity, details: Details::Fs(fs), .. } = decode(Kind::Attr, &found[0])? else {
            anyhow::bail!("not attr")
        };
        let unverified = identity.context("no identity")?.unverified;
        is_right(way, &fs, unverified, &folder.path().canonicalize()?).with_context(|| format!("{fs:?}"))?;
    }
    Ok(())
}

/// Checks the row of a call whose descriptor has another file when the call ends.
fn is_right(way: &str, fs: &Fs, unverified: bool, folder: &Path) -> anyhow::Result<()> {
    let decoy = std::fs::metadata("/dev/null")?;
    let file = fs.file.as_ref().context("no file")?;
    let word = fs.word.as_ref().map(|(_, word)| word.to_str().into_owned()).unwrap_or_default();
    // The root of a FUSE file system.
    let is_root = file.ino == 1 && file.dev != decoy.dev();
    if way == "refused" {
        // The kernel has not used the name, which another thread can have changed.
        ensure!(fs.ret == -i64::from(libc::ERANGE) && is_root && unverified, "not marked");
        return Ok(());
    }
    ensure!(fs.ret == -i64::from(libc::EPERM), "another result");
    if support::tier() != Tier::Function {
        ensure!((file.dev, file.ino) == (decoy.dev(), decoy.ino()) && unverified, "not marked");
        ensure!(word == if way == "fchmod" { "" } else { "trusted.decoy" }, "{word}");
        return Ok(());
    }
    ensure!(is_root && !unverified, "another file");
    if way == "fchmod" {
        // Its path is not known any more.
        ensure!(fs.path_incomplete && fs.path.to_str() == "", "a path");
    } else {
        ensure!(word == "trusted.asked", "{word}");
        ensure!(!fs.path_incomplete && Path::new(&*fs.path.to_str()) == folder, "another path");
    }
    Ok(())
}

/// Changes files whose paths go through a symbolic link to a folder and from there upwards. Prints the identities of the
/// changed files, from before or after the change.
const SYMLINKS: &str = r#"
import ctypes, os, sys
os.chdir(sys.argv[1]); libc = ctypes.CDLL(None, use_errno=True)
os.makedirs("real/dir"); os.symlink("real/dir", "lnk"); os.makedirs("safe")
def say(name, path):
    stat = os.stat(path, follow_symlinks=False); print(name, stat.st_dev, stat.st_ino)
for n in "abcdfkl":
    for folder in ("real/dir/", "real/", ""): open(folder + n, "w").close()
say("unlink a", "real/dir/a"); os.unlink("lnk/a")
say("unlink b", "real/b"); os.unlink("lnk/../b")
say("rename c", "real/c"); os.rename("lnk/../c", "lnk/../c2")
say("rename d", "real/d"); say("replaced f", "real/f"); os.rename("lnk/../d", "lnk/../f")
say("link k", "real/k"); os.link("lnk/../k", "lnk/../k2")
os.mkdir("lnk/../g"); say("mkdir g", "real/g"); os.rmdir("lnk/../g")
os.symlink("x", "lnk/../h"); say("symlink h", "real/h")
os.mkfifo("lnk/../m"); say("mknod m", "real/m")
say("unlink l", "real/dir/l"); os.unlink("/proc/self/cwd/lnk/l")
open("real/e", "w").close(); open("e", "w").close(); say("chmod e", "real/e"); os.chmod("lnk/../e", 0o600)
os.utime("lnk/../e"); os.chown("lnk/../e", 0, 0); os.truncate("lnk/../e", 1)
os.setxattr("lnk/../e", "trusted.x", b"v"); os.removexattr("lnk/../e", "trusted.x")
try: os.unlink("lnk/../missing")
except OSError: pass
try: os.mkdir("lnk/../k2")
except OSError: pass
"#;

/// The calls in order: the row's path, its second path, and which identity it has.
const EXPECTED: [(Kind, &str, &str, &str); 19] = [
    (Kind::Unlink, "/real/dir/a", "", "unlink a"),
    (Kind::Unlink, "/real/b", "", "unlink b"),
    (Kind::Unlink, "/real/g", "", "mkdir g"),
    (Kind::Unlink, "/real/dir/l", "", "unlink l"),
    (Kind::Unlink, "/real/missing", "", ""),
    (Kind::Rename, "/real/c", "/real/c2", "rename c"),
    (Kind::Rename, "/real/d", "/real/f", "rename d"),
    (Kind::Link, "/lnk", "", ""),
    (Kind::Link, "/real/k", "/real/k2", "link k"),
    (Kind::Link, "/real/h", "", "symlink h"),
    (Kind::Mkdir, "/real/g", "", "mkdir g"),
    (Kind::Mkdir, "/real/m", "", "mknod m"),
    (Kind::Mkdir, "/real/k2", "", ""),
    (Kind::Attr, "/real/e", "", "chmod e"),
    (Kind::Attr, "/real/e", "", "chmod e"),
    (Kind::Attr, "/real/e", "", "chmod e"),
    (Kind::Attr, "/real/e", "", "chmod e"),
    (Kind::Attr, "/real/e", "", "chmod e"),
    (Kind::Truncate, "/real/e", "", "chmod e"),
];

fn through_symlinks() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    let mut kernel = start(&NAMES)?;
    let mut python = Command::new("/usr/bin/python3");
    let python = python.args(["-B", "-I", "-S", "-c", SYMLINKS]).arg(&root);
    let child = python.stdout(std::process::Stdio::piped()).spawn()?;
    let pid = child.id();
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the script failed");
    let said = String::from_utf8(output.stdout)?;
    let known: BTreeMap<String, (u64, u64)> = said.lines().filter_map(parse).collect();
    kernel.drain();
    let mut all: BTreeMap<Kind, Vec<Fs>> = BTreeMap::new();
    for kind in NAMES {
        for bytes in kernel.of(pid, kind) {
            if let Details::Fs(fs) = decode(kind, &bytes)?.details {
                all.entry(kind).or_default().push(*fs);
            }
        }
    }
    // Those that make the folders.
    all.entry(Kind::Mkdir)
        .or_default()
        .retain(|fs| fs.path_asked.as_ref().is_some_and(|asked| asked.to_str().contains("..")));
    for kind in NAMES {
        let (found, calls) =
            (all.get(&kind).map_or(0, Vec::len), EXPECTED.iter().filter(|(of, ..)| *of == kind));
        ensure!(found == calls.count(), "{kind:?}: {found} rows: {all:#?}");
    }
    if support::tier() != Tier::Function {
        let unresolved = all.values().flatten().all(|fs| fs.path_unresolved && fs.file.is_none());
        ensure!(unresolved, "{all:?}");
        return Ok(());
    }
    for kind in NAMES {
        let expected = EXPECTED.iter().filter(|(of, ..)| *of == kind);
        let found = all.remove(&kind).unwrap_or_default();
        for ((_, path, second, name), fs) in expected.zip(&found) {
            let below = |path: &str| root.join(&path[1..]);
            ensure!(Path::new(&*fs.path.to_str()) == below(path) && !fs.path_unresolved, "{path}: {fs:?}");
            if let Some(other) = fs.other.as_ref().filter(|_| !second.is_empty()) {
                ensure!(Path::new(&*other.path.to_str()) == below(second), "{second}: {fs:?}");
            }
            let word = fs.word.as_ref().map(|(_, word)| word.to_str());
            ensure!(!fs.call.contains("xattr") || word.as_deref() == Some("trusted.x"), "{fs:?}");
            let file = fs.file.as_ref().map(|file| (file.dev, file.ino));
            ensure!(*path == "/lnk" || file == known.get(*name).copied(), "{name}: {fs:?} {known:?}");
            let replaced = fs.replaced.as_ref().map(|file| (file.dev, file.ino));
            let expected = known.get("replaced f").copied().filter(|_| *name == "rename d");
            ensure!(replaced == expected, "{name}: {fs:?} {known:?}");
        }
    }
    ensure!(std::fs::metadata(root.join("b"))?.ino() != 0, "the file that the text names still exists");
    Ok(())
}

/// Opens a file behind a symbolic link that its user may not open; another of that name is where the text leads without it.
const REFUSED: &str = r#"
import os, sys
os.chdir(sys.argv[1]); os.makedirs("real/dir"); os.symlink("real/dir", "lnk")
for name in ("real/secret", "secret"): os.close(os.open(name, os.O_CREAT, 0o600))
os.chmod(".", 0o755); os.setresuid(64983, 64983, 64983)
try: os.open("lnk/../secret", os.O_RDONLY)
except PermissionError: sys.exit()
sys.exit("it is open")
"#;

fn refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kernel = start(&[Kind::Open])?;
    let pid = run(&mut kernel, REFUSED, folder.path(), "")?;
    let mut found = Vec::new();
    for bytes in kernel.of(pid, Kind::Open) {
        let Record { identity, details: Details::Open(open), .. } = decode(Kind::Open, &bytes)? else {
            continue;
        };
        if open.path_asked.as_bytes() == b"lnk/../secret" {
            found.push((*open, identity.context("no identity")?.unverified));
        }
    }
    let [(open, unverified)] = &found[..] else { anyhow::bail!("{found:?}") };
    // The kernel gives no file to whoever may not open it.
    ensure!(open.ret == -i64::from(libc::EACCES) && open.path_unresolved && open.file.is_none(), "{open:?}");
    // With functions the text is the kernel's own copy.
    ensure!(*unverified == (support::tier() != Tier::Function), "{open:?}");
    Ok(())
}

/// Parses a line of the script: a name of two words, device and inode.
fn parse(line: &str) -> Option<(String, (u64, u64))> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [call, name, dev, ino] = words[..] else { return None };
    Some((format!("{call} {name}"), (dev.parse().ok()?, ino.parse().ok()?)))
}
