//! The tables of calls for the tests of names and attributes of files.

/// A call of a table, with arguments as Perl code, and expected paths (below the folder) and fields as JSON. In the
/// code `$d` is the folder's descriptor, `$f` that of the file `held` in it, which is also the working folder, `$p` one
/// that no call can use (O_PATH); `touch`, `gone`, `folder` and `mark` make a file, nothing, a folder, an attribute. In
/// the fields `FILE` stands for the identity of `held`, `FOLDER` for the folder. A user without permission makes the
/// call that succeeds.
pub(super) struct Case {
    pub(super) call: &'static str,
    pub(super) number: i64,
    /// Perl code that prepares the call.
    pub(super) before: &'static str,
    /// Arguments with which the call succeeds.
    pub(super) good: &'static str,
    pub(super) good_path: &'static str,
    pub(super) good_fields: &'static str,
    /// Arguments with which the call fails.
    pub(super) bad: &'static str,
    pub(super) errno: i32,
    pub(super) bad_path: &'static str,
    pub(super) bad_fields: &'static str,
}

#[rustfmt::skip]
pub(super) const RENAMES: &[Case] = &[
    Case {
        call: "rename", number: libc::SYS_rename, before: "touch('a'); gone('b')",
        good: "'a', 'b'", good_path: "/a",
        good_fields: r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b"}"#,
        bad: "'no', 'b'", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "new_path": "FOLDER/b", "new_path_asked": "b"}"#,
    },
    Case {
        call: "renameat", number: libc::SYS_renameat, before: "touch('a'); gone('b')",
        good: "$d, 'a', -100, 'b'", good_path: "/a",
        good_fields: r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b"}"#,
        bad: "$d, 'no', $d, 'b'", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "new_path": "FOLDER/b", "new_path_asked": "b"}"#,
    },
    Case {
        call: "renameat2", number: libc::SYS_renameat2, before: "touch('a'); gone('b')",
        good: "-100, 'a', $d, 'b', 1", good_path: "/a",
        good_fields: r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": ["RENAME_NOREPLACE"]}"#,
        bad: "$d, 'a', $d, 'b', 16", errno: libc::EINVAL, bad_path: "/a",
        bad_fields: r#"{"path_asked": "a", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": ["0x10"]}"#,
    },
];

#[rustfmt::skip]
pub(super) const UNLINKS: &[Case] = &[
    Case {
        call: "unlink", number: libc::SYS_unlink, before: "touch('a')",
        good: "'./a'", good_path: "/a",
        good_fields: r#"{"path_asked": "./a"}"#,
        bad: "'no/a'", errno: libc::ENOENT, bad_path: "/no/a",
        bad_fields: r#"{"path_asked": "no/a"}"#,
    },
    Case {
        call: "rmdir", number: libc::SYS_rmdir, before: "folder('e')",
        good: "'e'", good_path: "/e",
        good_fields: r#"{"path_asked": "e"}"#,
        bad: "'held'", errno: libc::ENOTDIR, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held"}"#,
    },
    Case {
        call: "unlinkat", number: libc::SYS_unlinkat, before: "folder('e')",
        good: "$d, 'e', 0x200", good_path: "/e",
        good_fields: r#"{"path_asked": "e", "flags": ["AT_REMOVEDIR"]}"#,
        bad: "$d, 'e', 0", errno: libc::EISDIR, bad_path: "/e",
        bad_fields: r#"{"path_asked": "e", "flags": []}"#,
    },
];

#[rustfmt::skip]
pub(super) const LINKS: &[Case] = &[
    Case {
        call: "link", number: libc::SYS_link, before: "gone('b')",
        good: "'held', 'b'", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "new_path": "FOLDER/b", "new_path_asked": "b"}"#,
        bad: "'held', 'held'", errno: libc::EEXIST, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "new_path": "FOLDER/held", "new_path_asked": "held"}"#,
    },
    Case {
        call: "linkat", number: libc::SYS_linkat, before: "gone('b')",
        good: "$d, 'held', -100, 'b', 0x400", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": ["AT_SYMLINK_FOLLOW"]}"#,
        bad: "$d, 'no', $d, 'b', 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "new_path": "FOLDER/b", "new_path_asked": "b", "flags": []}"#,
    },
    Case {
        call: "symlink", number: libc::SYS_symlink, before: "gone('b')",
        good: "'to/nowhere', 'b'", good_path: "/b",
        good_fields: r#"{"path_asked": "b", "target": "to/nowhere"}"#,
        bad: "'to/nowhere', 'held'", errno: libc::EEXIST, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "target": "to/nowhere"}"#,
    },
    Case {
        call: "symlinkat", number: libc::SYS_symlinkat, before: "gone('b')",
        good: "'to/nowhere', $d, 'b'", good_path: "/b",
        good_fields: r#"{"path_asked": "b", "target": "to/nowhere"}"#,
        bad: "'x', $d, 'held'", errno: libc::EEXIST, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "target": "x"}"#,
    },
];

