//! Finds or makes the folder in bpffs below which agents pin, out of other users' reach.
//!
//! Distributions mount bpffs at `/sys/fs/bpf` with different modes. With 0700 only root can make names in it; with 1777
//! any user may take a name before an agent does. An agent then mounts a bpffs of its own, and finds that again after a
//! restart:
//!
//! ```text
//!  /sys/fs/bpf is a bpffs, others may not write to
//!  it, and the name in it is not taken ────────────▶ /sys/fs/bpf/duetector-actors
//!  otherwise ──────────────────────────────────────▶ /run/duetector-actors/bpf, mounted with mode 0700
//!  otherwise, and mounting is not permitted ───────▶ /sys/fs/bpf/duetector-actors, if the name is not taken and the
//!                                                     sticky bit protects it; if not, nothing is pinned
//! ```
//!
//! All this happens in the mount namespace of process 1. A sandboxed service has a mount namespace of its own; what is
//! mounted there ends with the service, and so would the pins. Therefore a thread enters the namespace of process 1 and
//! opens the folder. The whole agent can use the folder's descriptor, whatever its own namespace is. A service that may not
//! enter that namespace uses the folder that it sees, which is as good if process 1 has the same file system mounted.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;

use model::trusted::trusted_path;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::sys::stat::{fstat, major, minor};
use nix::sys::statfs::{FsType, Statfs, fstatfs, statfs};

use crate::errors::{BPFFS, PinError, chain};

/// Folder of all agents in the machine's bpffs.
const SHARED: &str = "/sys/fs/bpf/duetector-actors";
/// Folder in which agents mount their own bpffs; it is locked meanwhile.
const PARENT: &str = "/run/duetector-actors";
/// Mount point of the agents' own bpffs.
pub(crate) const OWN: &str = "/run/duetector-actors/bpf";

/// A folder in bpffs that only the agent's user can use.
#[derive(Debug)]
pub(super) struct Root {
    /// The path in the machine's mount namespace.
    pub(super) path: &'static str,
    /// The folder itself, from any mount namespace.
    pub(super) folder: OwnedFd,
    /// Facts about the folder that an administrator should know.
    pub(super) note: Option<String>,
    /// The reason why it ends before the machine does, if it does.
    pub(super) ends: Option<String>,
}

/// Returns the folders that exist and can be used. Nothing is created.
pub(super) fn existing() -> Vec<Root> {
    on_machine(|outside| {
        let opened = [SHARED, OWN].into_iter().filter_map(|path| Some((path, open_own(path).ok()?)));
        // Asked of the opened folder: anybody may have put a symbolic link to a file system that never answers at the path.
        let usable = opened.filter(|(_, folder)| fstatfs(folder).is_ok_and(|found| is_of_bpffs(&found)));
        let ends = |folder: &OwnedFd| outside.clone().filter(|_| !is_on_machine(folder));
        usable.map(|(path, folder)| Root { path, note: None, ends: ends(&folder), folder }).collect()
    })
}

/// Returns the folder to use, mounting a bpffs if the machine's is missing or others may write to it, and creates folder
/// `name` in it.
pub(super) fn make(name: &str) -> Result<Root, PinError> {
    on_machine(|outside| {
        let shared = is_bpffs(Path::new(BPFFS));
        let taken = taken();
        let (root, unmounted) = if shared && taken.is_none() && is_closed(Path::new(BPFFS)) {
            (make_shared(name)?, None)
        } else {
            match make_private(name) {
                Err(cause) if shared && taken.is_none() => (make_shared(name)?, Some(cause)),
                Err(cause) => return Err(no_bpffs(shared, taken, cause)),
                Ok(root) => (root, None),
            }
        };
        let unmounted = unmounted.map(|cause| {
            format!("others may write to {BPFFS}, and an own bpffs is not possible: {}", chain(&cause))
        });
        let outside = outside.filter(|_| !is_on_machine(&root.folder));
        let notes: Vec<String> = taken.into_iter().chain(unmounted).chain(outside.clone()).collect();
        Ok(Root { note: (!notes.is_empty()).then(|| notes.join("; ")), ends: outside, ..root })
    })
}

