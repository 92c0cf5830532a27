/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* The records that the kernel side sends to the agent through the rings; for the maps that both share see map_values.h.
 * src/wire.rs and src/wire/ have the same structs in Rust: change both. src/wire/tests/layout.rs compares them. Fixed widths,
 * explicit padding.
 *
 * A record is a fixed part that starts with `struct header`, followed by its texts without gaps, in the order
 * of their `struct text` fields. A path is its names from the leaf up, each ended by a NUL.
 */
#ifndef DUETECTOR_WIRE_H
#define DUETECTOR_WIRE_H

#include <linux/types.h>

/* Kinds of records, made from src/wire/kinds.in: KIND_*, KINDS_OF_* with the kinds of a family as bits, KINDS.
 * A kind is also the index of its counters and of its bit in settings.enabled.
 */
#include "kinds.h"

/* header.flags: the tracer is enabled and the filters let the event pass, so it is counted in `seen`. */
#define FLAG_TRACED 1
/* The operation was requested through io_uring. */
#define FLAG_URING 2
/* The operation was a 32-bit program's call. */
#define FLAG_COMPAT 4
/* A text was read from the caller's memory, or a file taken from a descriptor, when another thread could have changed it. */
#define FLAG_UNVERIFIED 8
/* The operation has ended, but its result is not known; of a usage, that of one of its calls: its bytes are missing. */
#define FLAG_NO_RESULT 16

/* header.loginuid, sessionid: unset */
#define NO_ID (-1U)

/* header.owner: not a user id but that of a cgroup. */
#define OWNER_CGROUP (1ULL << 63)

/* text.flags */
#define TEXT_PATH 1	   /* names from the leaf up, each ended by a NUL */
#define TEXT_INCOMPLETE 2  /* too deep, too long, or partly unreadable: the names that are there are right */
#define TEXT_CUT 4	   /* only the beginning of a longer text */
#define TEXT_DELETED 8	   /* the file has no name any more: this was its last one */
#define TEXT_OUTSIDE 16	   /* not below the process's root: the path begins at the root of its namespace, or of another */
#define TEXT_DETACHED 32   /* not reachable from any folder: a pipe, a socket, an anonymous inode */
#define TEXT_UNREADABLE 64 /* could not be read */
#define TEXT_HANDLE 128	   /* not a text but a struct file_handle */
#define TEXT_OWNED 512	   /* a cgroup with folders that are not root's: see struct process_record */
#define TEXT_RESOLVED 256  /* the path itself as the kernel resolved it, not the folder that it starts from */

#define COMM_LEN 16
struct text {
	__u16 len;
	__u16 flags;
};

struct header {
	__u32 kind;
	__u32 flags;
	__u32 size; /* of the whole record */
	__u32 pid;  /* tgid in the initial pid namespace */
	__u64 time_ns;
	__u64 start_ns; /* the process's: start_boottime of its group leader */
	__u32 tid;
	__u32 ppid;
	__u32 euid;
	__u32 egid;
	__u64 cgroup_id;
	__u32 pid_ns;
	__u32 mnt_ns;
	__u32 ns_pid;	 /* tgid in the process's own pid namespace */
	__u32 hierarchy; /* the cgroup's hierarchy; 0: v2. Ids of cgroups are unique within one */
	__u64 owner; /* whose budgets and shares the record takes: a user id, or OWNER_CGROUP | cgroup_id */
	__u32 loginuid; /* who logged in, whatever sudo did since; NO_ID: nobody, or the kernel has no audit */
	__u32 sessionid; /* the login's session, or NO_ID */
	__u32 ruid;
	__u32 fsuid;
	__u32 net_ns;
	__u32 pad;
	__u8 comm[COMM_LEN];
};

/* file_id.known */
#define FILE_KNOWN 1
#define FILE_SUBVOLUME_UNKNOWN 4 /* a device is that of a whole btrfs, and not that of the file's subvolume */
#define FILE_OF_SYSTEM 2 /* a file of the kernel or of the system's libraries, which was only read: see system_files.h */

/* file_id.layer */
#define LAYER_UPPER 1
#define LAYER_LOWER 2

/* A file's identity: device, inode and generation. On overlayfs these stay the same when the file is copied up;
 * `real_*` is the file of the layer that has the data, which does change.
 */
struct file_id {
	__u64 ino;
	__u32 dev_major;
	__u32 dev_minor;
	__u32 generation; /* distinguishes files that had the same number one after the other */
	__u32 fs_magic;	  /* distinguishes pipes from sockets, and overlayfs from others */
	__u16 mode;
	__u16 known;	/* FILE_*; 0: the other fields are not filled in */
	__u32 real_dev; /* in the kernel's encoding: 20 bits of minor number */
	__u64 real_ino;
	__u32 real_generation;
	__u32 layer; /* 0: not on overlayfs, or unknown */
};

