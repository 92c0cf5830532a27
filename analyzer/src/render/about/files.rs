//! Phrases of tracers of files: `open`, `usage`, names, attributes, mounts.

use model::{WallTime, ZonedTime};

use super::facts::{Facts, in_parentheses};
use super::units::{bytes, counted, duration};

/// `/srv/out.csv (O_WRONLY|O_CREAT|O_TRUNC)`. Reading is not mentioned, because most opens are for reading, and neither is
/// O_CLOEXEC, which concerns only a later exec.
pub(super) fn open(row: &Facts<'_>) -> Option<String> {
    let flags = row.list("flags").into_iter().filter(|flag| !matches!(*flag, "O_RDONLY" | "O_CLOEXEC"));
    Some(format!("{}{}", row.path?, in_parentheses(&flags.collect::<Vec<_>>().join("|"))))
}

/// `/srv/train.csv: read 21.9 KiB in 2 calls (read) over 349 µs`
pub(super) fn usage(row: &Facts<'_>) -> Option<String> {
    let ways = [
        ("read", "bytes_read", "calls_read"),
        ("wrote", "bytes_written", "calls_written"),
        ("mapped", "bytes_mapped", "calls_mapped"),
    ];
    let (verb, amount, calls) = ways
        .iter()
        .find_map(|(verb, amount, calls)| Some((verb, row.unsigned(amount)?, row.unsigned(calls)?)))?;
    let mut via = row.list("via").join(", ");
    let protection = row.list("protection").join("|");
    if !protection.is_empty() {
        via = format!("{via}: {protection}");
    }
    let over = used_for(row).filter(|_| calls > 1).map(|ns| format!(" over {}", duration(ns)));
    let (amount, calls) = (bytes(amount), counted(calls, "call"));
    Some(format!(
        "{}: {verb} {amount} in {calls}{}{}",
        row.path?,
        in_parentheses(&via),
        over.unwrap_or_default()
    ))
}

/// Returns the nanoseconds from the first to the last call. Rows of versions before have only local times.
fn used_for(row: &Facts<'_>) -> Option<u64> {
    let zoned = |name| row.text(name).and_then(ZonedTime::parse).map(|at| at.utc_ns);
    let local = |name| row.text(name).and_then(WallTime::parse).map(|at| at.0.saturating_mul(1000));
    let first = zoned("first_time").or_else(|| local("first"))?;
    let last = zoned("last_time").or_else(|| local("last"))?;
    u64::try_from(last.checked_sub(first)?).ok()
}

/// `/srv/a -> /srv/b`; `<->` where the two change names.
pub(super) fn rename(row: &Facts<'_>) -> Option<String> {
    let arrow = if row.list("flags").contains(&"RENAME_EXCHANGE") { "<->" } else { "->" };
    Some(format!("{} {arrow} {}", row.path?, row.text("new_path")?))
}

/// The path that is removed; `directory` before it where it is one.
pub(super) fn unlink(row: &Facts<'_>) -> Option<String> {
    let directory = row.call() == Some("rmdir") || row.list("flags").contains(&"AT_REMOVEDIR");
    Some(format!("{}{}", if directory { "directory " } else { "" }, row.path?))
}

/// `symlink /srv/new -> target`, `hard link /srv/new to /srv/old`
pub(super) fn link(row: &Facts<'_>) -> Option<String> {
    match row.text("target") {
        Some(target) => Some(format!("symlink {} -> {target}", row.path?)),
        None => Some(format!("hard link {} to {}", row.text("new_path")?, row.path?)),
    }
}

/// `/srv/log: length 10 bytes`, `/srv/db: fallocate 4096 bytes at offset 0`
pub(super) fn truncate(row: &Facts<'_>) -> Option<String> {
    let (path, length) = (row.path?, row.signed("length")?);
    // A wrong call may ask for a negative one.
    let length =
        u64::try_from(length).map_or_else(|_| format!("{length} bytes"), |length| counted(length, "byte"));
    match row.signed("offset") {
        Some(offset) => Some(format!("{path}: fallocate {length} at offset {offset}{}", row.flags("flags"))),
        None => Some(format!("{path}: length {length}")),
    }
}