/// Creates the folder in the agents' own bpffs, mounting that unless it is mounted.
fn make_private(name: &str) -> Result<Root, PinError> {
    make_own(Path::new(PARENT))?;
    // Held until the folder is there: then nobody unmounts what it is in.
    let _lock = lock()?;
    if !is_bpffs(Path::new(OWN)) {
        make_own(Path::new(OWN))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        nix::mount::mount(Some("bpf"), OWN, Some("bpf"), flags, Some("mode=0700"))
            .map_err(|source| PinError::Mount { path: OWN, source: source.into() })?;
        tracing::info!(path = OWN, "mounted a bpffs that only the agent can use");
    }
    root_with(OWN, name)
}

/// Creates the folder in the machine's bpffs. If that is open to others, its sticky bit keeps them from replacing a folder
/// of ours.
fn make_shared(name: &str) -> Result<Root, PinError> {
    make_own(Path::new(SHARED))?;
    root_with(SHARED, name)
}

fn root_with(path: &'static str, name: &str) -> Result<Root, PinError> {
    let folder = open_own(path)?;
    make_own(&Path::new(path).join(name))?;
    Ok(Root { path, folder, note: None, ends: None })
}

fn no_bpffs(shared: bool, taken: Option<String>, own: PinError) -> PinError {
    let shared = match (taken, shared) {
        (Some(taken), _) => taken,
        (None, true) => format!("others may write to {BPFFS}"),
        (None, false) => format!("no bpffs is mounted at {BPFFS}"),
    };
    PinError::NoBpffs { shared, source: Box::new(own) }
}

/// Unmounts the agents' own bpffs if nothing is in it, so that nothing remains of the last agent.
pub(super) fn leave() {
    on_machine(|_| {
        let Ok(lock) = lock() else { return };
        // The kernel makes files of its own in it; agents have folders.
        let is_used =
            |mut entries: fs::ReadDir| entries.any(|entry| entry.is_ok_and(|it| it.path().is_dir()));
        if is_bpffs(Path::new(OWN)) && fs::read_dir(OWN).is_ok_and(|entries| !is_used(entries)) {
            // Agents that still have it open keep it; it is only taken from the path.
            match nix::mount::umount2(OWN, MntFlags::MNT_DETACH) {
                Ok(()) => drop(fs::remove_dir(OWN)),
                Err(cause) => tracing::debug!(path = OWN, %cause, "unmounting failed"),
            }
        }
        drop(lock);
    });
}

/// Returns who has taken the name of the shared folder, if it can't be used.
fn taken() -> Option<String> {
    let found = Path::new(SHARED).symlink_metadata().ok()?;
    let (mode, uid) = (found.mode() & 0o7777, found.uid());
    if !found.is_dir() {
        return Some(format!("{SHARED} (mode {mode:04o}) belongs to uid {uid} and is not a folder"));
    }
    if uid != own_uid() {
        return Some(format!("{SHARED} (mode {mode:04o}) belongs to uid {uid}"));
    }
    (mode & 0o077 != 0).then(|| format!("{SHARED} (mode {mode:04o}) may be used by others"))
}

fn own_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Returns whether nobody else can make or replace entries of the folder.
fn is_closed(path: &Path) -> bool {
    trusted_path(path).is_ok() && path.symlink_metadata().is_ok_and(|found| found.mode() & 0o022 == 0)
}

/// Returns whether a bpffs is mounted at a path that only root can change.
fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| is_of_bpffs(&found))
}

fn is_of_bpffs(found: &Statfs) -> bool {
    const BPFFS_MAGIC: FsType = FsType(0xcafe_4a11);
    found.filesystem_type() == BPFFS_MAGIC
}

/// Creates a folder with mode 0700, or checks an existing one.
fn make_own(path: &Path) -> Result<(), PinError> {
    let failed = |operation| move |source| PinError::Folder { operation, path: path.to_owned(), source };
    match DirBuilder::new().mode(0o700).create(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => Err(failed("create")(cause)),
        _ => check_own(path, &path.symlink_metadata().map_err(failed("read"))?),
    }
}

