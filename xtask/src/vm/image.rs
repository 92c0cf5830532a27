//! The guest's file system, an initramfs: suites, agent, and the programs of this machine that tests use, with their
//! libraries.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::matrix::{Boot, Matrix, Suite, program};
use crate::programs::Programs;
use crate::run::{self, find};

const INIT: &str = include_str!("init.sh");
/// The file that suites write their results to, in the guest.
const RESULTS: &str = "/dev/ttyS1";

/// Builds it, which takes a few seconds, and returns its path.
pub(crate) fn build(wanted: &Wanted<'_>, modules: &[(String, PathBuf)]) -> Result<PathBuf> {
    let (matrix, programs) = (wanted.matrix, wanted.programs);
    let root = wanted.folder.join("root");
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot clear {}", root.display()))?;
    }
    let mut tree = Tree { root, there: BTreeSet::new() };
    tree.lay_out()?;
    for pattern in &matrix.files {
        let found = glob(pattern)?;
        ensure!(!found.is_empty(), "no {pattern} here, which the guest needs");
        found.iter().try_for_each(|path| tree.add(path))?;
    }
    modules.iter().enumerate().try_for_each(|(at, (release, path))| tree.module(at, release, path))?;
    for suite in &matrix.suites {
        tree.program(&program(programs, &suite.test)?.path, &format!("suites/{}", suite.test))?;
    }
    for name in &matrix.helpers {
        let found = programs.helpers.iter().find(|(known, _)| known == name);
        let (_, path) = found.with_context(|| format!("cargo built no program {name}"))?;
        tree.program(path, &format!("suites/{name}"))?;
    }
    tree.program(&programs.agent, "suites/duetector-actors")?;
    for kernel in &matrix.kernels {
        for boot in &wanted.boots {
            let name = label(&boot.label(&kernel.name));
            tree.text(&format!("suites/{name}.boot"), &script(wanted, &kernel.name, boot)?)?;
        }
    }
    matrix
        .examples
        .iter()
        .try_for_each(|folder| tree.examples(&run::root().join(folder), &programs.agent))?;
    tree.archive(&wanted.folder.join("initramfs"))
}

/// The name of a boot as a file's.
pub(crate) fn label(boot: &str) -> String {
    boot.replace(' ', "-")
}

/// The shell commands of that boot: its steps and their suites, for the functions of `init.sh`.
fn script(wanted: &Wanted<'_>, kernel: &str, boot: &Boot) -> Result<String> {
    let mut script = String::new();
    for (at, step) in boot.steps.iter().enumerate() {
        script += &format!("step {at}\nunset DUETECTOR_TEST_TIER DUETECTOR_EBPF__TIER\n");
        for (name, value) in step.variables() {
            script += &format!("export {name}={value}\n");
        }
        let column = boot.column(kernel, step);
        for suite in wanted.matrix.suites_of(step) {
            let tests = program(wanted.programs, &suite.test)?.tests()?;
            let skipped = suite.skipped(&column).into_iter().map(|skip| skip.test.as_str());
            let words = Suite::arguments(RESULTS, skipped.chain(boot.others(step, &tests)), wanted.filter);
            let quoted: Vec<_> =
                words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
            script += &format!("suite {} {}\n", suite.test, quoted.join(" "));
        }
    }
    script += &format!("step {}\n", boot.steps.len());
    Ok(script)
}

struct Tree {
    root: PathBuf,
    there: BTreeSet<PathBuf>,
}

