//! Kernels from Debian's packages: the newest that matches, downloaded once, unpacked, kept by its version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::matrix::Kernel;
use crate::run::{self, find, run};

/// An unpacked kernel.
pub(crate) struct Unpacked {
    /// The package's version.
    pub(crate) version: String,
    /// The file that boots.
    pub(crate) image: PathBuf,
}

impl Unpacked {
    /// Modules of these names in their order, each with the release under which the running kernel finds it. A module that
    /// is built in has no file.
    pub(crate) fn modules(&self, names: &[String]) -> Result<Vec<(String, PathBuf)>> {
        let root = self.image.ancestors().nth(2).context("no kernel's folder")?.join("lib/modules");
        let mut found = Vec::new();
        for release in
            fs::read_dir(&root).with_context(|| format!("cannot read {}", root.display()))?.flatten()
        {
            let mut list = Command::new("find");
            let listed =
                run::output(list.arg(release.path()).args(["-name", "*.ko", "-o", "-name", "*.ko.xz"]));
            let release = release.file_name().to_string_lossy().into_owned();
            let position = |line: &str| {
                let name = line.rsplit('/').next()?.split('.').next()?;
                names.iter().position(|wanted| wanted == name)
            };
            let listed = listed.unwrap_or_default();
            let mut wanted: Vec<_> =
                listed.lines().filter_map(|line| Some((position(line)?, line))).collect();
            wanted.sort_unstable();
            found.extend(wanted.into_iter().map(|(_, line)| (release.clone(), PathBuf::from(line))));
        }
        Ok(found)
    }
}

struct Package {
    name: String,
    version: String,
}

/// Provides the newest such kernel, from the cache if it is there. Only a complete one gets its final name.
pub(crate) fn provide(kernel: &Kernel, cache: &Path) -> Result<Unpacked> {
    let cache = cache.join(&kernel.name);
    let package = newest(kernel)?;
    let folder = cache.join(format!("{}_{}", package.name, package.version));
    if !folder.exists() {
        // An older version, or one whose download was interrupted.
        if cache.exists() {
            fs::remove_dir_all(&cache).with_context(|| format!("cannot clear {}", cache.display()))?;
        }
        let partial = cache.join("partial");
        fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        unpack(&package, &partial)?;
        fs::rename(&partial, &folder).with_context(|| format!("cannot name {}", folder.display()))?;
    }
    Ok(Unpacked { version: package.version, image: image_in(&folder)? })
}

fn image_in(folder: &Path) -> Result<PathBuf> {
    let boot = folder.join("boot");
    let entries = fs::read_dir(&boot).with_context(|| format!("cannot read {}", boot.display()))?;
    let mut names = entries.flatten().map(|entry| entry.path());
    let is_image =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"));
    names.find(is_image).with_context(|| format!("no kernel in {}", boot.display()))
}

fn unpack(package: &Package, partial: &Path) -> Result<()> {
    let wanted = format!("{}={}", package.name, package.version);
    let download = || {
        let apt_get = find("apt-get").context("no apt-get")?;
        run(Command::new(apt_get).args(["download", &wanted]).current_dir(partial))
    };
    if download().is_err() {
        // The list may be older than the archive.
        update()?;
        download()?;
    }
    let packages: Vec<_> = fs::read_dir(partial)?.flatten().map(|entry| entry.path()).collect();
    let [file] = packages.as_slice() else { bail!("apt-get left {packages:?}") };
    run(Command::new("dpkg-deb").arg("-x").arg(file).arg(partial))?;
    fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    // Debug symbols and documentation are of no use in the guest.
    fs::remove_dir_all(partial.join("usr/share")).or_else(|why| match why.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(why.into()),
    })
}

fn newest(kernel: &Kernel) -> Result<Package> {
    let mut found = search(kernel)?;
    if found.is_empty() {
        update()?;
        found = search(kernel)?;
    }
    let newest = found.into_iter().try_fold(None, |best: Option<Package>, package| match best {
        Some(best) if !is_newer(&package, &best)? => anyhow::Ok(Some(best)),
        _ => Ok(Some(package)),
    })?;
    newest.with_context(|| {
        format!(
            "apt knows no package named {}: Debian 12's sources main, updates and security have it",
            kernel.package
        )
    })
}

fn search(kernel: &Kernel) -> Result<Vec<Package>> {
    let Some(apt_cache) = find("apt-cache") else {
        bail!("kernels are Debian packages, and there is no apt here")
    };
    let mut search = Command::new(&apt_cache);
    let names = run::output(search.args(["search", "--names-only", &kernel.package])).unwrap_or_default();
    let mut found = Vec::new();
    for name in names.lines().filter_map(|line| line.split(' ').next()) {
        let mut show = Command::new(&apt_cache);
        let text = run::output(show.args(["show", "--no-all-versions", name])).unwrap_or_default();
        if let Some(version) = text.lines().find_map(|line| line.strip_prefix("Version: ")) {
            found.push(Package { name: name.to_owned(), version: version.to_owned() });
        }
    }
    Ok(found)
}

fn is_newer(package: &Package, than: &Package) -> Result<bool> {
    let mut compare = Command::new("dpkg");
    compare.args(["--compare-versions", &package.version, "gt", &than.version]);
    Ok(compare.status().context("cannot run dpkg")?.success())
}

fn update() -> Result<()> {
    let apt_get = find("apt-get").context("no apt-get")?;
    run(run::as_root(&apt_get)?.arg("update"))
}
