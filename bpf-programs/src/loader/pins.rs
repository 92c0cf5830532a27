//! The directory in bpffs in which maps and links outlive the agent.
//!
//! Each agent has one, named by a fingerprint of its work directory, in the folder that [`super::bpffs`] finds or makes.
//! A pinned map keeps its contents, and a pinned link keeps its program attached, so programs go on writing to the rings
//! while no agent runs:
//!
//! ```text
//!  /sys/fs/bpf/duetector-actors/<fingerprint of the work directory>/
//!      map-data  map-lifecycle  map-counts  map-settings  map-mark  …
//!      link-<program>-<hook>  …
//! ```
//!
//! See [`super::adopt`] for when a new agent resumes what it finds here.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use actors::clock;
use aya::Ebpf;
use aya::maps::MapData;
use aya::pin::PinError as AyaPinError;
use aya::programs::links::{FdLink, PinnedLink};
use model::lock::lock;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::bpffs::{self, Root};
use super::release;
use crate::errors::PinError;
use crate::tier::Tier;

/// Locks on the directories that this process uses, by inode; they end with the process.
static CLAIMED: Mutex<Vec<(u64, Flock<File>)>> = Mutex::new(Vec::new());
/// Wait for the end of a killed agent that still has the lock: the kernel closes its descriptors one after the other.
const CLAIM_WAIT: Duration = Duration::from_secs(2);
/// Wait for a process that removes the pins of an agent that has ended.
const REMOVAL_WAIT: Duration = Duration::from_secs(300);
/// Name of an empty directory that is there while the pins are removed.
const REMOVAL: &str = "removal";
/// With more links than this, all of them together may make who detaches them wait for longer than a stop may take.
pub(crate) const MANY_LINKS: usize = 128;

const MAP: &str = "map-";
const LINK: &str = "link-";

/// Returns the time that the removal of each link is made to take.
#[cfg(feature = "fault-injection")]
fn slowness() -> Option<Duration> {
    std::env::var("DUETECTOR_FAULT_SLOW_UNPIN").ok()?.parse().ok().map(Duration::from_millis)
}

#[cfg(not(feature = "fault-injection"))]
fn slowness() -> Option<Duration> {
    None
}

/// The directory of one agent's pins.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    /// The path by which it is used: through the descriptor, because it may be in another mount namespace.
    access: PathBuf,
    /// The path in the machine's mount namespace.
    folder: PathBuf,
    /// Facts about the folder that an administrator should know.
    note: Option<String>,
    /// The reason why the pins end before the machine does, if they do.
    ends: Option<String>,
    _root: Arc<OwnedFd>,
}

impl Pins {
    fn new(root: Root, name: &str) -> Self {
        Self {
            access: PathBuf::from(format!("/proc/self/fd/{}", root.folder.as_raw_fd())).join(name),
            folder: Path::new(root.path).join(name),
            note: root.note,
            ends: root.ends,
            _root: Arc::new(root.folder),
        }
    }

    /// Returns what an agent with this work directory has pinned; `None` if there is nothing.
    pub(crate) fn find(workdir: &Path) -> Option<Self> {
        let name = name(workdir);
        let all = bpffs::existing().into_iter().map(|root| Self::new(root, &name));
        all.filter(|pins| pins.access.is_dir()).max_by_key(|pins| !pins.is_empty())
    }

    /// Returns the directory for an agent with this work directory: the one in use, or a new one.
    pub(crate) fn make(workdir: &Path) -> Result<Self, PinError> {
        if let Some(found) = Self::find(workdir).filter(|found| !found.is_empty()) {
            return Ok(found);
        }
        let name = name(workdir);
        let pins = Self::new(bpffs::make(&name)?, &name);
        if let Some(note) = &pins.note {
            tracing::warn!(folder = %pins.folder.display(), note, "pins are not where they usually are");
        }
        Ok(pins)
    }

