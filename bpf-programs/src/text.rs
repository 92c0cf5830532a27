//! Raw texts of records to what is meant: names from the leaf up to an absolute path, a failed open's path
//! made absolute.

use model::Text;

use crate::wire::{FileId, RawText, TEXT_DELETED, TEXT_DETACHED, TEXT_INCOMPLETE, TEXT_UNREADABLE};

/// A path, and whether it is whole.
pub(crate) struct Path {
    pub(crate) bytes: Vec<u8>,
    pub(crate) incomplete: bool,
}

impl Path {
    /// As text.
    pub(crate) fn text(&self) -> Text {
        Text::from_bytes(&self.bytes)
    }
}

/// The names of a path as the kernel side walked them. One that is not whole has no `/` in front: it is the
/// end of the real path. `(deleted)` is appended as the kernel does it, also to what never had a folder (memfd).
pub(crate) fn path(raw: RawText<'_>) -> Path {
    let mut bytes = Vec::with_capacity(raw.bytes.len() + 1);
    let names = raw.bytes.strip_suffix(&[0]).unwrap_or(raw.bytes);
    // What was opened by its handle, and has folders that nobody has looked up yet.
    let unconnected = raw.is(TEXT_DETACHED).then(|| names.strip_suffix(b"/")).flatten();
    let incomplete = raw.is(TEXT_INCOMPLETE | TEXT_UNREADABLE) || unconnected.is_some();
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

/// The path of what may be a file without a folder, named as in `/proc/PID/fd`.
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

/// A path as it was asked for, made absolute from `base`. Only `.`, `..` and double slashes are resolved: what
/// a symlink would have led to is not known of a call that names files without opening them.
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

/// Texts that are each closed by a NUL.
pub(crate) fn list(bytes: &[u8]) -> Vec<Text> {
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|byte| *byte == 0).map(Text::from_bytes).collect()
}
