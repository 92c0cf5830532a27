//! A file is identified by device, inode and generation, whichever path leads to it; the path shows how it was
//! reached.

use std::fs::{self, File as Opened};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::{Details, File, Fs, Layer, Open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::Test;
use crate::support::{Kernel, decode, generation};

pub const TESTS: &[Test] = &[
    ("identity_by_all_names", all_names),
    ("identity_of_a_number_used_again", used_again),
    ("identity_through_copy_up", copied_up),
    ("identity_behind_pivot_root", pivoted),
    ("identity_outside_of_the_root", outside),
    ("identity_of_deep_paths", deep),
    ("identity_inside_a_pid_namespace", inside),
];

/// Runs a function in a thread with its own root, working folder and mounts, which end with the thread.
pub fn apart(what: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        what()
    });
    thread.join().map_err(|_| anyhow::anyhow!("panicked"))?
}

pub fn tmpfs(at: &Path) -> anyhow::Result<()> {
    Ok(mount(Some("none"), at, Some("tmpfs"), MsFlags::empty(), None::<&str>)?)
}

/// Returns the opens of this process that asked for a path.
pub fn opens(kernel: &mut Kernel, asked: &Path) -> anyhow::Result<Vec<Open>> {
    kernel.drain();
    let mut found = Vec::new();
    for bytes in kernel.of(std::process::id(), Kind::Open) {
        if let Details::Open(open) = decode(Kind::Open, &bytes)?.details
            && open.path_asked.as_bytes() == asked.as_os_str().as_bytes()
        {
            found.push(*open);
        }
    }
    Ok(found)
}

fn only(kernel: &mut Kernel, asked: &Path) -> anyhow::Result<(Open, File)> {
    let mut found = opens(kernel, asked)?;
    ensure!(found.len() == 1, "{} opens of {asked:?}", found.len());
    let open = found.remove(0);
    let file = open.file.context("no file")?;
    Ok((open, file))
}

fn same(found: &File, file: &File) -> bool {
    (found.dev, found.ino, found.generation) == (file.dev, file.ino, file.generation)
}

