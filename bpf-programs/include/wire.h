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
/* Not for tracers: they only keep the process table. */
#define KIND_CHDIR 32
#define KIND_CGROUP 33
#define KIND_PROCESS 34
/* Not a kind: the slot in `counts` whose `lost` counts the lifecycle ring's losses, traced or not. */
#define COUNT_LIFECYCLE 63
#define COUNT_SLOTS 64

/* header.flags: its tracer is enabled and the filters let it pass: it is counted in `seen`. */
#define FLAG_TRACED 1

/* text.flags */
#define TEXT_PATH 1	   /* names from the leaf up, each closed by a NUL */
#define TEXT_INCOMPLETE 2  /* too deep, too long, or partly unreadable: what is there is right */
#define TEXT_CUT 4	   /* the beginning of something longer */
#define TEXT_DELETED 8	   /* the file has no name any more: this was its last */
#define TEXT_OUTSIDE 16	   /* not below the process's root: as seen from the root of all mounts */
#define TEXT_DETACHED 32   /* no folder leads there: a pipe, a socket, an anonymous inode */
#define TEXT_UNREADABLE 64 /* could not be read at all */

#define COMM_LEN 16
#define MAX_UIDS 16

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
	__u8 comm[COMM_LEN];
};

struct open_record {
	struct header header;
	__u64 flags;
	__u64 ino;
	__s32 ret;
	__u32 mode;
	__u32 dev_major;
	__u32 dev_minor;
	__u32 fs_magic; /* of a detached file: tells pipe from socket */
	__u16 file_mode;
	__u16 has_file; /* dev, ino, file_mode are there */
	struct text asked;
	struct text path; /* the file; of a failed open the folder that a relative `asked` starts from */
};

struct exec_record {
	struct header header;
	struct text asked;
	struct text exe;
	struct text cwd;
	struct text cgroup;
	struct text argv; /* each argument closed by a NUL */
	__u32 pad;
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

struct connect_record {
	struct header header;
	__u8 saddr[16]; /* an IPv4 address is in the first 4 bytes */
	__u8 daddr[16];
	__u16 sport; /* host byte order */
	__u16 dport;
	__u16 family; /* 2 or 10 */
	__u16 nonblocking;
	__s32 ret;
	__u32 pad;
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
	__u32 pad;
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
	__u64 seen; /* events that passed the filters */
	__u64 lost; /* those of them that found the ring full */
};

#endif