impl Tree {
    /// Makes folders and links as on this machine, so that a path means the same here and in the guest.
    fn lay_out(&mut self) -> Result<()> {
        for folder in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "suites", "etc", "root"] {
            fs::create_dir_all(self.root.join(folder)).context("cannot make the guest's folders")?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
                symlink(target, self.root.join(name)).context("cannot link the guest's folders")?;
            }
        }
        self.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")?;
        self.text("etc/group", "root:x:0:\n")?;
        self.text("init", INIT)?;
        let busybox = find("busybox").context("no busybox")?;
        self.copy(&busybox, "busybox")
    }

    fn text(&self, path: &str, text: &str) -> Result<()> {
        let path = self.root.join(path);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("cannot set the mode")
    }

    fn copy(&self, from: &Path, path: &str) -> Result<()> {
        let to = self.root.join(path);
        let parent = to.parent().context("no folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }

    /// Adds a module of a guest's kernel, uncompressed; the guest loads them by their numbers `at`.
    fn module(&self, at: usize, release: &str, from: &Path) -> Result<()> {
        let name = from.file_name().context("no name")?.to_string_lossy().into_owned();
        let name = format!("{at:02}-{name}");
        self.copy(from, &format!("modules/{release}/{name}"))?;
        if !name.ends_with(".xz") {
            return Ok(());
        }
        run::quietly(
            Command::new("xz").arg("--decompress").arg(self.root.join("modules").join(release).join(name)),
        )
    }

    /// Adds a program of ours, without its debugging symbols, which are most of it; and its libraries.
    fn program(&mut self, from: &Path, path: &str) -> Result<()> {
        self.copy(from, path)?;
        run::quietly(Command::new("strip").arg("--strip-debug").arg(self.root.join(path)))?;
        self.libraries(from)
    }

    /// Adds a file or folder of this machine at the same path; a link with its target.
    fn add(&mut self, path: &Path) -> Result<()> {
        let parent = path.parent().context("not a file")?;
        let name = path.file_name().context("not a file")?;
        let parent = fs::canonicalize(parent).with_context(|| format!("no {}", parent.display()))?;
        let path = parent.join(name);
        if !self.there.insert(path.clone()) {
            return Ok(());
        }
        let inside = path.strip_prefix("/").context("not absolute")?.to_owned();
        let kind = fs::symlink_metadata(&path).with_context(|| format!("no {}", path.display()))?.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(&path).context("cannot read a link")?;
            let to = self.root.join(&inside);
            fs::create_dir_all(to.parent().context("no folder")?).context("cannot make a folder")?;
            symlink(&target, to).with_context(|| format!("cannot link {}", path.display()))?;
            return self.add(&parent.join(target));
        }
        if kind.is_dir() {
            let entries = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
            return entries.flatten().try_for_each(|entry| self.add(&entry.path()));
        }
        self.copy(&path, &inside.to_string_lossy())?;
        let is_program = fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
        if is_program { self.libraries(&path) } else { Ok(()) }
    }

    /// Adds the libraries that the dynamic linker would load for the program.
    fn libraries(&mut self, program: &Path) -> Result<()> {
        // A program that is linked statically makes ldd fail, and needs nothing.
        let listed = run::output(Command::new("ldd").arg(program)).unwrap_or_default();
        for line in listed.lines() {
            if line.contains("not found") {
                bail!("{}: {}", program.display(), line.trim());
            }
            let path = line.split_whitespace().find(|word| word.starts_with('/'));
            path.map_or(Ok(()), |path| self.add(Path::new(path)))?;
        }
        Ok(())
    }

    /// Adds templates and their programs; each source becomes an object, and the template names that.
    fn examples(&self, folder: &Path, agent: &Path) -> Result<()> {
        let to = self.root.join("suites/examples");
        fs::create_dir_all(&to).context("cannot make the examples' folder")?;
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
            if name.ends_with(".toml") {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
                self.text(&format!("suites/examples/{name}"), &text.replace(".bpf.c\"", ".bpf.o\""))?;
            } else if let Some(stem) = name.strip_suffix(".bpf.c") {
                let object = to.join(format!("{stem}.bpf.o"));
                run::quietly(
                    Command::new(agent).args(["tracers", "compile"]).arg(&path).arg("-o").arg(object),
                )?;
            }
        }
        Ok(())
    }

    /// Packs everything as the kernel unpacks it: owned by root, and not compressed, since that costs the guest most.
    fn archive(&self, to: &Path) -> Result<PathBuf> {
        let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
        let mut find = Command::new("find")
            .args([".", "-print0"])
            .current_dir(&self.root)
            .stdout(Stdio::piped())
            .spawn()?;
        let names = find.stdout.take().context("no names")?;
        let cpio = ["--null", "--create", "--format=newc", "--quiet", "--owner=0:0"];
        let done = Command::new("cpio").args(cpio).current_dir(&self.root).stdin(names).stdout(file).status();
        ensure!(done.context("cannot run cpio")?.success() && find.wait()?.success(), "cpio failed");
        Ok(to.to_owned())
    }
}

/// The paths that match the pattern; `*` is any part of a name.
fn glob(pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = match part.split_once('*') {
            None => found.into_iter().map(|folder| folder.join(part)).collect(),
            Some((start, end)) => found.iter().flat_map(|folder| matching(folder, start, end)).collect(),
        };
        found.retain(|path| path.exists());
    }
    Ok(found)
}

fn matching(folder: &Path, start: &str, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let fits =
        |name: &str| name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end);
    entries.filter(|entry| fits(&entry.file_name().to_string_lossy())).map(|entry| entry.path()).collect()
}

/// The boots of one command, and the tests that run in them.
pub(super) struct Wanted<'a> {
    pub(super) matrix: &'a Matrix,
    pub(super) boots: Vec<Boot>,
    pub(super) programs: &'a Programs,
    pub(super) filter: Option<&'a str>,
    /// Folder of the suites' results and the guests' logs.
    pub(super) folder: PathBuf,
}