/// `/srv/f: chmod 0640`, `/srv/f: chown alice:users`, `/srv/f: times`, `/srv/f: setxattr user.a, 5 bytes`
pub(super) fn attr(row: &Facts<'_>) -> Option<String> {
    let call = row.call()?;
    let change = if let Some(mode) = row.unsigned("mode") {
        format!("chmod {mode:04o}")
    } else if call.contains("chown") {
        let (user, group) = (row.signed("new_uid"), row.signed("new_gid"));
        let user = user.map(|uid| row.names.user(uid)).unwrap_or_default();
        let group = group.map(|gid| format!(":{}", row.names.group(gid))).unwrap_or_default();
        format!("chown {user}{group}")
    } else if let Some(name) = row.text("name") {
        let verb = if call.contains("remove") { "removexattr" } else { "setxattr" };
        let length = row.unsigned("length").map(|length| format!(", {}", bytes(length))).unwrap_or_default();
        format!("{verb} {name}{length}")
    } else {
        "times".to_owned()
    };
    Some(format!("{}: {change}", row.path?))
}

/// `directory /srv/new, mode 0777, umask 0022`, `fifo /run/pipe, …`, `char device 1:3 /dev/null, …`
pub(super) fn mkdir(row: &Facts<'_>) -> Option<String> {
    let (path, mode) = (row.path?, row.unsigned("mode")?);
    let umask = row.unsigned("umask").map(|umask| format!(", umask {umask:04o}")).unwrap_or_default();
    let kind = match (row.call()?.starts_with("mknod"), mode & 0o170_000) {
        (false, _) => "directory".to_owned(),
        (true, 0o020_000) => format!("char device {}", device(row)),
        (true, 0o060_000) => format!("block device {}", device(row)),
        (true, 0o010_000) => "fifo".to_owned(),
        (true, 0o140_000) => "socket".to_owned(),
        (true, _) => "file".to_owned(),
    };
    Some(format!("{kind} {path}, mode {:04o}{umask}", mode & 0o7777))
}

/// Major and minor number of the `device` that mknod takes (linux/kdev_t.h, `new_decode_dev`).
fn device(row: &Facts<'_>) -> String {
    let device = row.unsigned("device").unwrap_or_default();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    format!("{major}:{minor}")
}

/// `tmpfs on /mnt type tmpfs (MS_NOSUID)`, as mount(8) lists it; `unmount /mnt`, `move mount /a to /b`.
pub(super) fn mount(row: &Facts<'_>) -> Option<String> {
    let (path, flags) = (row.path?, row.flags("flags"));
    Some(match row.call()? {
        "mount" => {
            let kind = row.text("fs_type").filter(|kind| !kind.is_empty());
            let kind = kind.map(|kind| format!(" type {kind}")).unwrap_or_default();
            let source = row.text("source").filter(|source| !source.is_empty()).unwrap_or("none");
            format!("{source} on {path}{kind}{flags}")
        }
        "umount2" => format!("unmount {path}{flags}"),
        "pivot_root" => format!("new root {path}, old root at {}", row.text("put_old")?),
        "move_mount" => format!("move mount {path} to {}{flags}", row.text("new_path")?),
        "fspick" => format!("change options of {path}"),
        "open_tree" | "open_tree_attr" => format!("open mount tree {path}{flags}"),
        "mount_setattr" => {
            let (set, cleared) =
                (row.list("attributes_set").join("|"), row.list("attributes_cleared").join("|"));
            let set = if set.is_empty() { set } else { format!(", set {set}") };
            let cleared = if cleared.is_empty() { cleared } else { format!(", clear {cleared}") };
            format!("attributes of mount {path}{set}{cleared}")
        }
        _ => return None,
    })
}
