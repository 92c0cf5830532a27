/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What passes between kernel and agent: records through the two rings, settings and counters through maps.
 * src/wire.rs has the same; tests/layout.rs holds them together. Fixed widths, explicit padding.
 *
 * A record is a fixed part that starts with `struct header`, and after it texts, one behind the other in the
 * order of their `struct text` fields. A path is its names from the leaf up, each closed by a NUL.
 */
#ifndef DUETECTOR_WIRE_H
#define DUETECTOR_WIRE_H

#include <linux/types.h>

/* Kinds: also the index of their counters, and of their bit in settings.enabled. */
#define KIND_OPEN 1
#define KIND_EXEC 2
#define KIND_CLONE 3
#define KIND_EXIT 4
#define KIND_CONNECT 5
#define KIND_RENAME 6
#define KIND_UNLINK 7
#define KIND_LINK 8
#define KIND_TRUNCATE 9
#define KIND_ATTR 10
#define KIND_MKDIR 11
#define KIND_MOUNT 12
#define KIND_USAGE 13
#define KIND_ACCEPT 14
#define KIND_CLOSE 15
#define KIND_BIND 16
#define KIND_UDP 17
#define KIND_DNS 18
#define KIND_PTRACE 19
#define KIND_BPF 20
#define KIND_MODULE 21
#define KIND_MEMFD 22
#define KIND_SETUID 23
#define KIND_KILL 24
/* Not for tracers: they only keep the process table. */
#define KIND_CHDIR 32
#define KIND_CGROUP 33
#define KIND_PROCESS 34
/* Not a kind: the slot in `counts` whose `lost` counts the lifecycle ring's losses, traced or not. */
#define COUNT_LIFECYCLE 63
/* Nor is this: its `seen` counts calls that found the ledger full, each told by itself. */
#define COUNT_USAGE_FULL 62
#define COUNT_SLOTS 64

/* header.flags: its tracer is enabled and the filters let it pass: it is counted in `seen`. */
#define FLAG_TRACED 1
/* It was asked for through io_uring. */
#define FLAG_URING 2
/* In a 32-bit program's call. */
#define FLAG_COMPAT 4

/* text.flags */
#define TEXT_PATH 1	   /* names from the leaf up, each closed by a NUL */
#define TEXT_INCOMPLETE 2  /* too deep, too long, or partly unreadable: what is there is right */
#define TEXT_CUT 4	   /* the beginning of something longer */
#define TEXT_DELETED 8	   /* the file has no name any more: this was its last */
#define TEXT_OUTSIDE 16	   /* not below the process's root: as seen from the root of all mounts */
#define TEXT_DETACHED 32   /* no folder leads there: a pipe, a socket, an anonymous inode */
#define TEXT_UNREADABLE 64 /* could not be read at all */
#define TEXT_HANDLE 128	   /* no text but a struct file_handle */

#define COMM_LEN 16
#define MAX_DATA_RINGS 8
#define MAX_UIDS 16
#define TEST_BANK 256	   /* tests of all rules that hold at a time; there are two banks of them */
#define FILTER_SLOTS 64
#define CGROUPS 16384	   /* whose texts are known to filters */
#define TREE_PROCESSES 16384 /* whose descent is known to filters */
#define TREE_ROOTS 64
#define TREE_DEPTH 256 /* generations of processes */
#define PATH_PREFIXES 8192
#define KEY_LIMIT 256 /* bytes of a path that prefixes are looked for in */

/* test.field */
#define FIELD_PID 1
#define FIELD_TID 2
#define FIELD_PPID 3
#define FIELD_UID 4
#define FIELD_GID 5
#define FIELD_CGROUP 6
#define FIELD_PID_NS 7
#define FIELD_MNT_NS 8
#define FIELD_RET 9
#define FIELD_COMM 10
#define FIELD_PATH 11
#define FIELD_PLACE 12
#define FIELD_TREE 13

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
	__u64 start_ns; /* of the process: its group leader's start_boottime */
	__u32 tid;
	__u32 ppid;
	__u32 euid;
	__u32 egid;
	__u64 cgroup_id;
	__u32 pid_ns;
	__u32 mnt_ns;
	__u32 ns_pid;	 /* tgid in the process's own pid namespace */
	__u32 hierarchy; /* of the cgroup; 0: v2. Ids of cgroups are unique in one */
	__u8 comm[COMM_LEN];
};

/* file_id.layer */
#define LAYER_UPPER 1
#define LAYER_LOWER 2

/* Which file a descriptor stands for: device, inode and generation are its identity. On overlayfs these stay the same
 * when it is copied up; `real_*` is the file of the layer that has its data, which does not.
 */
struct file_id {
	__u64 ino;
	__u32 dev_major;
	__u32 dev_minor;
	__u32 generation; /* tells apart files that had the same number one after the other */
	__u32 fs_magic;	  /* tells pipe from socket, and overlayfs from others */
	__u16 mode;
	__u16 known;	/* the rest is there */
	__u32 real_dev; /* as the kernel has it: 20 bits of minor number */
	__u64 real_ino;
	__u32 real_generation;
	__u32 layer; /* 0: not on overlayfs, or not known */
};