#[rustfmt::skip]
pub(super) const TRUNCATES: &[Case] = &[
    Case {
        call: "truncate", number: libc::SYS_truncate, before: "1",
        good: "'held', 3", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "length": 3}"#,
        bad: "'held', -1", errno: libc::EINVAL, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "length": -1}"#,
    },
    Case {
        call: "ftruncate", number: libc::SYS_ftruncate, before: "1",
        good: "$f, 3", good_path: "/held",
        good_fields: r#"{"length": 3, "FILE": 1}"#,
        bad: "$p, 3", errno: libc::EBADF, bad_path: "/held",
        bad_fields: r#"{"length": 3, "FILE": 1}"#,
    },
    Case {
        call: "fallocate", number: libc::SYS_fallocate, before: "1",
        good: "$f, 1, 5, 77", good_path: "/held",
        good_fields: r#"{"length": 77, "offset": 5, "flags": ["FALLOC_FL_KEEP_SIZE"], "FILE": 1}"#,
        bad: "$f, 0, -1, 7", errno: libc::EINVAL, bad_path: "/held",
        bad_fields: r#"{"length": 7, "offset": -1, "flags": [], "FILE": 1}"#,
    },
];

#[rustfmt::skip]
pub(super) const ATTRS: &[Case] = &[
    Case {
        call: "chmod", number: libc::SYS_chmod, before: "1",
        good: "'held', 416", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "mode": 416}"#,
        bad: "'no', 1", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "mode": 1}"#,
    },
    Case {
        call: "fchmod", number: libc::SYS_fchmod, before: "1",
        good: "$f, 416", good_path: "/held",
        good_fields: r#"{"mode": 416, "FILE": 1}"#,
        bad: "$p, 1", errno: libc::EBADF, bad_path: "/held",
        bad_fields: r#"{"mode": 1, "FILE": 1}"#,
    },
    Case {
        call: "fchmodat", number: libc::SYS_fchmodat, before: "1",
        good: "$d, 'held', 416", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "mode": 416}"#,
        bad: "$d, 'no', 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "mode": 0}"#,
    },
    Case {
        call: "fchmodat2", number: libc::SYS_fchmodat2, before: "1",
        good: "$d, 'held', 416, 0", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "mode": 416, "flags": []}"#,
        bad: "$d, 'no', 0, 0x100", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "mode": 0, "flags": ["AT_SYMLINK_NOFOLLOW"]}"#,
    },
    Case {
        call: "chown", number: libc::SYS_chown, before: "1",
        good: "'held', 12, 34", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "new_uid": 12, "new_gid": 34}"#,
        bad: "'no', 1, 1", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "new_uid": 1, "new_gid": 1}"#,
    },
    Case {
        call: "lchown", number: libc::SYS_lchown, before: "1",
        good: "'held', 12, -1", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "new_uid": 12}"#,
        bad: "'no', 1, 1", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "new_uid": 1, "new_gid": 1}"#,
    },
    Case {
        call: "fchown", number: libc::SYS_fchown, before: "1",
        good: "$f, 12, 34", good_path: "/held",
        good_fields: r#"{"new_uid": 12, "new_gid": 34, "FILE": 1}"#,
        bad: "$p, -1, 1", errno: libc::EBADF, bad_path: "/held",
        bad_fields: r#"{"new_gid": 1, "FILE": 1}"#,
    },
    Case {
        call: "fchownat", number: libc::SYS_fchownat, before: "1",
        good: "$d, 'held', 12, 34, 0x100", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "new_uid": 12, "new_gid": 34, "flags": ["AT_SYMLINK_NOFOLLOW"]}"#,
        bad: "$d, 'no', 1, 1, 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "new_uid": 1, "new_gid": 1, "flags": []}"#,
    },
    Case {
        call: "utime", number: libc::SYS_utime, before: "1",
        good: "'held', 0", good_path: "/held",
        good_fields: r#"{"path_asked": "held"}"#,
        bad: "'no', 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no"}"#,
    },
    Case {
        call: "utimes", number: libc::SYS_utimes, before: "1",
        good: "'held', 0", good_path: "/held",
        good_fields: r#"{"path_asked": "held"}"#,
        bad: "'no', 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no"}"#,
    },
    Case {
        call: "futimesat", number: libc::SYS_futimesat, before: "1",
        good: "$d, 'held', 0", good_path: "/held",
        good_fields: r#"{"path_asked": "held"}"#,
        bad: "$d, 'no', 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no"}"#,
    },
    Case {
        call: "utimensat", number: libc::SYS_utimensat, before: "1",
        good: "$f, 0, 0, 0", good_path: "/held",
        good_fields: r#"{"flags": [], "FILE": 1}"#,
        bad: "$d, 'no', 0, 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "flags": []}"#,
    },
    Case {
        call: "setxattr", number: libc::SYS_setxattr, before: "1",
        good: "'held', 'trusted.x', 'vv', 2, 0", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "name": "trusted.x", "length": 2, "flags": []}"#,
        bad: "'no', 'trusted.x', 'v', 1, 2", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "name": "trusted.x", "length": 1, "flags": ["XATTR_REPLACE"]}"#,
    },
    Case {
        call: "lsetxattr", number: libc::SYS_lsetxattr, before: "1",
        good: "'held', 'trusted.x', 'vv', 2, 0", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "name": "trusted.x", "length": 2, "flags": []}"#,
        bad: "'no', 'trusted.x', 'v', 1, 2", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "name": "trusted.x", "length": 1, "flags": ["XATTR_REPLACE"]}"#,
    },
    Case {
        call: "fsetxattr", number: libc::SYS_fsetxattr, before: "1",
        good: "$f, 'trusted.x', 'vv', 2, 0", good_path: "/held",
        good_fields: r#"{"name": "trusted.x", "length": 2, "flags": [], "FILE": 1}"#,
        bad: "$p, 'trusted.x', 'v', 1, 2", errno: libc::EBADF, bad_path: "/held",
        bad_fields: r#"{"name": "trusted.x", "length": 1, "flags": ["XATTR_REPLACE"], "FILE": 1}"#,
    },
    Case {
        call: "setxattrat", number: 463, before: "1",
        good: "$d, 'held', 0, 'trusted.x', $value, 16", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "name": "trusted.x", "length": 2, "flags": [], "at_flags": []}"#,
        bad: "$d, 'no', 0x100, 'trusted.x', $value, 16", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "name": "trusted.x", "length": 2, "flags": [], "at_flags": ["AT_SYMLINK_NOFOLLOW"]}"#,
    },
    Case {
        call: "removexattrat", number: 466, before: "mark",
        good: "$d, 'held', 0, 'trusted.x'", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "name": "trusted.x", "flags": []}"#,
        bad: "$d, 'held', 0x100, 'trusted.no'", errno: libc::ENODATA, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "name": "trusted.no", "flags": ["AT_SYMLINK_NOFOLLOW"]}"#,
    },
    Case {
        call: "removexattr", number: libc::SYS_removexattr, before: "mark",
        good: "'held', 'trusted.x'", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "name": "trusted.x"}"#,
        bad: "'held', 'trusted.no'", errno: libc::ENODATA, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "name": "trusted.no"}"#,
    },
    Case {
        call: "lremovexattr", number: libc::SYS_lremovexattr, before: "mark",
        good: "'held', 'trusted.x'", good_path: "/held",
        good_fields: r#"{"path_asked": "held", "name": "trusted.x"}"#,
        bad: "'held', 'trusted.no'", errno: libc::ENODATA, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "name": "trusted.no"}"#,
    },
    Case {
        call: "fremovexattr", number: libc::SYS_fremovexattr, before: "mark",
        good: "$f, 'trusted.x'", good_path: "/held",
        good_fields: r#"{"name": "trusted.x", "FILE": 1}"#,
        bad: "$f, 'trusted.no'", errno: libc::ENODATA, bad_path: "/held",
        bad_fields: r#"{"name": "trusted.no", "FILE": 1}"#,
    },
];

