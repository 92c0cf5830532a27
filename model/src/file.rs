//! Identities of files, independent of their names.

/// Identifies a file as the kernel does. Device, inode number and generation together identify a file under all its
/// names: hard links, bind mounts, renames and copies to an overlay's upper layer don't change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Device of its file system, or of its subvolume on btrfs (`makedev(major, minor)`). Equals `stat`'s `st_dev`, except on
    /// overlays of several file systems.
    pub dev: u64,
    /// Inode number of the file.
    pub ino: u64,
    /// Generation of the inode, different for the next file that gets the same number. 0 if the file system has none.
    pub generation: u32,
    /// Mode of the inode, with the `S_IFMT` bits.
    pub mode: u16,
    /// On overlayfs, the file in the layer that holds its data.
    pub real: Option<RealFile>,
    /// True if the file is on btrfs, and a device is that of the whole file system, because the subvolume is not known.
    pub subvolume_unknown: bool,
}

/// Identifies the file in a layer of an overlay that holds the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealFile {
    /// Layer the file is in.
    pub layer: Layer,
    /// Device, like [`File::dev`].
    pub dev: u64,
    /// Inode number, like [`File::ino`].
    pub ino: u64,
    /// Generation, like [`File::generation`].
    pub generation: u32,
}

/// A layer of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The writable layer: the file was made there, or copied up.
    Upper,
    /// A read-only layer below.
    Lower,
}

impl Layer {
    /// Returns the name used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upper => "upper",
            Self::Lower => "lower",
        }
    }
}