struct open_record {
	struct header header;
	__u64 flags;
	struct file_id file;
	__s32 ret;
	__u16 mode;
	__u16 umask; /* what the process takes off a mode */
	struct text asked; /* of open_by_handle_at: the handle */
	struct text path; /* the file; of a failed open the folder that a relative `asked` starts from */
};

/* `call` of an exec that succeeded: 0, or one of these; it is not told which call it was. */
#define EXEC_BY_DESCRIPTOR (-1U)

struct exec_record {
	struct header header;
	struct file_id file; /* what runs now; of a failed one what its descriptor stands for */
	__s32 ret;
	__u32 call;  /* of a failed one: its number on this architecture */
	__u32 flags; /* likewise: AT_* */
	struct text asked;
	struct text exe; /* of a failed one: the folder that a relative `asked` starts from, or the descriptor's file */
	struct text cwd;
	struct text cgroup;
	struct text argv; /* each argument closed by a NUL */
};

struct clone_record {
	struct header header;
	__u64 flags;
	__u64 child_start_ns; /* of the child's own task */
	__u64 child_cgroup_id;
	__u32 child_pid;
	__u32 child_tid;
	__u32 has_flags;
	struct text cgroup; /* the child's, if it is not the parent's */
};

struct exit_record {
	struct header header;
	__u32 status; /* as wait() tells it */
	__u32 pad;
};

/* sock_record.flags */
#define SOCK_NONBLOCKING 1 /* the caller did not wait for its connection */
#define SOCK_ACCEPTED 2	   /* the other side connected */
#define SOCK_END 4	   /* of a flow of datagrams: its sums; else its first datagram in a direction, or a failure */
#define SOCK_RECEIVED 8	   /* a datagram that came; else one that went */
#define SOCK_KNOWN_PATH 16 /* `base` is the path of the socket's file */
#define SOCK_WATCHED 32	   /* within the kernel only: its end is to be told */

/* Kinds connect, accept, close, bind, udp, dns. `name` of a unix socket is its sun_path, as the kernel has it or, where
 * the call failed, as asked; `base` the socket's file, else the folder that a relative name starts from. Of kind dns
 * `name` is the datagram.
 */
struct sock_record {
	struct header header;
	__u8 saddr[16]; /* an IPv4 address is in the first 4 bytes */
	__u8 daddr[16];
	__u64 sent; /* bytes */
	__u64 received;
	__u64 datagrams_sent;
	__u64 datagrams_received;
	__u64 since_ns; /* when the connection or flow began */
	__u64 last_ns;	/* when its last datagram went or came */
	__u16 sport; /* host byte order */
	__u16 dport;
	__u16 family; /* 1, 2 or 10 */
	__u16 kind; /* SOCK_STREAM and its like */
	__u16 protocol;
	__u16 flags;
	__s32 ret;
	__u32 call; /* its number on this architecture, if it is one call's record */
	__u32 backlog;
	__u32 peer_pid; /* of a unix socket, as SO_PEERCRED tells it */
	struct text name;
	struct text base;
	__u32 pad;
};

/* Kinds rename to mount: a call that changes names or attributes of files. Texts of a path come in pairs: as asked,
 * and the folder that one starts from if it is relative, or the file behind a descriptor.
 */
struct fs_record {
	struct header header;
	__u64 a; /* numbers it was called with, by call: see src/fs.rs */
	__u64 b;
	__u64 c;
	struct file_id file; /* the one behind a descriptor: `base` is its path then */
	__s32 ret;
	__u32 call; /* its number on this architecture */
	struct text asked;
	struct text base;
	struct text asked2;
	struct text base2;
	struct text word; /* of an attribute, a file system, a symlink's target */
	__u32 pad;
};

/* usage_record.direction */
#define USAGE_READ 0
#define USAGE_WRITTEN 1
#define USAGE_MAPPED 2
#define USAGE_DIRECTIONS 3

/* usage_record.via: how, a bit each. */
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

/* Bits of settings.usage_files: types of files (stat's S_IFMT, shifted down), and of FIFOs those without a name. */
#define USAGE_PIPES 16

/* What a process did with a file, one way, since it was last told. Its path's first part follows it in the ledger too. */
struct usage_record {
	struct header header; /* who, as it was when this began; when it was told */
	__u64 first_ns;
	__u64 last_ns; /* to a clock tick */
	__u64 bytes;   /* returned by the calls; of maps what was mapped */
	__u64 calls;
	__u64 low; /* of maps: from where to where in the file */
	__u64 high;
	__u64 tick; /* of the last call */
	struct file_id file;
	__u32 flags; /* as it was opened */
	__u32 direction;
	__u32 via;
	__u32 protection; /* of maps: PROT_*, and above them MAP_* << 8 */
	struct text path;
	__u32 pad;
};

