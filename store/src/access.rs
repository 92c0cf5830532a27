//! Lets a group read the store (`[store] group`), besides the agent's user. Its members may enter the work folder and read
//! the store's files and `read.sock`; nothing else in the folder, and nothing of it may they write.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use nix::unistd::Group;

/// Bits of a mode that concern the group.
const OF_GROUP: u32 = 0o070;

/// The group that may read the store, if there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    gid: Option<u32>,
}

impl Access {
    /// Looks up the group of that name; an empty name is no group.
    ///
    /// # Errors
    /// There is no such group: a sentence about what to do.
    pub fn of(group: &str) -> Result<Self, String> {
        if group.is_empty() {
            return Ok(Self::default());
        }
        match Group::from_name(group) {
            Ok(Some(found)) => Ok(Self { gid: Some(found.gid.as_raw()) }),
            Ok(None) => Err(format!(
                "there is no group {group:?}: create it with `groupadd --system {group}`, or name one of /etc/group"
            )),
            Err(cause) => Err(format!("the group {group:?} can't be looked up: {cause}")),
        }
    }

    /// Returns who may read this file, which has the permissions that [`Self::open_file`] gave it: so whatever is written beside
    /// it, in whichever process, is for the same readers.
    pub fn like(file: &Path) -> Self {
        let found = fs::symlink_metadata(file).ok().filter(|found| found.mode() & OF_GROUP & 0o040 != 0);
        Self { gid: found.map(|found| found.gid()) }
    }

    /// Lets the group enter and list a folder (0750). Without a group, the folder stays as it is.
    ///
    /// # Errors
    /// The folder's group or mode can't be changed.
    pub fn open_folder(self, folder: &Path) -> io::Result<()> {
        self.gid.map_or(Ok(()), |gid| set(folder, gid, 0o750))
    }

    /// Lets the group read a file (0640). Without a group, takes the group's permissions away: the setting may have been
    /// another one before.
    ///
    /// # Errors
    /// The file's group or mode can't be changed.
    pub fn open_file(self, file: &Path) -> io::Result<()> {
        match self.gid {
            Some(gid) => set(file, gid, 0o640),
            None => {
                let mode = fs::symlink_metadata(file)?.mode() & 0o7777;
                if mode & OF_GROUP == 0 { Ok(()) } else { set_mode(file, mode & !OF_GROUP) }
            }
        }
    }

    /// Lets the group enter and list a folder that is part of the store (0750); without a group, only its owner may (0700).
    ///
    /// # Errors
    /// The folder's group or mode can't be changed.
    pub fn open_own_folder(self, folder: &Path) -> io::Result<()> {
        match self.gid {
            Some(gid) => set(folder, gid, 0o750),
            None => set_mode(folder, 0o700),
        }
    }

    /// Does for a folder of the store and the files in it what [`Self::open_own_folder`] and [`Self::open_file`] do.
    ///
    /// # Errors
    /// The folder can't be listed, or a group or mode can't be changed.
    pub fn open_all(self, folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            self.open_file(&entry?.path())?;
        }
        self.open_own_folder(folder)
    }

    /// Returns whether [`Self::open_own_folder`] has done its work on a folder.
    pub fn is_done(self, folder: &Path) -> bool {
        let found = fs::symlink_metadata(folder).map(|found| (found.mode() & 0o7777, found.gid()));
        found.is_ok_and(|(mode, gid)| match self.gid {
            Some(wanted) => (mode, gid) == (0o750, wanted),
            None => mode & OF_GROUP == 0,
        })
    }

    /// Lets the group connect to a socket (0660). Without a group, only its owner may (0600).
    ///
    /// # Errors
    /// The socket's group or mode can't be changed.
    pub fn open_socket(self, socket: &Path) -> io::Result<()> {
        match self.gid {
            Some(gid) => set(socket, gid, 0o660),
            None => set_mode(socket, 0o600),
        }
    }
}

/// Changes what is not as it should be. The group comes first: its members must not get what the group before them had.
fn set(path: &Path, gid: u32, mode: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if found.gid() != gid {
        chown(path, None, Some(gid)).map_err(|cause| {
            let text = format!(
                "giving {} to the group with gid {gid}: {cause}; the agent must be root or a member of the group",
                path.display()
            );
            io::Error::new(cause.kind(), text)
        })?;
    }
    if found.mode() & 0o7777 == mode { Ok(()) } else { set_mode(path, mode) }
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn an_unknown_group_is_explained() {
        assert_eq!(Access::of(""), Ok(Access::default()));
        let why = Access::of("no-such-group-here").unwrap_err();
        assert!(why.contains("groupadd --system no-such-group-here"), "{why}");
    }

    #[test]
    fn a_group_may_read_and_never_write_and_loses_that_again() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("a"), folder.path().join("a/x"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "").unwrap();
        let own = Access { gid: Some(inner.metadata().unwrap().gid()) };
        own.open_all(&inner).unwrap();
        assert_eq!((mode(&inner), mode(&file)), (0o750, 0o640));
        assert!(own.is_done(&inner) && !Access::default().is_done(&inner));
        assert_eq!(Access::like(&file), own);
        own.open_socket(&file).unwrap();
        assert_eq!(mode(&file), 0o660);
        Access::default().open_all(&inner).unwrap();
        assert_eq!((mode(&inner), mode(&file)), (0o700, 0o600));
        Access::default().open_socket(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
    }
}
