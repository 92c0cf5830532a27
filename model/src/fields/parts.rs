//! Parts that records of several kinds have in common.

use std::borrow::Cow;

use crate::extended::{Field, visit_text};
use crate::{File, Text};

/// Visits the requested path if it differs from the one in the row's `fname` column. Most often they are equal, and
/// showing both would make rows longer by a third.
pub(super) fn visit_asked<'a>(asked: &'a Text, path: &'a Text, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    if asked.as_bytes() != path.as_bytes() {
        visit_text("path_asked", "path_asked_bytes", asked, field);
    }
}

/// Visits a field that a record has only where it is true.
pub(super) fn visit_mark<'a>(name: &'a str, is_set: bool, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    if is_set {
        field(name, Field::Bool(true));
    }
}

/// Visits the file's identity, if known.
pub(super) fn visit_file<'a>(file: Option<&File>, field: &mut dyn FnMut(&'a str, Field<'a>)) {
    let Some(file) = file else { return };
    field("dev", Field::Uint(file.dev));
    field("ino", Field::Uint(file.ino));
    field("generation", Field::Uint(file.generation.into()));
    field("file_type", Field::Str(file_type(file.mode).into()));
    if let Some(real) = &file.real {
        field("layer", Field::Str(real.layer.as_str().into()));
        field("real_dev", Field::Uint(real.dev));
        field("real_ino", Field::Uint(real.ino));
        field("real_generation", Field::Uint(real.generation.into()));
    }
    visit_mark("subvolume_unknown", file.subvolume_unknown, field);
}

/// Returns the names of the bits that are set; bits without a name are one number in hex at the end.
pub(super) fn names_of(mut bits: u64, known: &[(u64, &'static str)]) -> Vec<Cow<'static, str>> {
    let mut names = Vec::new();
    for (mask, name) in known {
        if bits & mask == *mask {
            names.push(Cow::Borrowed(*name));
            bits &= !mask;
        }
    }
    if bits != 0 {
        names.push(Cow::Owned(format!("{bits:#x}")));
    }
    names
}

/// Returns the kind of file for the `S_IFMT` bits of an inode's mode.
fn file_type(mode: u16) -> &'static str {
    match mode & 0o170000 {
        0o100000 => "regular",
        0o040000 => "directory",
        0o120000 => "symlink",
        0o020000 => "char",
        0o060000 => "block",
        0o010000 => "fifo",
        0o140000 => "socket",
        _ => "unknown",
    }
}