#[rustfmt::skip]
pub(super) const MKDIRS: &[Case] = &[
    Case {
        call: "mkdir", number: libc::SYS_mkdir, before: "gone('e')",
        good: "'e', 448", good_path: "/e",
        good_fields: r#"{"path_asked": "e", "mode": 448, "umask": 18}"#,
        bad: "'held', 0", errno: libc::EEXIST, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "mode": 0, "umask": 18}"#,
    },
    Case {
        call: "mkdirat", number: libc::SYS_mkdirat, before: "gone('e')",
        good: "$d, 'e', 448", good_path: "/e",
        good_fields: r#"{"path_asked": "e", "mode": 448, "umask": 18}"#,
        bad: "$d, 'held', 0", errno: libc::EEXIST, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "mode": 0, "umask": 18}"#,
    },
    Case {
        call: "mknod", number: libc::SYS_mknod, before: "gone('p')",
        good: "'p', 4516, 0", good_path: "/p",
        good_fields: r#"{"path_asked": "p", "mode": 4516, "device": 0, "umask": 18}"#,
        bad: "'held', 4516, 0", errno: libc::EEXIST, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "mode": 4516, "device": 0, "umask": 18}"#,
    },
    Case {
        call: "mknodat", number: libc::SYS_mknodat, before: "gone('p')",
        good: "$d, 'p', 4516, 0", good_path: "/p",
        good_fields: r#"{"path_asked": "p", "mode": 4516, "device": 0, "umask": 18}"#,
        bad: "$d, 'held', 4516, 0", errno: libc::EEXIST, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "mode": 4516, "device": 0, "umask": 18}"#,
    },
];

