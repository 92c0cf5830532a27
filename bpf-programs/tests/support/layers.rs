//! Files on an overlay whose layers are on two file systems.

use std::fs::{self, File as Opened};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, ensure};
use bpf_programs::testing::Kind;
use model::File;
use nix::mount::{MsFlags, mount};

use crate::Test;
use crate::identity::{apart, opens, tmpfs};
use crate::support::{Kernel, generation};

pub const TESTS: &[Test] = &[
    ("identity_on_an_overlay_of_two_file_systems", two_file_systems),
    ("what_an_overlay_does_in_its_layers_leaves_no_record", below),
];

/// A file's identity, by stat and from its layer.
struct Known {
    stat: u64,
    dev: u64,
    ino: u64,
    generation: u32,
}

fn known(of: &Path, real: &Path) -> anyhow::Result<Known> {
    let (stat, meta) = (fs::metadata(of)?.dev(), fs::metadata(real)?);
    Ok(Known { stat, dev: meta.dev(), ino: meta.ino(), generation: generation(real)? })
}

/// Mounts an overlay of two tmpfs at `merged`, with 16 files in each layer, so that numbers of both overlap wherever each begins.
fn mount_layers(at: &Path) -> anyhow::Result<()> {
    for name in ["lower", "above", "merged"] {
        fs::create_dir(at.join(name))?;
    }
    tmpfs(&at.join("lower"))?;
    tmpfs(&at.join("above"))?;
    for name in ["above/upper", "above/work"] {
        fs::create_dir(at.join(name))?;
    }
    for number in 0..16 {
        fs::write(at.join(format!("lower/low-{number}")), "")?;
    }
    let names = ["lower", "above/upper", "above/work"].map(|name| at.join(name).display().to_string());
    let options = format!("lowerdir={},upperdir={},workdir={},xino=off", names[0], names[1], names[2]);
    mount(Some("overlay"), &at.join("merged"), Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
    for number in 0..16 {
        Opened::create_new(at.join(format!("merged/up-{number}")))?;
    }
    Ok(())
}

/// Each layer counts its inodes alone, so that files of both have equal numbers: their real files distinguish them.
fn two_file_systems() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().to_owned();
    let mut kernel = Kernel::start()?;
    let (sender, receiver) = std::sync::mpsc::channel();
    let at = root.clone();
    apart(move || {
        mount_layers(&at)?;
        let ino = |name: &str| anyhow::Ok(fs::metadata(at.join(name))?.ino());
        for up in 0..16 {
            for low in 0..16 {
                if ino(&format!("above/upper/up-{up}"))? != ino(&format!("lower/low-{low}"))? {
                    continue;
                }
                let names = [format!("low-{low}"), format!("up-{up}")];
                let below = ["lower", "above/upper"];
                let mut files = Vec::new();
                for (name, below) in names.iter().zip(below) {
                    let path = at.join("merged").join(name);
                    Opened::open(&path)?;
                    files.push((name.clone(), known(&path, &at.join(below).join(name))?));
                }
                let own = fs::metadata(at.join("merged"))?.dev();
                return Ok(sender.send((own, files))?);
            }
        }
        anyhow::bail!("no file of the one layer has the number of one of the other")
    })?;
    let (own, files) = receiver.recv()?;
    let mut found: Vec<File> = Vec::new();
    for (name, known) in files {
        let mut all = opens(&mut kernel, &root.join("merged").join(&name))?;
        let file = all.pop().and_then(|open| open.file).context("no file")?;
        let real = file.real.context("no real file")?;
        ensure!(
            (real.dev, real.ino, real.generation) == (known.dev, known.ino, known.generation),
            "{file:?}"
        );
        ensure!(file.dev == own && file.dev != known.stat, "{file:?} on {own}, by stat {}", known.stat);
        found.push(file);
    }
    ensure!(found[0].ino == found[1].ino && found[0].real != found[1].real, "{found:?}");
    Ok(())
}

/// The kernel copies a file up, makes whiteouts and folders, and renames them in the layers: the rows are those of the calls.
fn below() -> anyhow::Result<()> {
    const KINDS: [Kind; 7] =
        [Kind::Open, Kind::Rename, Kind::Unlink, Kind::Link, Kind::Mkdir, Kind::Attr, Kind::Truncate];
    let folder = tempfile::tempdir()?;
    let root = folder.path().to_owned();
    let mut kernel = Kernel::start()?;
    let (ready, go) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let (at, own) = (root, std::process::id());
    let thread = std::thread::spawn(move || {
        apart(move || {
            mount_layers(&at)?;
            ready.0.send(())?;
            go.1.recv()?;
            let at = |name: &str| at.join("merged").join(name);
            drop(Opened::options().write(true).open(at("low-0"))?);
            fs::rename(at("low-1"), at("renamed"))?;
            fs::remove_file(at("low-2"))?;
            fs::create_dir(at("folder"))?;
            fs::hard_link(at("low-3"), at("linked"))?;
            fs::set_permissions(at("low-4"), fs::Permissions::from_mode(0o600))?;
            Ok(())
        })
    });
    ready.1.recv()?;
    kernel.drain();
    let counts = |kernel: &Kernel| KINDS.map(|kind| kernel.of(own, kind).len());
    let before = counts(&kernel);
    go.0.send(())?;
    thread.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    kernel.drain();
    let after = counts(&kernel);
    let made: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    ensure!(made == [1, 1, 1, 1, 1, 1, 0], "rows of {KINDS:?}: {made:?}");
    Ok(())
}
