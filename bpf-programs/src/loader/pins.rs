//! The directory in bpffs in which maps and links outlive the agent.
//!
//! Each agent has one, named by a fingerprint of its work directory. A pinned map keeps its contents, and a pinned link
//! keeps its program attached, so programs go on writing to the rings while no agent runs:
//!
//! ```text
//!  /sys/fs/bpf/duetector-actors/<fingerprint of the work directory>/
//!      map-data  map-lifecycle  map-counts  map-settings  map-mark  …
//!      link-<program>-<hook>  …
//! ```
//!
//! The directory is created with mode 0700. A symbolic link, a file, or a directory with another owner or mode under its
//! name is refused. See [`super::adopt`] for when a new agent resumes what it finds here.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::MapData;
use aya::pin::PinError as AyaPinError;
use aya::programs::links::{FdLink, PinnedLink};

use crate::errors::{BPFFS, PinError};

/// Parent of all agents' directories.
const ROOT: &str = "/sys/fs/bpf/duetector-actors";
const MAP: &str = "map-";
const LINK: &str = "link-";

/// The directory of one agent's pins.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    folder: PathBuf,
}

impl Pins {
    /// Returns the directory for an agent with this work directory. Nothing is created yet.
    pub(crate) fn of(workdir: &Path) -> Self {
        let whole = fs::canonicalize(workdir).unwrap_or_else(|_| workdir.to_owned());
        let name = format!("{:016x}", fingerprint(&[whole.as_os_str().as_encoded_bytes()]));
        Self { folder: Path::new(ROOT).join(name) }
    }

    /// Creates the directory, mounting bpffs if it is not mounted.
    pub(crate) fn make(&self) -> Result<(), PinError> {
        if !is_bpffs(Path::new(BPFFS)) {
            let none: Option<&str> = None;
            nix::mount::mount(Some("bpf"), BPFFS, Some("bpf"), nix::mount::MsFlags::empty(), none)
                .map_err(|source| PinError::Mount { source: source.into() })?;
            tracing::info!(path = BPFFS, "mounted bpffs");
        }
        make_own(Path::new(ROOT))?;
        make_own(&self.folder)
    }

    /// Returns the path of the directory.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path at which a map is pinned.
    pub(crate) fn map_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{MAP}{name}"))
    }

    /// Opens a pinned map.
    pub(crate) fn map(&self, name: &str) -> Option<MapData> {
        MapData::from_pin(self.map_path(name)).ok()
    }

    /// Returns names and paths of all pinned maps.
    pub(crate) fn maps(&self) -> Vec<(String, PathBuf)> {
        let maps = self.entries().into_iter().filter_map(|name| name.strip_prefix(MAP).map(str::to_owned));
        maps.map(|name| (name.clone(), self.map_path(&name))).collect()
    }

    /// Pins every map of an object that programs share; data sections belong to the programs they were loaded with.
    pub(crate) fn pin_maps(&self, ebpf: &Ebpf) -> Result<(), PinError> {
        for (name, map) in ebpf.maps().filter(|(name, _)| !name.starts_with('.')) {
            let pinned = map.pin(self.map_path(name));
            pinned.map_err(|source| PinError::Map { name: name.to_owned(), source })?;
        }
        Ok(())
    }

    /// Pins a link. On failure the link is lost, and its program detached.
    pub(crate) fn pin_link(
        &self,
        link: FdLink,
        program: &str,
        hook: &str,
    ) -> Result<PinnedLink, AyaPinError> {
        link.pin(self.link_path(program, hook))
    }

    /// Opens a pinned link.
    pub(crate) fn link(&self, program: &str, hook: &str) -> Option<PinnedLink> {
        PinnedLink::from_pin(self.link_path(program, hook)).ok()
    }

    /// Returns whether a link is pinned.
    pub(crate) fn has_link(&self, program: &str, hook: &str) -> bool {
        self.link_path(program, hook).symlink_metadata().is_ok()
    }

    /// Detaches every pinned program, except those for which `keep` returns true.
    pub(crate) fn remove_links(&self, keep: impl Fn(&str) -> bool) {
        for name in self.entries() {
            let Some(link) = name.strip_prefix(LINK) else { continue };
            let program = link.split_once('-').map_or(link, |(program, _)| program);
            if !keep(program) {
                self.remove(&name);
            }
        }
    }

    /// Detaches all pinned programs and removes all pins.
    pub(crate) fn clear(&self) {
        self.remove_links(|_| false);
        for name in self.entries() {
            self.remove(&name);
        }
    }

    /// Removes all pins and the directory; returns whether there was a directory.
    pub(crate) fn remove_all(&self) -> bool {
        let there = self.folder.symlink_metadata().is_ok_and(|meta| meta.is_dir());
        if there {
            self.clear();
            if let Err(cause) = fs::remove_dir(&self.folder) {
                tracing::warn!(folder = %self.folder.display(), %cause, "removing the directory of pins failed");
            }
        }
        there
    }

    /// Returns whether nothing is pinned.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn remove(&self, name: &str) {
        if let Err(cause) = fs::remove_file(self.folder.join(name)) {
            tracing::warn!(folder = %self.folder.display(), name, %cause, "removing a pin failed");
        }
    }

    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn link_path(&self, program: &str, hook: &str) -> PathBuf {
        self.folder.join(format!("{LINK}{program}-{hook}"))
    }
}

/// Returns the FNV-1a hash of the pieces. It is the same in every build, which the standard library's hashes don't promise.
pub(crate) fn fingerprint(pieces: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for piece in pieces {
        // The length follows each piece, so that bytes can't move from one piece to the next unnoticed.
        for byte in piece.iter().copied().chain((piece.len() as u64).to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

fn is_bpffs(path: &Path) -> bool {
    const BPFFS_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0xcafe_4a11);
    nix::sys::statfs::statfs(path).is_ok_and(|found| found.filesystem_type() == BPFFS_MAGIC)
}

/// Creates a directory with mode 0700, or checks an existing one.
fn make_own(path: &Path) -> Result<(), PinError> {
    let failed = |operation| move |source| PinError::Folder { operation, path: path.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make")(cause)),
        _ => {}
    }
    let meta = path.symlink_metadata().map_err(failed("stat"))?;
    let own = nix::unistd::geteuid().as_raw();
    if !meta.is_dir() || meta.uid() != own || meta.mode() & 0o077 != 0 {
        return Err(PinError::NotOurs { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_folder_that_others_can_access_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let own = scratch.path().join("own");
        make_own(&own).unwrap();
        make_own(&own).unwrap();
        assert_eq!(own.metadata().unwrap().mode() & 0o777, 0o700);
        let link = scratch.path().join("link");
        symlink(&own, &link).unwrap();
        assert!(matches!(make_own(&link), Err(PinError::NotOurs { .. })));
        fs::set_permissions(&own, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(make_own(&own), Err(PinError::NotOurs { .. })));
    }

    #[test]
    fn fingerprints_distinguish_pieces() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_eq!(fingerprint(&[b"ab"]), fingerprint(&[b"ab"]));
    }
}
