//! The folder of the segments, which is beside the store's file.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::trusted::trusted_file;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::Connection;

use crate::Error;
use crate::access::Access;

/// Name of the folder.
pub const SEGMENTS: &str = "segments";
/// Name of the file in a segment's folder that describes it.
pub const MANIFEST: &str = "segment.json";
/// Folder of files that were removed, until no reader uses them any more.
const REMOVED: &str = ".removed";
/// Ending of the name of a folder that is being written.
const UNFINISHED: &str = ".unfinished";
/// File that the process which changes segments locks.
const WRITER_LOCK: &str = ".writer";
/// File that readers lock, so that what they read is not deleted.
const READER_LOCK: &str = ".readers";
/// Time after which a removed file is deleted although somebody holds the readers' lock.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// The folder of the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    /// The group that may read the segments: the one that may read the store's file.
    access: Access,
}

/// A lock on the segments; dropping it releases it.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Folder {
    /// Returns the folder that belongs to the store's file `path`.
    pub fn beside(path: &Path) -> Self {
        Self { path: path.with_file_name(SEGMENTS), access: Access::like(path) }
    }

    /// Returns the folder that belongs to the main file of the connection.
    pub fn of(connection: &Connection) -> Self {
        Self::beside(Path::new(connection.path().unwrap_or_default()))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the folder of a segment.
    pub fn segment(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the folder in which a segment is written.
    pub(crate) fn unfinished(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}{UNFINISHED}"))
    }

    /// Returns whether a name in the folder is that of a folder that is being written.
    pub(crate) fn is_unfinished(name: &OsStr) -> bool {
        name.as_encoded_bytes().ends_with(UNFINISHED.as_bytes())
    }

    /// Makes the folder, if it is not there.
    pub(crate) fn make(&self) -> Result<(), Error> {
        make(&self.path)?;
        make(&self.path.join(REMOVED))?;
        // Readers find it there: they can't make it.
        self.lock(READER_LOCK, FlockArg::LockSharedNonblock, true)?;
        if self.access.is_done(&self.path) { Ok(()) } else { self.open_to_readers() }
    }

    /// Lets those who may read the store read all segments; the folder comes last, so that this is finished if it is interrupted.
    fn open_to_readers(&self) -> Result<(), Error> {
        let mut folders = self.segments()?;
        folders.push(REMOVED.to_owned());
        let paths = folders.iter().map(|name| self.path.join(name)).filter(|path| path.exists());
        paths
            .into_iter()
            .try_for_each(|path| self.access.open_all(&path))
            .and_then(|()| self.access.open_file(&self.path.join(READER_LOCK)))
            .and_then(|()| self.access.open_own_folder(&self.path))
            .map_err(Error::io("let the store's readers into", &self.path))
    }

    /// Lets those who may read the store read a segment that is not there for readers yet.
    pub(crate) fn open_unfinished(&self, unfinished: &Path) -> Result<(), Error> {
        self.access.open_all(unfinished).map_err(Error::io("let the store's readers into", unfinished))
    }

    /// Takes the lock of the one process that may change segments.
    pub(crate) fn lock_for_writing(&self) -> Result<Lock, Error> {
        self.make()?;
        let lock = self.lock(WRITER_LOCK, FlockArg::LockExclusiveNonblock, true)?;
        lock.ok_or(Error::Busy)
    }

    /// Takes a lock that keeps files from being deleted; `None` if there are no segments yet, or this user can't lock.
    pub fn lock_for_reading(&self) -> Option<Lock> {
        self.lock(READER_LOCK, FlockArg::LockSharedNonblock, false).ok().flatten()
    }

    /// Returns whether no reader has a lock.
    fn has_no_readers(&self) -> bool {
        matches!(self.lock(READER_LOCK, FlockArg::LockExclusiveNonblock, true), Ok(Some(_)))
    }

    fn lock(&self, name: &str, kind: FlockArg, make: bool) -> Result<Option<Lock>, Error> {
        let path = self.path.join(name);
        // Readers may not write here, and a lock does not need it.
        let mut options = OpenOptions::new();
        options.read(true).write(make).create(make).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
        let file = options.open(&path).map_err(Error::io("open", &path))?;
        match Flock::lock(file, kind) {
            Ok(file) => Ok(Some(Lock { _file: file })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, cause)) => Err(Error::io("lock", &path)(cause.into())),
        }
    }

    /// Opens a file of a segment for reading, also one that was removed while readers use it.
    pub(crate) fn open(&self, segment: &str, file: &str) -> std::io::Result<File> {
        match open_file(&self.segment(segment).join(file)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                open_file(&self.removed(segment, file)).map_err(|_| error)
            }
            other => other,
        }
    }

    fn removed(&self, segment: &str, file: impl AsRef<OsStr>) -> PathBuf {
        let mut name = OsString::from(format!("{segment}-"));
        name.push(file);
        self.path.join(REMOVED).join(name)
    }

    /// Removes the files of a segment except its manifest. Readers can use them until [`Self::empty`] deletes them.
    pub(crate) fn remove_files(&self, segment: &str) -> Result<(), Error> {
        let folder = self.segment(segment);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(Error::io("list", &folder))?,
        };
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &folder))?;
            let (name, path) = (entry.file_name(), entry.path());
            if name == MANIFEST {
                continue;
            }
            let to = self.removed(segment, &name);
            fs::rename(&path, &to).map_err(Error::io("move", &path))?;
        }
        Ok(())
    }

    /// Deletes removed files: all of them if nobody holds the readers' lock, or if `now` is true; otherwise those that were removed
    /// long ago, because somebody may hold the lock for ever. Returns whether none is left.
    pub(crate) fn empty(&self, now: bool, utc_ns: i64) -> Result<bool, Error> {
        let folder = self.path.join(REMOVED);
        let names = entries(&folder)?;
        if names.is_empty() {
            return Ok(true);
        }
        let all = now || self.has_no_readers();
        let mut is_empty = true;
        for name in names {
            let path = folder.join(name);
            if all || is_old(&path, utc_ns) { delete(&path)? } else { is_empty = false }
        }
        Ok(is_empty)
    }

    /// Returns the size of removed files that readers keep, in bytes.
    pub fn kept_for_readers(&self) -> u64 {
        let folder = self.path.join(REMOVED);
        let names = entries(&folder).unwrap_or_default();
        names.iter().filter_map(|name| Some(fs::symlink_metadata(folder.join(name)).ok()?.len())).sum()
    }

    /// Deletes the folder of a segment. It loses its name first: one that is only partly deleted is not taken for a segment.
    pub(crate) fn remove(&self, segment: &str) -> Result<(), Error> {
        let (path, unfinished) = (self.segment(segment), self.unfinished(segment));
        delete(&unfinished)?;
        fs::rename(&path, &unfinished).map_err(Error::io("move", &path))?;
        delete(&unfinished)?;
        Ok(())
    }

    /// Deletes what unfinished work has left.
    pub(crate) fn clean(&self) -> Result<(), Error> {
        let names = entries(&self.path)?.into_iter();
        names.filter(|name| Self::is_unfinished(name)).try_for_each(|name| delete(&self.path.join(name)))
    }

    /// Returns the names of all folders that have the form of a segment's.
    pub(crate) fn segments(&self) -> Result<Vec<String>, Error> {
        let names = entries(&self.path)?.into_iter();
        let names =
            names.filter(|name| !Self::is_unfinished(name) && !name.as_encoded_bytes().starts_with(b"."));
        // No segment has a name that is not UTF-8.
        Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    /// Returns the size of everything in the folder, in bytes of disk space.
    pub fn size(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let size = |path: &Path| fs::symlink_metadata(path).map_or(0, |found| found.blocks() * 512);
        let names = entries(&self.path).unwrap_or_default();
        let files = names.iter().flat_map(|name| {
            let folder = self.path.join(name);
            let files = entries(&folder).unwrap_or_default().into_iter().map(move |file| folder.join(file));
            files.chain([self.path.join(name)])
        });
        files.map(|path| size(&path)).sum()
    }
}

