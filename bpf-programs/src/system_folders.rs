//! Finds device and inode number, as the kernel has them, of the folders by which files of the system are recognised.
//!
//! `stat` shows other numbers than the kernel's own on some file systems (btrfs subvolumes, overlays), so device and inode
//! come from the open folder: `/proc/self/fdinfo` has the inode and the mount, `/proc/self/mountinfo` the mount's device.

use std::fs::{Metadata, OpenOptions, read_to_string};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use model::SystemFiles;
use model::system_files::MAX_SYSTEM_NAME;

use crate::wire::{SYSTEM_FOLDERS, SystemFolder, SystemFolders};

/// Finds the folders and files, and leaves out those that do not exist.
pub(crate) fn find(wanted: &SystemFiles) -> Vec<SystemFolder> {
    let mounts = read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let folders = wanted.folders.iter().map(|folder| (folder.as_path(), &[][..]));
    let files = wanted.files.iter().filter_map(|file| Some((file.parent()?, file.file_name()?.as_bytes())));
    let mut found = Vec::new();
    for (folder, name) in folders.chain(files) {
        match identify(folder, &mounts) {
            Ok((dev, ino)) if name.len() <= MAX_SYSTEM_NAME => {
                let (name, mask) = words(name);
                found.push(SystemFolder { ino, name, mask, dev, pad: 0 });
            }
            Ok(_) => {}
            Err(cause) => tracing::debug!(folder = %folder.display(), %cause, "no folder of the system"),
        }
    }
    // Two paths may lead to one folder.
    found.sort();
    found.dedup();
    found.truncate(SYSTEM_FOLDERS);
    found
}

/// Returns device, in the kernel's encoding, and inode number of a folder.
fn identify(folder: &Path, mounts: &str) -> io::Result<(u32, u64)> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let open = OpenOptions::new().read(true).custom_flags(flags).open(folder)?;
    let meta = open.metadata()?;
    let info = read_to_string(format!("/proc/self/fdinfo/{}", open.as_raw_fd())).unwrap_or_default();
    let number = |key: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        value.trim().parse::<u64>().ok()
    };
    let dev = number("mnt_id").and_then(|id| device_of(id, mounts));
    Ok((dev.unwrap_or_else(|| encoded(&meta)), number("ino").unwrap_or_else(|| meta.ino())))
}

fn encoded(meta: &Metadata) -> u32 {
    libc::major(meta.dev()) << 20 | libc::minor(meta.dev())
}

/// Returns the device of a mount, from the lines of `mountinfo`: `36 35 98:0 / /mnt …`.
fn device_of(id: u64, mounts: &str) -> Option<u32> {
    let device = mounts.lines().find_map(|line| {
        let mut parts = line.split(' ');
        (parts.next()?.parse() == Ok(id)).then(|| parts.nth(1)).flatten()
    })?;
    let (major, minor) = device.split_once(':')?;
    Some(major.parse::<u32>().ok()? << 20 | minor.parse::<u32>().ok()?)
}

/// Returns a name and its final NUL as two 64-bit words, and the bits of the words that are compared.
fn words(name: &[u8]) -> ([u64; 2], [u64; 2]) {
    let (mut bytes, mut mask) = ([0_u8; 16], [0_u8; 16]);
    if !name.is_empty() {
        bytes[..name.len()].copy_from_slice(name);
        mask[..=name.len()].fill(0xff);
    }
    let word = |of: &[u8; 16], at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| of[8 * at + byte]));
    ([word(&bytes, 0), word(&bytes, 1)], [word(&mask, 0), word(&mask, 1)])
}

impl SystemFolders {
    /// Returns the map's value for these folders.
    pub(crate) fn new(found: &[SystemFolder]) -> Self {
        let none = SystemFolder { ino: 0, name: [0; 2], mask: [0; 2], dev: 0, pad: 0 };
        let mut folders = [none; SYSTEM_FOLDERS];
        let count = found.len().min(SYSTEM_FOLDERS);
        folders[..count].copy_from_slice(&found[..count]);
        let bits = |number: &dyn Fn(&SystemFolder) -> u64| {
            found.iter().fold(0, |bits, folder| bits | 1_u64 << (number(folder) & 63))
        };
        Self {
            devs: bits(&|folder| folder.dev.into()),
            inos: bits(&|folder| folder.ino),
            count: count as u32,
            pad: 0,
            folders,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn folders_are_identified_once_and_those_that_do_not_exist_are_left_out() {
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
        let wanted = SystemFiles {
            folders: paths(&["/usr", "/usr/.", "/no/such/folder"]),
            files: paths(&["/usr/name", "/no/such/file", "/usr/a-name-that-is-too-long"]),
            filters: Vec::new(),
        };
        let found = find(&wanted);
        assert_eq!(found.len(), 2, "{found:?}");
        let ino = std::fs::metadata("/usr").unwrap().ino();
        assert_eq!(found.iter().map(|folder| folder.mask[0] != 0).collect::<Vec<_>>(), [false, true]);
        let map = SystemFolders::new(&found);
        assert_eq!((map.count, map.inos), (2, 1 << (found[0].ino & 63)));
        // An overlay's folder may have another number there.
        assert!(found.iter().all(|folder| folder.ino == found[0].ino) && found[0].ino.max(ino) > 0);
    }

    #[test]
    fn a_mount_has_the_device_that_the_kernel_knows_it_by() {
        let mounts = "21 1 0:20 / /proc rw - proc proc rw\n22 1 259:3 /@ / rw shared:1 - btrfs /dev/x rw\n";
        assert_eq!(device_of(22, mounts), Some(259 << 20 | 3));
        assert_eq!(device_of(21, mounts), Some(20));
        assert_eq!(device_of(2, mounts), None);
    }

    #[test]
    fn a_name_is_compared_up_to_its_end() {
        let (name, mask) = words(b"ld.so.cache");
        assert_eq!(name[0].to_ne_bytes(), *b"ld.so.ca");
        assert_eq!(
            (name[1].to_ne_bytes(), mask[1].to_ne_bytes()),
            (*b"che\0\0\0\0\0", [255, 255, 255, 255, 0, 0, 0, 0])
        );
        assert_eq!(words(b""), ([0; 2], [0; 2]));
    }
}
