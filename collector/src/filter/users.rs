//! Names of users and groups in lists of values: rows have numbers, so names are replaced by them when the filter is compiled.

use model::schema::{ArrowType, Column, Field};
use nix::unistd::{Group, User};

/// Returns whether the field has whole numbers.
pub(super) fn is_number(field: &str) -> bool {
    let arrow =
        Column::named(field).map(Column::arrow).or_else(|| Field::named(field).map(|field| field.arrow));
    match arrow {
        Some(
            ArrowType::Int32
            | ArrowType::Int64
            | ArrowType::UInt8
            | ArrowType::UInt16
            | ArrowType::UInt32
            | ArrowType::UInt64,
        ) => true,
        Some(
            ArrowType::Bool
            | ArrowType::Utf8
            | ArrowType::Binary
            | ArrowType::LocalTime
            | ArrowType::TimestampUtc
            | ArrowType::List(_)
            | ArrowType::Struct,
        )
        | None => false,
    }
}

/// Returns the number of the user or group of that name, for a field that has such numbers.
pub(super) fn id_of(field: &str, name: &str) -> Option<u32> {
    if !is_number(field) || name.parse::<i64>().is_ok() {
        return None;
    }
    if field.ends_with("uid") {
        return User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
    }
    let group = || Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
    if field.ends_with("gid") { group() } else { None }
}

/// Returns a list's entries with numbers instead of names.
pub(super) fn resolved(field: &str, entries: Vec<String>) -> Vec<String> {
    entries.into_iter().map(|entry| id_of(field, &entry).map_or(entry, |id| id.to_string())).collect()
}
