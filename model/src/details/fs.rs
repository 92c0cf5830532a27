//! System calls that change names and attributes of files.

use crate::{File, Text};

/// A rename, unlink, link, symlink, truncate, chmod, chown, utime, setxattr, mkdir, mknod, mount or similar call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fs {
    /// Name of the system call (`renameat2`).
    pub call: &'static str,
    /// Absolute path, seen from the process's root: the kernel's, or the requested path made absolute.
    pub path: Text,
    /// True if a path is incomplete: it was too deep or too long, or a part could not be read.
    pub path_incomplete: bool,
    /// True if a path is only the text that was requested, made absolute: symbolic links on the way are not resolved.
    pub path_unresolved: bool,
    /// The path as requested; absent if the call was given a descriptor.
    pub path_asked: Option<Text>,
    /// The second path, for calls with two.
    pub other: Option<OtherPath>,
    /// A text argument, with the name of its field: a symlink's `target`, an attribute's `name`, a `fs_type`.
    pub word: Option<(&'static str, Text)>,
    /// Numeric arguments, with the names of their fields.
    pub args: Vec<(&'static str, FsArg)>,
    /// Result: 0 or negative errno.
    pub ret: i64,
    /// Identity of the file, if known: of the descriptor, or of what was made, changed or removed.
    pub file: Option<File>,
    /// Identity of the file that a rename replaced.
    pub replaced: Option<File>,
}

/// The second path of a call with two paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherPath {
    /// Name of its field (`new_path`, `source`).
    pub name: &'static str,
    /// Absolute path, like [`Fs::path`].
    pub path: Text,
    /// The path as requested, with the name of its field; absent where it can't differ (the source of a mount).
    pub asked: Option<(&'static str, Text)>,
}

/// Value of a numeric argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsArg {
    /// An unsigned number.
    Uint(u64),
    /// A length or offset, which may be negative in an invalid call.
    Int(i64),
    /// Flag bits with names.
    Flags(u64, FlagSet),
}

/// The set of names for flag bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagSet {
    /// `RENAME_*` (uapi/linux/fs.h).
    Rename,
    /// `AT_*` of calls that change files (uapi/linux/fcntl.h); 0x200 is `AT_REMOVEDIR`.
    At,
    /// `AT_*` of unlinkat.
    Unlink,
    /// `FALLOC_FL_*` (uapi/linux/falloc.h).
    Fallocate,
    /// `XATTR_*` (uapi/linux/xattr.h).
    Xattr,
    /// `MS_*` (uapi/linux/mount.h).
    Mount,
    /// `MNT_*` and `UMOUNT_NOFOLLOW` (linux/fs.h).
    Umount,
    /// `MOVE_MOUNT_*` (uapi/linux/mount.h).
    MoveMount,
    /// `OPEN_TREE_*` (uapi/linux/mount.h) and the `AT_*` bits that open_tree takes.
    OpenTree,
    /// `MOUNT_ATTR_*` (uapi/linux/mount.h).
    MountAttr,
    /// `MFD_*` (uapi/linux/memfd.h).
    Memfd,
    /// `MODULE_INIT_*` of finit_module (uapi/linux/module.h).
    FinitModule,
    /// `O_*` of delete_module.
    DeleteModule,
    /// `PIDFD_SIGNAL_*` (uapi/linux/pidfd.h).
    Pidfd,
    /// `CLONE_*` of unshare and setns (uapi/linux/sched.h).
    Namespace,
    /// `IPC_*` and `SHM_*` of shmget and msgget (uapi/linux/ipc.h, uapi/linux/shm.h).
    Ipc,
    /// `SHM_*` of shmat.
    Attach,
    /// `MSG_*` and `IPC_NOWAIT` of msgsnd and msgrcv (uapi/linux/msg.h).
    Message,
    /// `O_*` of mq_open.
    MessageQueue,
    /// `KEXEC_*` of kexec_load (uapi/linux/kexec.h).
    Kexec,
    /// `KEXEC_FILE_*` of kexec_file_load.
    KexecFile,
    /// `CAP_*` (uapi/linux/capability.h).
    Capability,
}

