//! Converts raw texts of records: names from the leaf up to absolute paths, and requested paths to absolute ones.

use model::Text;

use crate::wire::{
    FileId, RawText, TEXT_DELETED, TEXT_DETACHED, TEXT_INCOMPLETE, TEXT_OUTSIDE, TEXT_UNREADABLE,
};

/// A path, and whether part of it is missing.
pub(crate) struct Path {
    pub(crate) bytes: Vec<u8>,
    pub(crate) incomplete: bool,
}

impl Path {
    /// Returns the path as text.
    pub(crate) fn text(&self) -> Text {
        Text::from_bytes(&self.bytes)
    }
}

/// Joins the names of a path in the order in which the kernel side walked them, from the leaf up. An incomplete path has no
/// leading `/`: it is the end of the real path, or begins at another root than the process's. `(deleted)` is appended as the
/// kernel does, also to files that never had a directory (memfd).
pub(crate) fn path(raw: RawText<'_>) -> Path {
    let mut bytes = Vec::with_capacity(raw.bytes.len() + 1);
    let names = raw.bytes.strip_suffix(&[0]).unwrap_or(raw.bytes);
    // A file opened by its handle, with parent directories that no lookup has connected to the root yet.
    let unconnected = raw.is(TEXT_DETACHED).then(|| names.strip_suffix(b"/")).flatten();
    let incomplete = raw.is(TEXT_INCOMPLETE | TEXT_OUTSIDE | TEXT_UNREADABLE) || unconnected.is_some();
    let names = unconnected.map_or(names, |below| below.strip_suffix(&[0]).unwrap_or(below));
    if !names.is_empty() {
        for name in names.rsplit(|byte| *byte == 0) {
            bytes.push(b'/');
            bytes.extend_from_slice(name);
        }
    }
    if bytes.is_empty() && !incomplete {
        bytes.push(b'/');
    }
    if incomplete && !bytes.is_empty() {
        bytes.remove(0);
    }
    if raw.is(TEXT_DELETED) || raw.is(TEXT_DETACHED) && unconnected.is_none() {
        bytes.extend_from_slice(b" (deleted)");
    }
    Path { bytes, incomplete }
}

/// Returns the path of a file; one without a directory is named as in `/proc/PID/fd`.
pub(crate) fn file_path(raw: RawText<'_>, file: &FileId) -> Path {
    const PIPEFS: u32 = 0x5049_5045;
    const SOCKFS: u32 = 0x534F_434B;
    const ANON_INODE_FS: u32 = 0x0904_1934;
    if !raw.is(TEXT_DETACHED) {
        return path(raw);
    }
    let name = raw.bytes.strip_suffix(&[0]).unwrap_or(raw.bytes);
    let ino = file.ino;
    let bytes = match file.fs_magic {
        PIPEFS => format!("pipe:[{ino}]").into_bytes(),
        SOCKFS => format!("socket:[{ino}]").into_bytes(),
        ANON_INODE_FS => [b"anon_inode:", name].concat(),
        _ => return path(raw),
    };
    Path { bytes, incomplete: false }
}

/// Returns a requested path, made absolute from `base`; nothing if it could not be read, as that of `open(NULL)`.
pub(crate) fn asked(base: RawText<'_>, asked: RawText<'_>) -> Path {
    if asked.is(TEXT_UNREADABLE) {
        return Path { bytes: Vec::new(), incomplete: true };
    }
    join(base, asked.bytes)
}

/// Returns a requested path, made absolute from `base`. Only `.`, `..` and double slashes are resolved: the targets of
/// symbolic links are unknown for a call that names files without opening them.
pub(crate) fn join(base: RawText<'_>, asked: &[u8]) -> Path {
    let (base, incomplete) = if asked.starts_with(b"/") {
        (Vec::new(), false)
    } else {
        let base = path(base);
        (base.bytes, base.incomplete)
    };
    let mut names: Vec<&[u8]> = Vec::new();
    for name in base.split(|byte| *byte == b'/').chain(asked.split(|byte| *byte == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let mut bytes = names.iter().flat_map(|name| [b"/", *name].concat()).collect::<Vec<u8>>();
    if bytes.is_empty() {
        bytes.push(b'/');
    }
    if incomplete {
        bytes.remove(0);
    }
    Path { bytes, incomplete }
}

/// Splits texts that are each ended by a NUL.
pub(crate) fn list(bytes: &[u8]) -> Vec<Text> {
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|byte| *byte == 0).map(Text::from_bytes).collect()
}
