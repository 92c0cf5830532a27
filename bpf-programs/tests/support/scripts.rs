//! Files that an interpreter runs: scripts with `#!`, files of binfmt_misc. The row is about the file that was asked for,
//! and names the interpreter in fields of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::{Header, Kind, apply};
use model::{Details, Exec, ExecId, Identity, ProcessTable};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};

use crate::support::{Kernel, Lacking, decode, generation, tier};
use crate::{TIMES, Test};

pub const TESTS: &[Test] = &[
    ("script_is_the_file_of_its_row", script),
    ("script_of_a_script", nested),
    ("script_in_a_memfd", in_memory),
    ("script_of_a_process_with_io_uring_or_many_files", hidden),
    ("script_without_interpreter", failing),
    ("script_by_binfmt_misc", registered),
];

const PROGRAM: &str = include_str!("scripts.py");

/// A folder `real` with the script, and a link to it.
struct Folder {
    _temporary: tempfile::TempDir,
    root: PathBuf,
    script: PathBuf,
}

impl Folder {
    fn new(text: &str) -> anyhow::Result<Self> {
        let temporary = tempfile::tempdir()?;
        let root = fs::canonicalize(temporary.path())?;
        fs::create_dir_all(root.join("real/below"))?;
        symlink("real/below", root.join("link"))?;
        let script = root.join("real/script");
        executable(&script, text)?;
        Ok(Self { _temporary: temporary, root, script })
    }

    /// Returns a path that leads to the script only if its symbolic link is followed.
    fn crooked(&self) -> PathBuf {
        self.root.join("link/../script")
    }
}

fn executable(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// Runs a command to its end; returns the records of its execs.
fn execs(kernel: &mut Kernel, command: &mut Command) -> anyhow::Result<(u32, Vec<(Identity, Exec)>)> {
    let mut child = command.stderr(Stdio::inherit()).spawn()?;
    let pid = child.id();
    child.wait()?;
    kernel.wait_for(pid, Kind::Exit, 1)?;
    let mut found = Vec::new();
    for bytes in kernel.of(pid, Kind::Exec) {
        let record = decode(Kind::Exec, &bytes)?;
        let identity = record.identity.context("no identity")?;
        let Details::Exec(exec) = record.details else { bail!("no exec") };
        found.push((identity, *exec));
    }
    Ok((pid, found))
}

/// Returns the exec of a script that a command is, or that it becomes.
fn last(kernel: &mut Kernel, command: &mut Command) -> anyhow::Result<(Identity, Exec)> {
    execs(kernel, command)?.1.pop().context("no exec")
}

fn by_python(way: &str, script: &Path) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-B", "-I", "-S", "-c", PROGRAM, way]).arg(script);
    command
}

/// Fails unless the record is about this file, run by that program.
fn check(exec: &Exec, file: &Path, program: &Path) -> anyhow::Result<()> {
    let program = fs::canonicalize(program)?;
    let (right, runs) = (fs::metadata(file)?, fs::metadata(&program)?);
    let found = exec.file.context("no file")?;
    let identity = (right.dev(), right.ino(), generation(file)?);
    ensure!((found.dev, found.ino, found.generation) == identity, "{exec:?} is not {identity:?}");
    let interpreter = exec.interpreter.as_ref().context("no interpreter")?;
    ensure!(Path::new(&*interpreter.path.to_str()) == program, "{exec:?}");
    ensure!((interpreter.file.dev, interpreter.file.ino) == (runs.dev(), runs.ino()), "{exec:?}");
    ensure!(exec.ret == 0 && !exec.memfd, "{exec:?}");
    Ok(())
}

/// Fails unless the record has the file's path.
fn check_path(exec: &Exec, file: &Path) -> anyhow::Result<()> {
    ensure!(Path::new(&*exec.path.to_str()) == file, "{exec:?} is not {file:?}");
    ensure!(!exec.path_unresolved && !exec.path_incomplete, "{exec:?}");
    Ok(())
}

/// Returns whether a script is known for certain: with tier `function`, or by a tracepoint that Linux 6.10 has.
fn is_certain() -> anyhow::Result<bool> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Ok(tier() == Tier::Function || version >= (6, 10))
}

fn script() -> anyhow::Result<()> {
    let folder = Folder::new("#!/bin/sh\nexit 3\n")?;
    let mut kernel = Kernel::start()?;
    for _ in 0..TIMES {
        for asked in [folder.script.clone(), folder.crooked()] {
            let (identity, exec) = last(&mut kernel, Command::new(&asked).arg("x"))?;
            check(&exec, &folder.script, Path::new("/bin/sh"))?;
            check_path(&exec, &folder.script)?;
            ensure!(Path::new(&*exec.path_asked.to_str()) == asked && exec.argv.len() == 3, "{exec:?}");
            ensure!(identity.unverified != is_certain()?, "{identity:?}");
        }
    }
    let (pid, _) = execs(&mut kernel, &mut Command::new(&folder.script))?;
    // The process is the program that runs.
    let (table, bytes) = (ProcessTable::default(), kernel.of(pid, Kind::Exec).remove(0));
    apply(&table, &bytes)?;
    let start_ns = Header::parse(&bytes)?.start_ns;
    let process = table.latest(ExecId { pid, start_ns }).context("no process")?;
    let exe = process.exe.as_ref().context("no exe")?;
    ensure!(Path::new(&*exe.to_str()) == fs::canonicalize("/bin/sh")?, "{process:?}");
    // A program that runs by itself has no other.
    let (_, exec) = last(&mut kernel, &mut Command::new("/bin/true"))?;
    ensure!(exec.interpreter.is_none() && !exec.path_unresolved, "{exec:?}");
    check_path(&exec, &fs::canonicalize("/bin/true")?)
}

