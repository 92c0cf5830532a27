//! Splits a record into its fixed part and the texts behind it.

use super::{Family, Header, Kind, Plain, TextRef, WireError, read};

/// Bit of [`TextRef::flags`], like the following: the path is too deep, too long, or partly unreadable.
pub(crate) const TEXT_INCOMPLETE: u16 = 2;
/// The text is only the beginning of a longer one.
pub(crate) const TEXT_CUT: u16 = 4;
/// The file has no name any more: this was its last one.
pub(crate) const TEXT_DELETED: u16 = 8;
/// The file is not below the process's root: the path begins at the root of its mount namespace, or of another.
pub(crate) const TEXT_OUTSIDE: u16 = 16;
/// The file is not reachable from any directory: a pipe, a socket, an anonymous inode.
pub(crate) const TEXT_DETACHED: u16 = 32;
/// The text could not be read.
pub(crate) const TEXT_UNREADABLE: u16 = 64;
/// The bytes are not a text but a `struct file_handle`.
pub(crate) const TEXT_HANDLE: u16 = 128;
pub(crate) const TEXT_RESOLVED: u16 = 256;
/// The owners of a cgroup's folders follow its names.
const TEXT_OWNED: u16 = 512;

/// Checks that a record is of this family; returns its fixed part and its texts.
pub(crate) fn view<T: Fixed>(bytes: &[u8], family: Family) -> Result<(T, Texts<'_>), WireError> {
    let found = Header::parse(bytes)?.kind()?;
    let expected = Kind::ALL.iter().find(|kind| kind.family() == family);
    match expected {
        Some(expected) if found.family() != family => {
            Err(WireError::Unexpected { found, expected: *expected })
        }
        _ => T::fixed(bytes),
    }
}

/// A struct that is the fixed part of a record.
pub(crate) trait Fixed: Sized {
    /// Reads the struct from the beginning of a record; the rest are the record's texts.
    fn fixed(bytes: &[u8]) -> Result<(Self, Texts<'_>), WireError>;
}

impl<T: Plain> Fixed for T {
    fn fixed(bytes: &[u8]) -> Result<(Self, Texts<'_>), WireError> {
        Ok((read(bytes)?, Texts { rest: &bytes[size_of::<T>()..] }))
    }
}

/// The texts behind a record's fixed part, taken in order.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    rest: &'a [u8],
}

/// Bytes and `TEXT_*` bits of one text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawText<'a> {
    pub(crate) bytes: &'a [u8],
    flags: u16,
}

impl RawText<'_> {
    /// Returns a path as seen from the root that its walk ended at, also if that is not the process's.
    pub(crate) fn of_namespace(self) -> Self {
        Self { flags: self.flags & !TEXT_OUTSIDE, ..self }
    }

    /// Returns whether any of these bits is set.
    pub(crate) fn is(self, flags: u16) -> bool {
        self.flags & flags != 0
    }

    /// Splits a cgroup's text into its names and the owners of its folders; `None` if they don't fit into it.
    pub(crate) fn owned(self) -> Option<(Self, Vec<u32>)> {
        if !self.is(TEXT_OWNED) {
            return Some((self, Vec::new()));
        }
        let (rest, count) = self.bytes.split_last_chunk()?;
        let length = 4_usize.checked_mul(u32::from_ne_bytes(*count) as usize)?;
        let (names, owners) = rest.split_at(rest.len().checked_sub(length)?);
        let (owners, _) = owners.as_chunks();
        let owners = owners.iter().map(|owner| u32::from_ne_bytes(*owner)).collect();
        Some((Self { bytes: names, ..self }, owners))
    }
}

impl<'a> Texts<'a> {
    /// Takes the next text.
    pub(crate) fn take(&mut self, text: TextRef) -> Result<RawText<'a>, WireError> {
        let needed = usize::from(text.len);
        let error = WireError::Texts { found: self.rest.len(), needed };
        let (bytes, rest) = self.rest.split_at_checked(needed).ok_or(error)?;
        self.rest = rest;
        Ok(RawText { bytes, flags: text.flags })
    }

    /// Fails if bytes are left.
    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            found => Err(WireError::Texts { found, needed: 0 }),
        }
    }
}

/// Splits concatenated records, as the task iterator writes them. After an error the iterator ends, because the start of the
/// next record is unknown.
pub(crate) fn split(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], WireError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let all = std::mem::take(&mut rest);
        Some(read::<Header>(all).and_then(|header| {
            let size = (header.size as usize).max(size_of::<Header>());
            let error = WireError::Short { found: all.len(), needed: size };
            let (record, behind) = all.split_at_checked(size).ok_or(error)?;
            rest = behind;
            Ok(record)
        }))
    })
}