fn all_names() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    for name in ["parent", "mounted"] {
        fs::create_dir(at(name))?;
    }
    fs::write(at("parent/file"), "x")?;
    fs::write(at("covered"), "")?;
    fs::hard_link(at("parent/file"), at("link"))?;
    let stat = fs::metadata(at("link"))?;
    let right = (stat.dev(), stat.ino(), generation(&at("link"))?);
    let mut kernel = Kernel::start()?;
    let root = folder.path().to_owned();
    apart(move || {
        for name in ["parent/file", "link"] {
            Opened::open(root.join(name))?;
        }
        for (from, to) in [("parent", "mounted"), ("link", "covered")] {
            let (from, to) = (root.join(from), root.join(to));
            mount(Some(&from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        Opened::open(root.join("mounted/file"))?;
        Opened::open(root.join("covered"))?;
        fs::rename(root.join("parent"), root.join("renamed"))?;
        let held = Opened::open(root.join("renamed/file"))?;
        fs::remove_file(root.join("renamed/file"))?;
        fs::remove_file(root.join("link"))?;
        Opened::open(format!("/proc/self/fd/{}", held.as_raw_fd()))?;
        nix::unistd::ftruncate(
            Opened::options().write(true).open(format!("/proc/self/fd/{}", held.as_raw_fd()))?,
            7,
        )?;
        fs::write(root.join("renamed/other"), "")?;
        nix::unistd::chroot(&root.join("renamed"))?;
        Opened::open("/other")?;
        Ok(())
    })?;
    let mut names = vec![];
    for name in ["parent/file", "link", "mounted/file", "covered", "renamed/file"] {
        names.push((at(name), at(name).to_string_lossy().into_owned()));
    }
    for (asked, path) in names {
        let (open, file) = only(&mut kernel, &asked)?;
        ensure!((file.dev, file.ino, file.generation) == right, "{open:?} is not {right:?}");
        ensure!(open.path.to_str() == path && !open.path_incomplete && file.real.is_none(), "{open:?}");
    }
    let gone = format!("{} (deleted)", at("renamed/file").display());
    let truncated: Vec<Fs> = fs_of(&kernel, Kind::Truncate)?;
    let file = truncated.iter().find(|fs| fs.path.to_str() == gone).and_then(|fs| fs.file);
    ensure!(file.is_some_and(|file| (file.dev, file.ino, file.generation) == right), "{truncated:?}");
    let other = only(&mut kernel, Path::new("/other"))?;
    ensure!(other.0.path.to_str() == "/other" && other.1.ino == fs::metadata(at("renamed/other"))?.ino());
    Ok(())
}

fn fs_of(kernel: &Kernel, kind: Kind) -> anyhow::Result<Vec<Fs>> {
    let records =
        kernel.of(std::process::id(), kind).into_iter().map(|bytes| Ok(decode(kind, &bytes)?.details));
    let all: Vec<Details> = records.collect::<anyhow::Result<_>>()?;
    Ok(all
        .into_iter()
        .filter_map(|found| if let Details::Fs(fs) = found { Some(*fs) } else { None })
        .collect())
}

/// If the file system reuses an inode number, the generation distinguishes the files.
fn used_again() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("file");
    let mut kernel = Kernel::start()?;
    for _ in 0..crate::TIMES {
        Opened::create(&path)?;
        fs::remove_file(&path)?;
    }
    let files: Vec<File> = opens(&mut kernel, &path)?.iter().filter_map(|open| open.file).collect();
    ensure!(files.len() == crate::TIMES, "{}", files.len());
    for (at, file) in files.iter().enumerate() {
        ensure!(!files[..at].iter().any(|before| same(before, file)), "{file:?} twice in {files:?}");
    }
    Ok(())
}

/// Read in the lower layer, written in the upper: one identity for both, and the real file of each.
fn copied_up() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().to_owned();
    let mut kernel = Kernel::start()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let below = root.clone();
    apart(move || {
        tmpfs(&below)?;
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir(below.join(name))?;
        }
        fs::write(below.join("lower/file"), "x")?;
        let at = |name: &str| below.join(name);
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            at("lower").display(),
            at("upper").display(),
            at("work").display()
        );
        mount(Some("overlay"), &at("merged"), Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        Opened::open(at("merged/file"))?;
        let stat = fs::metadata(at("merged/file"))?;
        let lower = (fs::metadata(at("lower/file"))?, generation(&at("lower/file"))?);
        Opened::options().append(true).open(at("merged/file"))?;
        Opened::open(at("merged/file"))?;
        let after = fs::metadata(at("merged/file"))?;
        ensure!((stat.dev(), stat.ino()) == (after.dev(), after.ino()), "stat itself says two");
        let upper = (fs::metadata(at("upper/file"))?, generation(&at("upper/file"))?);
        Ok(sender.send((stat, lower, upper))?)
    })?;
    let (stat, lower, upper) = receiver.recv()?;
    let found = opens(&mut kernel, &root.join("merged/file"))?;
    let files: Vec<File> = found.iter().filter_map(|open| open.file).collect();
    ensure!(files.len() == 3 && files.iter().all(|file| same(file, &files[0])), "{files:?}");
    ensure!((files[0].dev, files[0].ino) == (stat.dev(), stat.ino()), "{files:?} is not {stat:?}");
    let expected = [(Layer::Lower, &lower), (Layer::Upper, &upper), (Layer::Upper, &upper)];
    for (file, (layer, (stat, generation))) in files.iter().zip(expected) {
        let real = file.real.context("no real file")?;
        ensure!(
            (real.layer, real.dev, real.ino, real.generation) == (layer, stat.dev(), stat.ino(), *generation),
            "{real:?} is not {layer:?} {stat:?} {generation}"
        );
    }
    Ok(())
}

fn pivoted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().to_owned();
    let mut kernel = Kernel::start()?;
    let at = root.clone();
    apart(move || {
        tmpfs(&at)?;
        fs::create_dir(at.join("old"))?;
        fs::write(at.join("pivoted-file"), "")?;
        Opened::open(at.join("pivoted-file"))?;
        nix::unistd::pivot_root(&at, &at.join("old"))?;
        nix::unistd::chdir("/")?;
        Opened::open("/pivoted-file")?;
        Opened::open("/old/etc/passwd")?;
        Ok(())
    })?;
    let before: Vec<Open> = opens(&mut kernel, &root.join("pivoted-file"))?;
    let (open, file) = only(&mut kernel, Path::new("/pivoted-file"))?;
    ensure!(open.path.to_str() == "/pivoted-file" && !open.path_incomplete, "{open:?}");
    let first = before.iter().filter_map(|open| open.file).next_back();
    ensure!(first.is_some_and(|first| same(&first, &file)), "{before:?} {file:?}");
    let (old, file) = only(&mut kernel, Path::new("/old/etc/passwd"))?;
    ensure!(
        old.path.to_str() == "/old/etc/passwd" && file.ino == fs::metadata("/etc/passwd")?.ino(),
        "{old:?}"
    );
    Ok(())
}