impl FlagSet {
    /// All sets but [`FlagSet::Capability`].
    pub(crate) const ALL: [Self; 21] = [
        Self::Rename,
        Self::At,
        Self::Unlink,
        Self::Fallocate,
        Self::Xattr,
        Self::Mount,
        Self::Umount,
        Self::MoveMount,
        Self::OpenTree,
        Self::MountAttr,
        Self::Memfd,
        Self::FinitModule,
        Self::DeleteModule,
        Self::Pidfd,
        Self::Namespace,
        Self::Ipc,
        Self::Attach,
        Self::Message,
        Self::MessageQueue,
        Self::Kexec,
        Self::KexecFile,
    ];

    /// Returns the known bits with their names.
    pub fn known(self) -> &'static [(u64, &'static str)] {
        match self {
            Self::Rename => &[(1, "RENAME_NOREPLACE"), (2, "RENAME_EXCHANGE"), (4, "RENAME_WHITEOUT")],
            Self::At => &[
                (0x100, "AT_SYMLINK_NOFOLLOW"),
                (0x400, "AT_SYMLINK_FOLLOW"),
                (0x800, "AT_NO_AUTOMOUNT"),
                (0x1000, "AT_EMPTY_PATH"),
            ],
            Self::Unlink => &[(0x200, "AT_REMOVEDIR")],
            Self::Fallocate => &FALLOCATE_FLAGS,
            Self::Xattr => &[(1, "XATTR_CREATE"), (2, "XATTR_REPLACE")],
            Self::Mount => &MOUNT_FLAGS,
            Self::Memfd => &MEMFD_FLAGS,
            Self::FinitModule => &[
                (1, "MODULE_INIT_IGNORE_MODVERSIONS"),
                (2, "MODULE_INIT_IGNORE_VERMAGIC"),
                (4, "MODULE_INIT_COMPRESSED_FILE"),
            ],
            Self::DeleteModule => &[(0o1000, "O_TRUNC"), (0o4000, "O_NONBLOCK")],
            Self::Pidfd => &[
                (1, "PIDFD_SIGNAL_THREAD"),
                (2, "PIDFD_SIGNAL_THREAD_GROUP"),
                (4, "PIDFD_SIGNAL_PROCESS_GROUP"),
            ],
            Self::Namespace => &NAMESPACE_FLAGS,
            Self::Ipc => &[
                (0o1000, "IPC_CREAT"),
                (0o2000, "IPC_EXCL"),
                (0o4000, "SHM_HUGETLB"),
                (0o10000, "SHM_NORESERVE"),
            ],
            Self::Attach => &ATTACH_FLAGS,
            Self::Message => &MESSAGE_FLAGS,
            Self::MessageQueue => &MESSAGE_QUEUE_FLAGS,
            Self::Kexec => &KEXEC_FLAGS,
            Self::KexecFile => &KEXEC_FILE_FLAGS,
            Self::Capability => &CAPABILITIES,
            Self::Umount => &[(1, "MNT_FORCE"), (2, "MNT_DETACH"), (4, "MNT_EXPIRE"), (8, "UMOUNT_NOFOLLOW")],
            Self::OpenTree => &OPEN_TREE_FLAGS,
            Self::MountAttr => &MOUNT_ATTRS,
            Self::MoveMount => &MOVE_MOUNT_FLAGS,
        }
    }
}

const FALLOCATE_FLAGS: [(u64, &str); 7] = [
    (0x1, "FALLOC_FL_KEEP_SIZE"),
    (0x2, "FALLOC_FL_PUNCH_HOLE"),
    (0x4, "FALLOC_FL_NO_HIDE_STALE"),
    (0x8, "FALLOC_FL_COLLAPSE_RANGE"),
    (0x10, "FALLOC_FL_ZERO_RANGE"),
    (0x20, "FALLOC_FL_INSERT_RANGE"),
    (0x40, "FALLOC_FL_UNSHARE_RANGE"),
];