fn nested() -> anyhow::Result<()> {
    let folder = Folder::new("#!/bin/sh\nexit 3\n")?;
    let outer = folder.root.join("outer");
    executable(&outer, &format!("#!{}\n", folder.script.display()))?;
    let mut kernel = Kernel::start()?;
    for _ in 0..TIMES {
        let (_, exec) = last(&mut kernel, &mut Command::new(&outer))?;
        check(&exec, &outer, Path::new("/bin/sh"))?;
        check_path(&exec, &outer)?;
    }
    Ok(())
}

fn in_memory() -> anyhow::Result<()> {
    let mut kernel = Kernel::start()?;
    let (_, exec) = last(&mut kernel, &mut by_python("memory", Path::new("/")))?;
    ensure!(exec.memfd && exec.path.to_str() == "/memfd:hidden (deleted)", "{exec:?}");
    let interpreter = exec.interpreter.context("no interpreter")?;
    ensure!(Path::new(&*interpreter.path.to_str()) == fs::canonicalize("/bin/sh")?, "{interpreter:?}");
    ensure!(exec.execveat.is_some() && exec.file.is_some(), "{:?}", exec.file);
    Ok(())
}

/// io_uring makes the kernel close the script early; many files are closed after it. The old program's own file must not
/// be taken for the script.
fn hidden() -> anyhow::Result<()> {
    let folder = Folder::new("#!/bin/sh\nexit 3\n")?;
    let mut kernel = Kernel::start()?;
    for _ in 0..2 {
        let (_, exec) = last(&mut kernel, &mut by_python("files", &folder.crooked()))?;
        check(&exec, &folder.script, Path::new("/bin/sh"))?;
        check_path(&exec, &folder.script)?;
        let (identity, exec) = last(&mut kernel, &mut by_python("ring", &folder.crooked()))?;
        if !is_certain()? {
            ensure!(identity.unverified, "{identity:?}");
            continue;
        }
        check(&exec, &folder.script, Path::new("/bin/sh"))?;
        let asked = folder.root.join("script");
        ensure!(!exec.path_unresolved || Path::new(&*exec.path.to_str()) == asked, "{exec:?}");
    }
    Ok(())
}

/// A script that is not executed, because its interpreter is not there, or is no program.
fn failing() -> anyhow::Result<()> {
    let folder = Folder::new("#!/no/such\n")?;
    let junk = folder.root.join("junk");
    executable(&junk, "junk")?;
    let second = folder.root.join("second");
    executable(&second, &format!("#!{}\n", junk.display()))?;
    let mut kernel = Kernel::start()?;
    let cases = [(&folder.script, folder.crooked(), libc::ENOENT), (&second, second.clone(), libc::ENOEXEC)];
    for (file, asked, errno) in cases {
        for _ in 0..TIMES {
            let (_, found) = execs(&mut kernel, &mut by_python("refused", &asked))?;
            let text = asked.to_str().context("a path")?;
            let exec = found.into_iter().map(|(_, exec)| exec).find(|exec| exec.path_asked.to_str() == text);
            let exec = exec.with_context(|| format!("no exec of {asked:?}"))?;
            ensure!(exec.ret == -i64::from(errno), "{exec:?} should fail with {errno}");
            check_path(&exec, file)?;
            let (right, found) = (fs::metadata(file)?, exec.file.context("no file")?);
            ensure!((found.dev, found.ino) == (right.dev(), right.ino()), "{exec:?}");
            ensure!(exec.interpreter.is_none(), "{exec:?}");
        }
    }
    Ok(())
}

/// Files that binfmt_misc runs, with and without its flag `O`, by which the kernel keeps the file open for the interpreter.
fn registered() -> anyhow::Result<()> {
    let folder = Folder::new("any text\n")?;
    let by_extension = folder.root.join("file.duetector");
    fs::rename(&folder.script, &by_extension)?;
    let rules = folder.root.join("rules");
    fs::create_dir(&rules)?;
    match mount(Some("none"), &rules, Some("binfmt_misc"), MsFlags::empty(), None::<&str>) {
        Err(Errno::ENODEV) => bail!(Lacking("binfmt_misc")),
        mounted => mounted?,
    }
    let mut kernel = Kernel::start()?;
    let done = ["", "O"].iter().try_for_each(|flags| {
        fs::write(rules.join("register"), format!(":duetector-test:E::duetector::/bin/true:{flags}"))?;
        let found = last(&mut kernel, &mut Command::new(&by_extension));
        fs::write(rules.join("duetector-test"), "-1")?;
        let (_, exec) = found?;
        check(&exec, &by_extension, Path::new("/bin/true"))?;
        check_path(&exec, &by_extension)
    });
    umount(&rules)?;
    done
}