    /// Makes the directory this process's, until that ends; returns whether it is. The lock of the work folder does not
    /// suffice: in another mount namespace, or after it was removed, another folder has the same path.
    pub(crate) fn claim(&self) -> bool {
        let Ok(mut file) = File::open(&self.access) else { return true };
        let Ok(inode) = file.metadata().map(|found| found.ino()) else { return true };
        let mut claimed = lock(&CLAIMED);
        if claimed.iter().any(|(known, _)| *known == inode) {
            return true;
        }
        let start = clock::now();
        let mut wait = CLAIM_WAIT;
        loop {
            // The process that removes it has the lock until it ends, a little longer than the directory is there.
            if wait != REMOVAL_WAIT && (self.is_gone() || self.access.join(REMOVAL).is_dir()) {
                wait = REMOVAL_WAIT;
                let folder = self.folder.display();
                tracing::info!(%folder, "waiting for the programs of an agent that has ended to be detached");
            }
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => {
                    claimed.push((inode, lock));
                    // Its process was killed, otherwise the whole directory would be gone.
                    let _ = fs::remove_dir(self.access.join(REMOVAL));
                    return true;
                }
                Err((_, cause)) if cause != Errno::EWOULDBLOCK => return false,
                Err(_) if start.elapsed() >= wait => return false,
                Err((same, _)) => file = same,
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the claims of this process, for another process that removes the pins.
    pub(crate) fn end_claims() {
        lock(&CLAIMED).clear();
    }

    /// Returns whether the directory has been removed.
    pub(super) fn is_gone(&self) -> bool {
        !self.access.is_dir()
    }

    /// Returns whether removing all pins may take longer than a stop may take.
    pub(crate) fn are_many(&self) -> bool {
        let links = self.entries().iter().filter(|name| name.starts_with(LINK)).count();
        links > MANY_LINKS || (links > 0 && slowness().is_some())
    }

    /// Returns the path of the directory.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns facts about the folder that an administrator should know.
    pub(crate) fn note(&self) -> Option<String> {
        self.note.clone()
    }

    /// Refuses pins of links at functions if they may end all at once.
    pub(super) fn may_hold(&self, tier: Tier) -> Result<(), PinError> {
        match &self.ends {
            Some(why) if tier == Tier::Function => Err(PinError::EndTogether { why: why.clone() }),
            _ => Ok(()),
        }
    }

    /// Returns the path at which a map is pinned.
    pub(crate) fn map_path(&self, name: &str) -> PathBuf {
        self.access.join(format!("{MAP}{name}"))
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
    pub(crate) fn pin_link(&self, link: FdLink, program: &str, hook: &str) -> Result<Pinned, AyaPinError> {
        let path = self.link_path(program, hook);
        let id = program_of(&link);
        link.pin(&path)?;
        Ok(Pinned { path, program: id })
    }

    /// Opens a pinned link.
    pub(crate) fn link(&self, program: &str, hook: &str) -> Option<Pinned> {
        let path = self.link_path(program, hook);
        let link: FdLink = PinnedLink::from_pin(&path).ok()?.into();
        Some(Pinned { path, program: program_of(&link) })
    }

    /// Returns whether a link is pinned.
    pub(crate) fn has_link(&self, program: &str, hook: &str) -> bool {
        self.link_path(program, hook).symlink_metadata().is_ok()
    }

    /// Detaches every pinned program, except those for which `keep` returns true.
    pub(crate) fn remove_links(&self, keep: impl Fn(&str) -> bool) {
        let is_kept = |name: &String| {
            let Some(link) = name.strip_prefix(LINK) else { return true };
            keep(link.split_once('-').map_or(link, |(program, _)| program))
        };
        let names = self.entries().into_iter().filter(|name| !is_kept(name));
        let paths: Vec<_> = names.map(|name| self.access.join(name)).collect();
        slowness().into_iter().for_each(|each| thread::sleep(each * paths.len() as u32));
        let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
        release::remove_pins(&paths, |path, cause| {
            tracing::warn!(pin = %path.display(), %cause, "removing a pin failed");
        });
    }

    /// Detaches all pinned programs and removes all pins.
    pub(crate) fn clear(&self) {
        self.remove_links(|_| false);
        for name in self.entries() {
            self.remove(&name);
        }
    }

    /// Removes all pins and the directory, and the mount if nothing else is in it.
    pub(crate) fn remove_all(&self) {
        // Without it, an agent that starts meanwhile does not wait, but runs without pins.
        let _ = fs::create_dir(self.access.join(REMOVAL));
        self.clear();
        let _ = fs::remove_dir(self.access.join(REMOVAL));
        if let Err(cause) = fs::remove_dir(&self.access) {
            tracing::warn!(folder = %self.folder.display(), %cause, "removing the directory of pins failed");
        }
        bpffs::leave();
    }

    /// Returns whether nothing is pinned.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn remove(&self, name: &str) {
        if let Err(cause) = fs::remove_file(self.access.join(name)) {
            tracing::warn!(folder = %self.folder.display(), name, %cause, "removing a pin failed");
        }
    }

    fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.access).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name != REMOVAL).collect()
    }

    fn link_path(&self, program: &str, hook: &str) -> PathBuf {
        self.access.join(format!("{LINK}{program}-{hook}"))
    }
}

/// A pinned link. It is not kept open: with tier function there are hundreds.
pub(crate) struct Pinned {
    path: PathBuf,
    /// Id of the program that it attaches, which an earlier agent may have loaded.
    pub(super) program: Option<u32>,
}

fn program_of(link: &FdLink) -> Option<u32> {
    link.info().ok().map(|info| info.program_id())
}

impl Pinned {
    /// Removes the pin; the program stays attached as long as the link that is returned is open.
    pub(super) fn unpin(self) -> io::Result<FdLink> {
        let link = PinnedLink::from_pin(self.path).map_err(io::Error::other)?;
        link.unpin()
    }

    /// Removes the pin and detaches the program soon, without waiting for it.
    pub(super) fn detach_later(self) -> io::Result<()> {
        release::pinned(&self.path)
    }
}

/// Returns the name of the directory for an agent with this work directory.
fn name(workdir: &Path) -> String {
    format!("{:016x}", fingerprint(&[whole(workdir).as_os_str().as_encoded_bytes()]))
}

/// Returns the path without symbolic links; it is the same if the folder is gone.
fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => whole(parent).join(name),
        _ => path.to_owned(),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_folder_behind_a_link_keeps_its_name() {
        let scratch = tempfile::tempdir().unwrap();
        let (real, link) = (scratch.path().join("real"), scratch.path().join("link"));
        fs::create_dir_all(real.join("work")).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let before = name(&link.join("work"));
        assert_eq!(before, name(&real.join("work")));
        fs::remove_dir(real.join("work")).unwrap();
        assert_eq!(before, name(&link.join("work")));
    }

    #[test]
    fn fingerprints_distinguish_pieces() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_eq!(fingerprint(&[b"ab"]), fingerprint(&[b"ab"]));
    }
}