struct open_record {
	struct header header;
	__u64 flags;
	struct file_id file;
	__s32 ret;
	__u16 mode;
	__u16 umask; /* bits that the process removes from a mode */
	struct text asked; /* open_by_handle_at: the handle */
	struct text path; /* the file; if the open failed, the folder that a relative `asked` starts from */
};

/* Values of `call` for an exec that succeeded: 0 or this; which call it was is not known. */
#define EXEC_BY_DESCRIPTOR (-1U)

struct exec_record {
	struct header header;
	struct file_id file; /* that was to be executed: a program, or a script; if it was opened */
	struct file_id interpreter; /* the program that runs, if it is another one (`#!`, binfmt_misc) */
	__s32 ret;
	__u32 call;  /* if it failed: the call's number on this architecture */
	__u32 flags; /* if it failed: AT_* */
	struct text asked;
	struct text path; /* of `file`; if the exec failed and there is none, the folder that a relative `asked` starts from */
	struct text cwd;
	struct text cgroup;
	struct text argv; /* each argument ended by a NUL */
	struct text interpreter_path;
	__u32 pad;
};

struct clone_record {
	struct header header;
	__u64 flags;
	__u64 child_start_ns; /* start_boottime of the child, or of the process whose thread it is */
	__u64 child_cgroup_id;
	__u32 child_pid;
	__u32 child_tid;
	__u32 has_flags;
	__u32 child_pid_ns;
	__u32 child_ns_pid; /* the child's process in that namespace */
	struct text cgroup; /* the child's, if it differs from the parent's */
};

struct exit_record {
	struct header header;
	__u32 status; /* as wait() returns it */
	__u32 pad;
};

/* Identity of a socket. */
struct socket_ids {
	__u64 ino; /* 0: no descriptor was left */
	__u64 peer_ino; /* of a unix socket's other end; 0: none, or not accepted yet */
	__u32 net_ns;
	__u32 pad;
};

/* sock_record.flags */
#define SOCK_NONBLOCKING 1 /* the caller did not wait for the connection */
#define SOCK_ACCEPTED 2	   /* the other side connected */
#define SOCK_END 4	   /* the sums of a flow of datagrams; else its first datagram in a direction, or a failure */
#define SOCK_RECEIVED 8	   /* a received datagram; else one that was sent */
#define SOCK_KNOWN_PATH 16 /* `base` is the path of the socket's file */
#define SOCK_WATCHED 32	   /* only within the kernel: the connection's end is to be emitted */
#define SOCK_UNDECIDED 64  /* only within the kernel: the call that connected returns the outcome */

/* Families Socket and Dns. For a unix socket `name` is its sun_path, as the kernel has it
 * or, if the call failed, as requested; `base` is the socket's file, else the folder that a relative name
 * starts from. For kind dns `name` is the datagram.
 */
struct sock_record {
	struct header header;
	/* An IPv4 address is in the first 4 bytes. Vsock: context id and port, 4 bytes each. Packet sockets: 4 bytes of
	 * the interface's number, one of the length of the hardware address, which begins at the ninth.
	 */
	__u8 saddr[16];
	__u8 daddr[16];
	__u64 sent; /* bytes */
	__u64 received;
	__u64 datagrams_sent;
	__u64 datagrams_received;
	__u64 since_ns; /* beginning of the connection or flow */
	__u64 last_ns;	/* time of its last datagram */
	__u16 sport; /* host byte order */
	__u16 dport;
	__u16 family; /* 1, 2, 10, 17 or 40 */
	__u16 kind; /* SOCK_STREAM etc. */
	__u16 protocol;
	__u16 flags;
	__s32 ret;
	__u32 call; /* the call's number on this architecture, if the record is about one call */
	__u32 backlog;
	__u32 peer_pid; /* of a unix socket, as SO_PEERCRED returns it */
	struct text name;
	struct text base;
	__u32 pad;
	struct socket_ids ids;
};

/* Family Fs: a call that changes names or attributes of files. Texts of a path come in pairs: the
 * path as requested, and the folder that it starts from if it is relative, or the file behind a descriptor.
 */
struct fs_record {
	struct header header;
	__u64 a; /* arguments, by call: see src/tracers/fs.rs */
	__u64 b;
	__u64 c;
	/* The file behind a descriptor: `base` is then its path. Else the one that was made, changed or removed, if
	 * known.
	 */
	struct file_id file;
	struct file_id replaced; /* by a rename */
	__s32 ret;
	__u32 call; /* its number on this architecture */
	struct text asked;
	struct text base; /* with TEXT_RESOLVED the path itself */
	struct text asked2;
	struct text base2;
	struct text word; /* name of an attribute or file system, or a symlink's target */
	__u32 pad;
};