const MOVE_MOUNT_FLAGS: [(u64, &str); 8] = [
    (0x1, "MOVE_MOUNT_F_SYMLINKS"),
    (0x2, "MOVE_MOUNT_F_AUTOMOUNTS"),
    (0x4, "MOVE_MOUNT_F_EMPTY_PATH"),
    (0x10, "MOVE_MOUNT_T_SYMLINKS"),
    (0x20, "MOVE_MOUNT_T_AUTOMOUNTS"),
    (0x40, "MOVE_MOUNT_T_EMPTY_PATH"),
    (0x100, "MOVE_MOUNT_SET_GROUP"),
    (0x200, "MOVE_MOUNT_BENEATH"),
];

const MESSAGE_QUEUE_FLAGS: [(u64, &str); 6] = [
    (0o1, "O_WRONLY"),
    (0o2, "O_RDWR"),
    (0o100, "O_CREAT"),
    (0o200, "O_EXCL"),
    (0o4000, "O_NONBLOCK"),
    (0o2000000, "O_CLOEXEC"),
];

const MEMFD_FLAGS: [(u64, &str); 5] = [
    (1, "MFD_CLOEXEC"),
    (2, "MFD_ALLOW_SEALING"),
    (4, "MFD_HUGETLB"),
    (8, "MFD_NOEXEC_SEAL"),
    (16, "MFD_EXEC"),
];

const ATTACH_FLAGS: [(u64, &str); 4] =
    [(0o10000, "SHM_RDONLY"), (0o20000, "SHM_RND"), (0o40000, "SHM_REMAP"), (0o100000, "SHM_EXEC")];

const MESSAGE_FLAGS: [(u64, &str); 4] =
    [(0o4000, "IPC_NOWAIT"), (0o10000, "MSG_NOERROR"), (0o20000, "MSG_EXCEPT"), (0o40000, "MSG_COPY")];

const OPEN_TREE_FLAGS: [(u64, &str); 6] = [
    (0x1, "OPEN_TREE_CLONE"),
    (0x100, "AT_SYMLINK_NOFOLLOW"),
    (0x800, "AT_NO_AUTOMOUNT"),
    (0x1000, "AT_EMPTY_PATH"),
    (0x8000, "AT_RECURSIVE"),
    (0o2_000_000, "OPEN_TREE_CLOEXEC"),
];

const MOUNT_ATTRS: [(u64, &str); 9] = [
    (0x1, "MOUNT_ATTR_RDONLY"),
    (0x2, "MOUNT_ATTR_NOSUID"),
    (0x4, "MOUNT_ATTR_NODEV"),
    (0x8, "MOUNT_ATTR_NOEXEC"),
    (0x10, "MOUNT_ATTR_NOATIME"),
    (0x20, "MOUNT_ATTR_STRICTATIME"),
    (0x80, "MOUNT_ATTR_NODIRATIME"),
    (0x10_0000, "MOUNT_ATTR_IDMAP"),
    (0x20_0000, "MOUNT_ATTR_NOSYMFOLLOW"),
];

const MOUNT_FLAGS: [(u64, &str); 21] = [
    (1, "MS_RDONLY"),
    (2, "MS_NOSUID"),
    (4, "MS_NODEV"),
    (8, "MS_NOEXEC"),
    (16, "MS_SYNCHRONOUS"),
    (32, "MS_REMOUNT"),
    (64, "MS_MANDLOCK"),
    (128, "MS_DIRSYNC"),
    (256, "MS_NOSYMFOLLOW"),
    (1024, "MS_NOATIME"),
    (2048, "MS_NODIRATIME"),
    (4096, "MS_BIND"),
    (8192, "MS_MOVE"),
    (16384, "MS_REC"),
    (32768, "MS_SILENT"),
    (1 << 16, "MS_POSIXACL"),
    (1 << 17, "MS_UNBINDABLE"),
    (1 << 18, "MS_PRIVATE"),
    (1 << 19, "MS_SLAVE"),
    (1 << 20, "MS_SHARED"),
    (1 << 25, "MS_LAZYTIME"),
];