/// Opens a folder that only the agent's user can use, or refuses it.
fn open_own(path: &'static str) -> Result<OwnedFd, PinError> {
    trusted_path(Path::new(path))?;
    let flags = nix::libc::O_PATH | nix::libc::O_DIRECTORY | nix::libc::O_NOFOLLOW;
    let failed = |source| PinError::Folder { operation: "open", path: path.into(), source };
    let folder = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    check_own(Path::new(path), &folder.metadata().map_err(failed)?)?;
    Ok(folder.into())
}

/// Refuses what is not a folder that only the agent's user can use.
fn check_own(path: &Path, found: &fs::Metadata) -> Result<(), PinError> {
    let (mode, uid) = (found.mode() & 0o7777, found.uid());
    if found.is_dir() && uid == own_uid() && mode & 0o077 == 0 {
        return Ok(());
    }
    Err(PinError::NotOurs { path: path.to_owned(), mode, uid })
}

/// Locks the folder of the mount point, so that agents do not mount twice, nor unmount what another begins to use.
fn lock() -> Result<Flock<File>, PinError> {
    let failed = |source| PinError::Folder { operation: "lock", path: PARENT.into(), source };
    let folder = open_own(PARENT)?;
    // Opened again through the descriptor: one with O_PATH can't be locked.
    let by_fd = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder));
    let file = File::open(by_fd).map_err(failed)?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, cause)| failed(cause.into()))
}

/// Runs `work` in the mount namespace of process 1. If that differs from this process's and can't be entered, `work` runs
/// here, and gets a text that says so.
fn on_machine<T: Send>(work: impl FnOnce(Option<String>) -> T + Send) -> T {
    let namespace = match machine_s_namespace() {
        Ok(Some(namespace)) => namespace,
        Ok(None) => return work(None),
        Err(cause) => return work(Some(not_entered(&cause))),
    };
    let entered = || {
        // A thread of its own may have another root and working folder.
        let enter = || {
            nix::sched::unshare(CloneFlags::CLONE_FS)?;
            nix::sched::setns(namespace.as_fd(), CloneFlags::CLONE_NEWNS)
        };
        work(enter().err().map(|cause| not_entered(&cause.into())))
    };
    thread::scope(|scope| match scope.spawn(entered).join() {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn not_entered(cause: &io::Error) -> String {
    format!(
        "this service has a mount namespace of its own, and that of the machine can't be entered ({cause}): what is \
         pinned ends with the service"
    )
}

/// Returns the mount namespace of process 1, unless it is this process's; an error if it is another and must not be seen.
fn machine_s_namespace() -> io::Result<Option<File>> {
    const MACHINE: &str = "/proc/1/ns/mnt";
    let differs = || {
        let (machine, own) = (fs::metadata(MACHINE)?, fs::metadata("/proc/self/ns/mnt")?);
        Ok((machine.dev(), machine.ino()) != (own.dev(), own.ino()))
    };
    match differs() {
        Ok(differs) => differs.then(|| File::open(MACHINE)).transpose(),
        // Seeing the namespace needs CAP_SYS_PTRACE. The number of a mount is that of no other in any namespace.
        Err(cause) => match (first_mount("1"), first_mount("self")) {
            (Some(machine), Some(own)) if machine != own => Err(cause),
            _ => Ok(None),
        },
    }
}

/// Returns whether process 1 has the folder's bpffs mounted, too: then what is pinned there stays when the service ends. A sandboxed
/// service usually has mounts of the same file systems (systemd's `ReadWritePaths=`).
fn is_on_machine(folder: &OwnedFd) -> bool {
    let device = fstat(folder).map(|found| format!("{}:{}", major(found.st_dev), minor(found.st_dev)));
    let mounts = fs::read("/proc/1/mountinfo").unwrap_or_default();
    let mounts = String::from_utf8_lossy(&mounts);
    device.is_ok_and(|device| mounts.lines().any(|mount| mount.split(' ').nth(2) == Some(&*device)))
}

/// Returns the number of the first mount that a process sees.
fn first_mount(process: &str) -> Option<String> {
    let mounts = fs::read_to_string(format!("/proc/{process}/mountinfo")).ok()?;
    mounts.split(' ').next().map(str::to_owned)
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
        assert!(matches!(make_own(&own), Err(PinError::NotOurs { mode: 0o750, .. })));
    }
}
