//! Random changes of names while other processes change their texts and move the folders on the way (`racing.py`): with tier
//! `function` each row names the file that the call has changed, and no other.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use anyhow::{Context as _, ensure};
use bpf_programs::Tier;
use bpf_programs::testing::Kind;
use model::{Details, Fs, Record};
use serde::Deserialize;

use crate::Test;
use crate::support::{self, DATA_RING, ENTRIES, Kernel, decode};

pub const TESTS: &[Test] = &[("race_no_row_names_another_file", no_other_file)];

const PROGRAM: &str = include_str!("racing.py");
/// Number of calls.
const COUNT: usize = 300;
const KINDS: [Kind; 6] = [Kind::Unlink, Kind::Rename, Kind::Link, Kind::Mkdir, Kind::Attr, Kind::Truncate];

/// A name in one of the folders, and its inode.
type Entry = (usize, String, u64);

/// A call, and the files that differ between before and after.
#[derive(Debug, Deserialize)]
struct Done {
    call: String,
    ret: i64,
    gone: Vec<Entry>,
    new: Vec<Entry>,
    changed: Vec<Entry>,
    target: String,
}

impl Done {
    fn kind(&self) -> Kind {
        match &*self.call {
            "unlink" | "rmdir" => Kind::Unlink,
            "rename" => Kind::Rename,
            "link" | "symlink" => Kind::Link,
            "mkdir" | "mknod" => Kind::Mkdir,
            "chmod" => Kind::Attr,
            _ => Kind::Truncate,
        }
    }
}

fn no_other_file() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().canonicalize()?;
    let mut kernel = Kernel::start_on(support::tier(), DATA_RING, ENTRIES, |kind| KINDS.contains(&kind))?;
    let (pid, output) = support::run_python(PROGRAM, &[root.as_os_str(), COUNT.to_string().as_ref()])?;
    kernel.drain();
    let mut rows = BTreeMap::new();
    for kind in KINDS {
        rows.insert(kind, of(&kernel, pid, kind)?);
    }
    let mut successes = 0;
    for line in output.lines() {
        let done: Done = serde_json::from_str(line)?;
        let row = rows.get_mut(&done.kind()).and_then(VecDeque::pop_front);
        let row = row.with_context(|| format!("no row of {done:?}"))?;
        ensure!((row.call, row.ret) == (&*done.call, done.ret), "{done:?}: {row:?}");
        let changes = !done.gone.is_empty() || !done.new.is_empty() || !done.changed.is_empty();
        if support::tier() == Tier::Function && done.ret == 0 && changes {
            check(&root, &done, &row).with_context(|| format!("{done:?}: {row:?}"))?;
            successes += 1;
        }
    }
    ensure!(rows.values().all(VecDeque::is_empty), "more rows than calls: {rows:?}");
    ensure!(support::tier() != Tier::Function || successes > COUNT / 5, "only {successes} calls succeeded");
    Ok(())
}

/// Returns the rows of the process that makes the calls.
fn of(kernel: &Kernel, pid: u32, kind: Kind) -> anyhow::Result<VecDeque<Fs>> {
    let mut found = VecDeque::new();
    for bytes in kernel.of(pid, kind) {
        let Record { identity, details: Details::Fs(fs), .. } = decode(kind, &bytes)? else { continue };
        // Those that prepare the folders are given names in them, which have no slash.
        if !fs.path_asked.as_ref().is_some_and(|asked| asked.to_str().contains('/')) {
            continue;
        }
        if support::tier() != Tier::Function {
            let unverified = identity.context("no identity")?.unverified;
            ensure!(fs.path_unresolved && unverified && fs.file.is_none(), "{fs:?}");
        }
        found.push_back(*fs);
    }
    Ok(found)
}

/// Compares a row with what the call has done.
fn check(root: &Path, done: &Done, row: &Fs) -> anyhow::Result<()> {
    ensure!(!row.path_unresolved && !row.path_incomplete, "not resolved");
    let other = row.other.as_ref().map(|other| other.path.to_str().into_owned()).unwrap_or_default();
    let path = row.path.to_str();
    let file = row.file.as_ref().context("no identity")?.ino;
    match &*done.call {
        "unlink" | "rmdir" => is_at(root, &path, file, &done.gone)?,
        "rename" => {
            let replaced =
                done.gone.iter().find(|gone| done.new.iter().any(|new| (gone.0, &gone.1) == (new.0, &new.1)));
            ensure!(row.replaced.as_ref().map(|file| file.ino) == replaced.map(|(.., ino)| *ino), "replaced");
            is_at(root, &path, file, &done.gone)?;
            is_at(root, &other, file, &done.new)?;
        }
        "link" => is_at(root, &other, file, &done.new)?,
        "chmod" | "truncate" => is_at(root, &path, file, &done.changed)?,
        _ => is_at(root, &path, file, &done.new)?,
    }
    let target = row.word.as_ref().filter(|(name, _)| *name == "target");
    ensure!(target.is_none_or(|(_, text)| text.to_str() == done.target), "target");
    Ok(())
}

/// Checks that the path is that of one of the entries with this inode. d2 and d3 are exchanged all the time.
fn is_at(root: &Path, path: &str, ino: u64, entries: &[Entry]) -> anyhow::Result<()> {
    let path = Path::new(path).strip_prefix(root)?;
    let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
    let [folder, name] = names[..] else { anyhow::bail!("{} has not two names", path.display()) };
    let is = |entry: &&Entry| {
        let folders = match entry.0 {
            0 => ["d0", "b0"],
            1 => ["d1", "b1"],
            _ => ["d2", "d3"],
        };
        entry.1 == name && entry.2 == ino && folders.contains(&folder)
    };
    ensure!(
        entries.iter().any(|entry| is(&entry)),
        "{} with inode {ino} is not in {entries:?}",
        path.display()
    );
    Ok(())
}