/// Makes a folder that only this user can use, if it is not there. One that is there must be ours.
pub(crate) fn make(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => check(path),
        other => other.map_err(Error::io("make the folder", path)),
    }
}

/// Checks that a folder is one, and no link, and that nobody else may write it.
fn check(path: &Path) -> Result<(), Error> {
    let found = fs::symlink_metadata(path).map_err(Error::io("read the owner of", path))?;
    let cause = if found.is_dir() {
        trusted_file(path, &found).err().map(|cause| cause.to_string())
    } else {
        Some("it is a link or not a folder".to_owned())
    };
    let Some(cause) = cause else { return Ok(()) };
    Err(Error::io("use the folder", path)(std::io::Error::other(cause)))
}

/// Opens a file for reading; a pipe or a device instead of it would keep the reader waiting.
pub(super) fn open_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOFOLLOW).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(std::io::Error::other("it is not a file")) }
}

/// Makes a new file that only this user can use.
pub(crate) fn create(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options.open(path).map_err(Error::io("make", path))
}

/// Waits until the entries of a folder are on the disk.
pub(crate) fn sync(path: &Path) -> Result<(), Error> {
    let folder = File::open(path).map_err(Error::io("open", path))?;
    folder.sync_all().map_err(Error::io("sync", path))
}

/// Returns whether a file was removed so long ago that readers have had enough time.
fn is_old(path: &Path, utc_ns: i64) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(found) = fs::symlink_metadata(path) else { return true };
    utc_ns / 1_000_000_000 - found.ctime() >= PATIENCE.as_secs().cast_signed()
}

/// Deletes a file, or a folder with everything in it.
fn delete(path: &Path) -> Result<(), Error> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let deleted = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match deleted {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("delete", path)(error)),
        _ => Ok(()),
    }
}

/// Returns the names of what is in a folder, in order; none if there is no such folder.
fn entries(folder: &Path) -> Result<Vec<OsString>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<Result<Vec<_>, _>>().map_err(Error::io("list", folder))?;
    names.sort();
    Ok(names)
}