/// A path that does not lead up to the process's root, because it is outside of a chroot or in another mount namespace, is not
/// taken for one below the root.
fn outside() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().to_owned();
    fs::create_dir(root.join("jail"))?;
    fs::create_dir(root.join("apart"))?;
    fs::write(root.join("outside-file"), "x")?;
    let ino = fs::metadata(root.join("outside-file"))?.ino();
    let mut kernel = Kernel::start()?;
    let at = root.clone();
    apart(move || {
        let folder = Opened::open(&at)?;
        nix::unistd::chroot(&at.join("jail"))?;
        nix::fcntl::openat(
            &folder,
            "outside-file",
            nix::fcntl::OFlag::O_RDONLY,
            nix::sys::stat::Mode::empty(),
        )?;
        nix::unistd::unlinkat(&folder, "outside-file", nix::unistd::UnlinkatFlags::NoRemoveDir)?;
        Ok(())
    })?;
    let (open, file) = only(&mut kernel, Path::new("outside-file"))?;
    let path = root.join("outside-file");
    let path = path.to_str().and_then(|path| path.strip_prefix('/')).context("no absolute path")?;
    ensure!(open.path.to_str() == path && open.path_incomplete && file.ino == ino, "{open:?}");
    let removed: Vec<Fs> = fs_of(&kernel, Kind::Unlink)?;
    let removed = removed.iter().find(|fs| fs.path.to_str().ends_with("outside-file")).context("no row")?;
    ensure!(removed.path.to_str() == path && removed.path_incomplete, "{removed:?}");

    let (to, from) = std::sync::mpsc::channel();
    let (done, wait) = std::sync::mpsc::channel();
    let other = std::thread::spawn(move || {
        apart(move || {
            tmpfs(&root.join("apart"))?;
            fs::create_dir(root.join("apart/old"))?;
            fs::write(root.join("apart/etc-passwd"), "")?;
            nix::unistd::pivot_root(&root.join("apart"), &root.join("apart/old"))?;
            nix::unistd::chdir("/")?;
            nix::mount::umount2("/old", nix::mount::MntFlags::MNT_DETACH)?;
            to.send(nix::unistd::gettid())?;
            Ok(wait.recv()?)
        })
    });
    let tid = from.recv()?;
    let asked = format!("/proc/self/task/{tid}/root/etc-passwd");
    Opened::open(&asked)?;
    done.send(())?;
    other.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    let (open, _) = only(&mut kernel, Path::new(&asked))?;
    ensure!(open.path.to_str() == "etc-passwd" && open.path_incomplete, "{open:?}");
    Ok(())
}

/// Paths of 200 names are whole, and so are more bytes than a call takes; of longer paths the end is kept and
/// marked.
fn deep() -> anyhow::Result<()> {
    for (name, depth, whole) in [
        ("d".to_owned(), 200, true),
        ("d".to_owned(), 320, false),
        ("n".repeat(250), 20, true),
        ("n".repeat(250), 40, false),
    ] {
        let folder = tempfile::tempdir()?;
        let (root, below) = (folder.path().to_owned(), vec![name.clone(); depth]);
        let mut kernel = Kernel::start()?;
        let names = below.clone();
        apart(move || {
            nix::unistd::chdir(&root)?;
            for name in &names {
                fs::create_dir(name)?;
                nix::unistd::chdir(name.as_str())?;
            }
            Opened::create("deep-file")?;
            Ok(())
        })?;
        let (open, _) = only(&mut kernel, Path::new("deep-file"))?;
        let path: PathBuf =
            [folder.path().to_owned()].into_iter().chain(below.iter().map(PathBuf::from)).collect();
        let path = path.join("deep-file");
        ensure!(open.path_incomplete != whole, "{depth} of {}: {open:?}", name.len());
        let (found, right) = (open.path.as_bytes(), path.as_os_str().as_bytes());
        ensure!(if whole { found == right } else { !found.is_empty() && right.ends_with(found) }, "{open:?}");
    }
    Ok(())
}

/// A process has its id in the initial pid namespace, and the one in its own.
fn inside() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let script = r#"open(my $f, "<", "/proc/self/inside-$$")"#;
    let mut command = std::process::Command::new("unshare");
    ensure!(command.args(["--pid", "--fork", "perl", "-e", script]).status()?.success());
    kernel.drain();
    let mut found = 0;
    for bytes in kernel.all(Kind::Open) {
        let record = decode(Kind::Open, &bytes)?;
        if let (Some(who), Details::Open(open)) = (record.identity, record.details)
            && open.path_asked.to_str() == "/proc/self/inside-1"
        {
            ensure!(who.ns_pid == 1 && who.pid > 1, "{who:?}");
            found += 1;
        }
    }
    ensure!(found == 1, "{found}");
    Ok(())
}