const CAPABILITIES: [(u64, &str); 41] = [
    (1 << 0, "CAP_CHOWN"),
    (1 << 1, "CAP_DAC_OVERRIDE"),
    (1 << 2, "CAP_DAC_READ_SEARCH"),
    (1 << 3, "CAP_FOWNER"),
    (1 << 4, "CAP_FSETID"),
    (1 << 5, "CAP_KILL"),
    (1 << 6, "CAP_SETGID"),
    (1 << 7, "CAP_SETUID"),
    (1 << 8, "CAP_SETPCAP"),
    (1 << 9, "CAP_LINUX_IMMUTABLE"),
    (1 << 10, "CAP_NET_BIND_SERVICE"),
    (1 << 11, "CAP_NET_BROADCAST"),
    (1 << 12, "CAP_NET_ADMIN"),
    (1 << 13, "CAP_NET_RAW"),
    (1 << 14, "CAP_IPC_LOCK"),
    (1 << 15, "CAP_IPC_OWNER"),
    (1 << 16, "CAP_SYS_MODULE"),
    (1 << 17, "CAP_SYS_RAWIO"),
    (1 << 18, "CAP_SYS_CHROOT"),
    (1 << 19, "CAP_SYS_PTRACE"),
    (1 << 20, "CAP_SYS_PACCT"),
    (1 << 21, "CAP_SYS_ADMIN"),
    (1 << 22, "CAP_SYS_BOOT"),
    (1 << 23, "CAP_SYS_NICE"),
    (1 << 24, "CAP_SYS_RESOURCE"),
    (1 << 25, "CAP_SYS_TIME"),
    (1 << 26, "CAP_SYS_TTY_CONFIG"),
    (1 << 27, "CAP_MKNOD"),
    (1 << 28, "CAP_LEASE"),
    (1 << 29, "CAP_AUDIT_WRITE"),
    (1 << 30, "CAP_AUDIT_CONTROL"),
    (1 << 31, "CAP_SETFCAP"),
    (1 << 32, "CAP_MAC_OVERRIDE"),
    (1 << 33, "CAP_MAC_ADMIN"),
    (1 << 34, "CAP_SYSLOG"),
    (1 << 35, "CAP_WAKE_ALARM"),
    (1 << 36, "CAP_BLOCK_SUSPEND"),
    (1 << 37, "CAP_AUDIT_READ"),
    (1 << 38, "CAP_PERFMON"),
    (1 << 39, "CAP_BPF"),
    (1 << 40, "CAP_CHECKPOINT_RESTORE"),
];

/// `CLONE_*` bits of unshare and setns (uapi/linux/sched.h).
const NAMESPACE_FLAGS: [(u64, &str); 14] = [
    (0x80, "CLONE_NEWTIME"),
    (0x100, "CLONE_VM"),
    (0x200, "CLONE_FS"),
    (0x400, "CLONE_FILES"),
    (0x800, "CLONE_SIGHAND"),
    (0x10000, "CLONE_THREAD"),
    (0x20000, "CLONE_NEWNS"),
    (0x40000, "CLONE_SYSVSEM"),
    (0x2000000, "CLONE_NEWCGROUP"),
    (0x4000000, "CLONE_NEWUTS"),
    (0x8000000, "CLONE_NEWIPC"),
    (0x10000000, "CLONE_NEWUSER"),
    (0x20000000, "CLONE_NEWPID"),
    (0x40000000, "CLONE_NEWNET"),
];

const KEXEC_FLAGS: [(u64, &str); 4] = [
    (1, "KEXEC_ON_CRASH"),
    (2, "KEXEC_PRESERVE_CONTEXT"),
    (4, "KEXEC_UPDATE_ELFCOREHDR"),
    (8, "KEXEC_CRASH_HOTPLUG_SUPPORT"),
];

const KEXEC_FILE_FLAGS: [(u64, &str); 4] = [
    (1, "KEXEC_FILE_UNLOAD"),
    (2, "KEXEC_FILE_ON_CRASH"),
    (4, "KEXEC_FILE_NO_INITRAMFS"),
    (8, "KEXEC_FILE_DEBUG"),
];
