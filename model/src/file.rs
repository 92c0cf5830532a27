//! Which file it was: its identity, not its name.

/// A file as the kernel knows it. Device, inode number and generation together are the file, whatever its names:
/// hard links, bind mounts, renames and copies to an overlay's upper layer don't change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Device of its file system (`makedev(major, minor)`): what `stat` tells as `st_dev`, but for file systems that
    /// tell another (btrfs' subvolumes, overlays of several file systems).
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// The inode's generation: another for the next file that gets the number. 0 where the file system has none.
    pub generation: u32,
    /// The inode's mode, with its `S_IFMT` bits.
    pub mode: u16,
    /// On overlayfs, the file of the layer that has its data.
    pub real: Option<RealFile>,
}

/// The file below one of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealFile {
    /// Where.
    pub layer: Layer,
    /// As [`File::dev`].
    pub dev: u64,
    /// As [`File::ino`].
    pub ino: u64,
    /// As [`File::generation`].
    pub generation: u32,
}

/// A layer of an overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The one that is written to: made here, or copied up.
    Upper,
    /// One of those below.
    Lower,
}

impl Layer {
    /// As rows say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upper => "upper",
            Self::Lower => "lower",
        }
    }
}
