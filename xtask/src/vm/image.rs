//! The guest's file system, an initramfs: suites, agent, and those of this machine's programs that tests use, with
//! their libraries.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::matrix::{Matrix, Run, Suite};
use super::suites::Built;
use crate::run::{self, find};

const INIT: &str = include_str!("init.sh");
/// Where suites write their results, in the guest.
const RESULTS: &str = "/dev/ttyS1";

/// Builds it anew: that takes a second.
pub(crate) fn build(
    matrix: &Matrix,
    built: &Built,
    filter: Option<&str>,
    modules: &[(String, PathBuf)],
    folder: &Path,
) -> Result<PathBuf> {
    let root = folder.join("root");
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
    modules.iter().try_for_each(|(release, path)| tree.module(release, path))?;
    let suites = built.suites.iter().map(|suite| (&suite.name, &suite.path));
    for (name, program) in suites.chain(built.helpers.iter().map(|(name, path)| (name, path))) {
        tree.program(program, &format!("suites/{name}"))?;
    }
    tree.program(&built.agent, "suites/duetector-actors")?;
    for (kernel, run) in matrix.boots() {
        let name = run.column(&kernel.name);
        tree.text(&format!("suites/{}.run", label(&name)), &script(matrix, built, run, &name, filter))?;
    }
    matrix.examples.iter().try_for_each(|folder| tree.examples(&run::root().join(folder), &built.agent))?;
    tree.archive(&folder.join("initramfs"))
}

/// The name of a column as a file's.
pub(crate) fn label(column: &str) -> String {
    column.replace(' ', "-")
}

/// What the guest of that column is to run.
fn script(matrix: &Matrix, built: &Built, run: &Run, column: &str, filter: Option<&str>) -> String {
    let mut script = String::new();
    for (name, value) in run.variables() {
        script += &format!("export {name}={value}\n");
    }
    for suite in matrix.suites_of(run) {
        let tests =
            built.suites.iter().find(|built| built.name == suite.test).map_or(&[][..], |built| &built.tests);
        let skipped = suite.skipped(column).into_iter().map(|skip| skip.test.as_str());
        let words = Suite::arguments(RESULTS, skipped.chain(run.others(tests)), filter);
        let quoted: Vec<_> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        script += &format!("suite {} {}\n", suite.test, quoted.join(" "));
    }
    script
}

struct Tree {
    root: PathBuf,
    there: BTreeSet<PathBuf>,
}

impl Tree {
    /// Folders and links as on this machine, so that a path means the same here and there.
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

    fn text(&self, place: &str, text: &str) -> Result<()> {
        let place = self.root.join(place);
        fs::write(&place, text).with_context(|| format!("cannot write {}", place.display()))?;
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).context("cannot set the mode")
    }

    fn copy(&self, from: &Path, place: &str) -> Result<()> {
        let to = self.root.join(place);
        let parent = to.parent().context("no folder")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }

    /// A module of a guest's kernel, as that can load it.
    fn module(&self, release: &str, from: &Path) -> Result<()> {
        let name = from.file_name().context("no name")?.to_string_lossy().into_owned();
        self.copy(from, &format!("modules/{release}/{name}"))?;
        if !name.ends_with(".xz") {
            return Ok(());
        }
        run::quietly(
            Command::new("xz").arg("--decompress").arg(self.root.join("modules").join(release).join(name)),
        )
    }

    /// One of ours, without its debugging symbols, which are most of it; and its libraries.
    fn program(&mut self, from: &Path, place: &str) -> Result<()> {
        self.copy(from, place)?;
        run::quietly(Command::new("strip").arg("--strip-debug").arg(self.root.join(place)))?;
        self.libraries(from)
    }

    /// A file or folder of this machine, at its own place; links with what they point at.
    fn add(&mut self, path: &Path) -> Result<()> {
        let parent = path.parent().context("not a file")?;
        let name = path.file_name().context("not a file")?;
        let parent = fs::canonicalize(parent).with_context(|| format!("no {}", parent.display()))?;
        let path = parent.join(name);
        if !self.there.insert(path.clone()) {
            return Ok(());
        }
        let place = path.strip_prefix("/").context("not absolute")?.to_owned();
        let kind = fs::symlink_metadata(&path).with_context(|| format!("no {}", path.display()))?.file_type();
        if kind.is_symlink() {
            let target = fs::read_link(&path).context("cannot read a link")?;
            let to = self.root.join(&place);
            fs::create_dir_all(to.parent().context("no folder")?).context("cannot make a folder")?;
            symlink(&target, to).with_context(|| format!("cannot link {}", path.display()))?;
            return self.add(&parent.join(target));
        }
        if kind.is_dir() {
            let entries = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
            return entries.flatten().try_for_each(|entry| self.add(&entry.path()));
        }
        self.copy(&path, &place.to_string_lossy())?;
        let is_program = fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"\x7fELF"));
        if is_program { self.libraries(&path) } else { Ok(()) }
    }

    /// What the dynamic linker would load for it.
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

    /// Templates and their programs; each source becomes an object, and the template names that.
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

    /// All of it as the kernel unpacks it: everything root's, not compressed, since that costs the guest most.
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

/// What the pattern stands for; `*` is any part of a name.
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