/* usage_record.direction */
#define USAGE_READ 0
#define USAGE_WRITTEN 1
#define USAGE_MAPPED 2
#define USAGE_DIRECTIONS 3

/* usage_record.via: the calls used, a bit each. */
#define VIA_READ (1U << 0)
#define VIA_PREAD (1U << 1)
#define VIA_READV (1U << 2)
#define VIA_PREADV (1U << 3)
#define VIA_PREADV2 (1U << 4)
#define VIA_WRITE (1U << 5)
#define VIA_PWRITE (1U << 6)
#define VIA_WRITEV (1U << 7)
#define VIA_PWRITEV (1U << 8)
#define VIA_PWRITEV2 (1U << 9)
#define VIA_SENDFILE (1U << 10)
#define VIA_SPLICE (1U << 11)
#define VIA_TEE (1U << 12)
#define VIA_VMSPLICE (1U << 13)
#define VIA_COPY_FILE_RANGE (1U << 14)
#define VIA_SENDTO (1U << 15)
#define VIA_SENDMSG (1U << 16)
#define VIA_SENDMMSG (1U << 17)
#define VIA_RECVFROM (1U << 18)
#define VIA_RECVMSG (1U << 19)
#define VIA_RECVMMSG (1U << 20)
#define VIA_AIO (1U << 21)
#define VIA_IO_URING (1U << 22)
#define VIA_MMAP (1U << 23)
#define VIA_MPROTECT (1U << 24)
#define VIA_CLONE_RANGE (1U << 25)
#define VIA_DEDUPE_RANGE (1U << 26)

/* Bits of settings.usage_files: file types (stat's S_IFMT, shifted right); for FIFOs without a name the
 * following.
 */
#define USAGE_PIPES 16

/* Bytes and calls in which a process read, wrote or mapped one file since the previous record. In the ledger
 * too, the first part of the path follows.
 */
struct usage_record {
	struct header header; /* the process, as it was at the first use; the time of the flush */
	__u64 first_ns;
	__u64 last_ns; /* to a clock tick */
	__u64 bytes;   /* returned by the calls; for maps the bytes mapped */
	__u64 calls;
	__u64 low; /* for maps: the range in the file */
	__u64 high;
	__u64 tick; /* clock tick of the last use */
	struct file_id file;
	__u32 flags; /* flags that the file was opened with */
	__u32 direction;
	__u32 via;
	__u32 protection; /* for maps: PROT_*, and above them MAP_* << 8 */
	struct text path;
	__u32 pad;
	struct socket_ids socket; /* if the file is a socket */
};

/* The key of an entry of the ledger: process, file, one of its names, and direction. */
struct usage_key {
	__u64 start_ns;
	__u64 ino;
	__u64 mnt; /* these two as in struct path: the name that the file was opened by, and through which mount */
	__u64 dentry;
	__u32 tgid;
	__u32 dev; /* in the kernel's encoding */
	__u32 generation;
	__u32 direction;
};

/* The result of a sweep of the ledger or of UDP flows; written to the reader of the iterator. */
struct sweep {
	__u32 flushed; /* only of the ledger */
	__u32 left;    /* entries or flows remain */
	__u32 side;    /* only of the ledger */
	__u32 pad;
};

/* Family Act: a call that acts on processes, credentials or the kernel. */
struct act_record {
	struct header header;
	__u64 args[6];
	__u64 ids[4]; /* real, effective, saved, file system: user and group, after the call; or see tracers namespace, ipc */
	__u64 capabilities; /* the effective ones, after the call */
	struct file_id file; /* the file that the call is about: `path` is then its path */
	__s32 ret;
	__u32 call; /* its number on this architecture */
	__u32 of_type; /* type of the eBPF program or map, or of the namespace */
	__u32 target_pid; /* the process that the call is about, in the initial pid namespace; 0: not known */
	__u64 target_start_ns; /* its start_boottime; 0: it has ended */
	__u32 target_tid; /* the thread that the call is about, likewise */
	struct text path;
	struct text word;
	__u32 pad;
};

/* Family Process. A text that does not apply is empty and has TEXT_UNREADABLE. With TEXT_OWNED a number of user ids follows
 * the names of `cgroup`, and that number: the owners of its folders from the leaf up to the topmost that is not root's. The
 * same holds for the other records with a cgroup.
 */
struct process_record {
	struct header header;
	struct text exe;
	struct text cwd;
	struct text cgroup;
	__u32 pad;
};

#endif