#[rustfmt::skip]
pub(super) const MOUNTS: &[Case] = &[
    Case {
        call: "mount", number: libc::SYS_mount, before: "folder('m'); call(166, 'm', 2)",
        good: "'none', 'm', 'tmpfs', 8, 0", good_path: "/m",
        good_fields: r#"{"path_asked": "m", "source": "none", "fs_type": "tmpfs", "flags": ["MS_NOEXEC"]}"#,
        bad: "'none', 'm', 'nosuchfs', 0, 0", errno: libc::ENODEV, bad_path: "/m",
        bad_fields: r#"{"path_asked": "m", "source": "none", "fs_type": "nosuchfs", "flags": []}"#,
    },
    Case {
        call: "umount2", number: libc::SYS_umount2, before: "folder('m'); call(165, 'none', 'm', 'tmpfs', 0, 0)",
        good: "'m', 2", good_path: "/m",
        good_fields: r#"{"path_asked": "m", "flags": ["MNT_DETACH"]}"#,
        bad: "'held', 2", errno: libc::EINVAL, bad_path: "/held",
        bad_fields: r#"{"path_asked": "held", "flags": ["MNT_DETACH"]}"#,
    },
    Case {
        call: "move_mount", number: libc::SYS_move_mount, before: "call(166, 'n', 2); mounted",
        good: "-100, 'm', -100, 'n', 0", good_path: "/m",
        good_fields: r#"{"path_asked": "m", "new_path": "FOLDER/n", "new_path_asked": "n", "flags": []}"#,
        bad: "-100, 'no', -100, 'n', 1", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "new_path": "FOLDER/n", "new_path_asked": "n", "flags": ["MOVE_MOUNT_F_SYMLINKS"]}"#,
    },
    Case {
        call: "open_tree", number: libc::SYS_open_tree, before: "mounted",
        good: "-100, 'm', 1", good_path: "/m",
        good_fields: r#"{"path_asked": "m", "flags": ["OPEN_TREE_CLONE"]}"#,
        bad: "$d, 'no', 0x8001", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "flags": ["OPEN_TREE_CLONE", "AT_RECURSIVE"]}"#,
    },
    Case {
        call: "open_tree_attr", number: 467, before: "mounted",
        good: "-100, 'm', 1, $noexec, 32", good_path: "/m",
        good_fields: r#"{"path_asked": "m", "flags": ["OPEN_TREE_CLONE"], "attributes_set": ["MOUNT_ATTR_NOEXEC"], "attributes_cleared": ["MOUNT_ATTR_RDONLY"]}"#,
        bad: "$d, 'no', 0x8001, $noexec, 32", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "flags": ["OPEN_TREE_CLONE", "AT_RECURSIVE"], "attributes_set": ["MOUNT_ATTR_NOEXEC"], "attributes_cleared": ["MOUNT_ATTR_RDONLY"]}"#,
    },
    Case {
        call: "fspick", number: libc::SYS_fspick, before: "mounted",
        good: "-100, 'm', 0", good_path: "/m",
        good_fields: r#"{"path_asked": "m"}"#,
        bad: "$d, 'no', 0", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no"}"#,
    },
    Case {
        call: "mount_setattr", number: libc::SYS_mount_setattr, before: "mounted",
        good: "-100, 'm', 0, $noexec, 32", good_path: "/m",
        good_fields: r#"{"path_asked": "m", "flags": [], "attributes_set": ["MOUNT_ATTR_NOEXEC"], "attributes_cleared": ["MOUNT_ATTR_RDONLY"]}"#,
        bad: "$d, 'no', 0x8000, $noexec, 32", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"path_asked": "no", "flags": ["AT_RECURSIVE"], "attributes_set": ["MOUNT_ATTR_NOEXEC"], "attributes_cleared": ["MOUNT_ATTR_RDONLY"]}"#,
    },
    Case {
        call: "pivot_root", number: libc::SYS_pivot_root, before: "back; mounted",
        good: "\"$ARGV[0]/m\", \"$ARGV[0]/m/old\"", good_path: "/m",
        good_fields: r#"{"put_old": "FOLDER/m/old", "put_old_asked": "FOLDER/m/old"}"#,
        bad: "\"$ARGV[0]/no\", \"$ARGV[0]/m/old\"", errno: libc::ENOENT, bad_path: "/no",
        bad_fields: r#"{"put_old": "FOLDER/m/old", "put_old_asked": "FOLDER/m/old"}"#,
    },
];