/* Whose account with what, in the ledger. */
struct usage_key {
	__u64 start_ns;
	__u64 ino;
	__u32 tgid;
	__u32 dev; /* as the kernel has it */
	__u32 generation;
	__u32 direction;
};

/* What a sweep of the ledger came to; written to who reads the iterator. */
struct sweep {
	__u32 told;
	__u32 left; /* there is more */
	__u32 side;
	__u32 pad;
};

/* Kinds ptrace to kill: a call that acts on processes, credentials or the kernel. */
struct act_record {
	struct header header;
	__u64 args[6];
	__u64 ids[4]; /* real, effective, saved, of files: user and group, as they are afterwards */
	__u64 capabilities; /* effective ones, afterwards */
	struct file_id file; /* the one it is about: `path` is its path then */
	__s32 ret;
	__u32 call; /* its number on this architecture */
	__u32 of_type; /* of a program or map of eBPF */
	__u32 target_pid; /* the process that a descriptor stands for */
	struct text path;
	struct text word;
};

/* Kinds chdir, cgroup, process. A text that does not apply is empty, with TEXT_UNREADABLE. */
struct process_record {
	struct header header;
	struct text exe;
	struct text cwd;
	struct text cgroup;
	__u32 pad;
};

/* The value of map `settings`; may be written at any time. */
struct settings {
	__u64 enabled;	   /* bit n: the tracer of kind n emits */
	__u32 data_wakeup; /* bytes in the ring that wake the agent */
	__u32 lifecycle_wakeup;
	__u32 uid_count; /* 0: everybody */
	__u32 uids[MAX_UIDS];
	__u32 agent_tgid; /* the agent's process as it knows itself, until it has read the task iterator */
	/* The agent's process, whose doings are nobody's business: who read the task iterator last. Its start tells it
	 * from whoever has its number after it, while the programs outlive it.
	 */
	__u64 reader_start_ns;
	__u32 reader_tgid;
	__u32 sample;	   /* of `sampled` tracers one record in so many is kept; 0: all, for as long as there is room */
	__u64 sampled;	   /* bit n: the tracer of kind n is sampled while a ring is fuller than `sample_at` */
	__u32 sample_at;   /* bytes in a data ring */
	__u32 data_rings;  /* how many are used; 0 is 1 */
	__u32 cpus_a_ring; /* how many CPUs share one */
	__u32 usage_side;  /* which half of the ledger is written to: 0 or 1 */
	__u32 usage_files; /* of which files it is kept: see USAGE_PIPES */
	__u32 flow_idle_ms; /* a flow of datagrams has ended when nothing came or went for so long */
	/* Of map `tests`, 16 bits each: where the rules begin; how many tests come before those of paths, and in all; how
	 * many are of paths. Written at once, when the tests are there.
	 */
	__u64 rules;
	__u64 trees; /* filters ask for descent: by which questions; 0: none does */
};

/* A value of map `tests`. A number is between `a` and `b`; a path or a cgroup in the sets of `a`; a command name
 * like `a` and `b` where `c` and `d` have bits; descent has a bit of `a`, in the generation `b`.
 */
struct test {
	__u64 kinds; /* bit n: the rule is for the tracer of kind n */
	__u64 a, b, c, d;
	__u32 field;
	__u32 filter;
	__u32 negate;
	__u32 last; /* of its rule */
};

/* A key of map `place_sets`. */
struct cgroup_key {
	__u64 id;
	__u32 hierarchy;
	__u32 pad;
};

/* A key of map `trees`: a process. */
struct process_key {
	__u64 start_ns;
	__u32 pid;
	__u32 pad;
};

/* A value of map `trees`: which of those that are asked for it descends of; of `tree_roots`: which it is. */
struct tree {
	__u64 generation; /* of the questions, as in settings.trees */
	__u64 bits;
	__u32 depth; /* of how many processes it descends, itself among them */
	__u32 pad;
};

/* A key of map `path_sets`. */
struct path_key {
	__u32 bits;
	__u8 bytes[KEY_LIMIT];
};

/* The value of map `mark`: whose the maps are, for an agent that finds them pinned. The kernel side doesn't read it. */
struct mark {
	__u64 pin;	/* unlike any other's */
	__u64 object;	/* what these programs were made from */
	__u64 store;	/* where the records go */
	__u64 names;	/* what they are stored under */
	__u64 made_ns;	/* since boot */
	__u32 data_size;
	__u32 lifecycle_size;
	__u32 complete; /* written last */
	__u32 pad;
};

/* A value of map `counts`, one a CPU. */
struct count {
	__u64 seen; /* events of tracers that are on */
	__u64 lost; /* those of them that found the ring full */
	__u64 sampled; /* those of them that sampling left out */
	__u64 filtered; /* those of them that filters dropped here */
};

#endif
