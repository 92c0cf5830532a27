/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* Limits, scratch space and maps that all programs share. The loader sets the sizes of the rings. */
#ifndef DUETECTOR_MAPS_H
#define DUETECTOR_MAPS_H

#include "compat.h"
#include "map_values.h"
#include "wire.h"

/* A resolved path may be longer than the 4096 bytes of a path argument: a deep working folder comes on top. */
#define PATH_LIMIT 6144
#define ASKED_LIMIT 4096
#define ARGV_LIMIT 8192
#define CGROUP_LIMIT 4096
#define CGROUP_DEPTH 32
/* The largest record (exec), and room for one name more, which the verifier requires. */
#define RECORD_LIMIT 29696
#define NAME_LIMIT 255
#define WALK_LIMIT 256 /* names and mounts of one path */
/* Rounds of an inner loop that is in a global function: the verifier then follows the sum of both loops' rounds
 * and not their product.
 */
#define STRIDE 16
/* A program can be interrupted by one in a soft interrupt, or by another where tracepoints are preemptible. */
#define SCRATCH_SLOTS 4

/* The part of a mount that is read, in the order in which it lies in memory. */
struct mount_part {
	__u64 parent;
	__u64 mountpoint;
	__u64 root;
};

/* The part of a dentry that is read, in the order in which it lies in memory. */
struct dentry_part {
	__u64 pprev; /* 0: not in the hash, so unlinked */
	__u64 parent;
	__u32 hash;
	__u32 len;
	__u64 name;
	__u64 inode;
	__u64 short_name[4]; /* where `name` points if it is short */
};

/* The position of a walk up a path. */
struct walk {
	__u64 mnt;    /* these two as in struct path */
	__u64 dentry; /* in a walk up a cgroup the kernfs node */
	__u64 root_dentry;
	__u64 root_mnt;
	struct mount_part mount; /* of `mnt` */
	__u64 inode;		 /* of the first name; 0: there was no name */
	__u32 end;		 /* end of the room for names */
	__u32 names;
	__u32 deleted; /* TEXT_DELETED or 0 */
	__u32 below;   /* names of the path that were put before the walk: 0 or 1 */
	struct dentry_part part; /* of `dentry`; not on the stack, which is full in the longest chains of calls */
};

#define HAS_PATH 1
#define HAS_PATH2 2
#define HAS_WORD 4
#define IN_KERNEL 8 /* texts are the kernel's copies of the caller's strings */

/* A call's arguments: addresses of its texts, and its descriptors. Without a path, `fd` is the file itself. */
struct given {
	__u64 path;
	__u64 path2;
	__u64 word;
	__u64 file; /* the file behind a descriptor without a path */
	__s32 fd;
	__s32 fd2;
	__u32 has;
	__u32 pad;
};

/* The state of an io_uring request that is remembered from its submission to its completion, beside the record. */
struct kept {
	__u64 files; /* the owner's descriptors */
	__u64 root_dentry;
	__u64 root_mnt;
	__u64 ring; /* struct io_ring_ctx; 0: not a request */
	__u64 ring_refs; /* a field of the ring that changes when it is closed */
	__u64 file; /* that the request is about; 0: none, or not known yet */
	__u64 inode; /* of `file` */
	__u64 walked; /* time of the sweep that last searched the ring */
	__u32 pid;
	__u32 pad;
	__u32 kind;
	__u32 size; /* of the record so far */
	__u32 slot; /* the slot that an open fills, counted from 1; 0: it opens a descriptor */
	__u32 held; /* the file is known only once the request has been started */
	__u64 since;
	__u64 owner; /* see header.owner. The last field, followed by the record: other maps' entries are these two */
};

struct sockaddr_any {
	__u16 family;
	__u16 port;
	__u32 addr4; /* in IPv6 the flow label */
	__u8 addr6[16];
};

/* A datagram that was sent or received, and its position in the process's memory. */
struct datagram {
	__u64 address; /* struct sockaddr; 0: the socket is connected */
	__u64 data;    /* its bytes; 0: see `vectors` */
	__u64 vectors; /* struct iovec */
	__u64 count;   /* number of vectors */
	__s64 ret;     /* bytes, or negative errno */
	__u64 length;  /* of `data` */
	__u64 left;    /* bytes still to copy */
	__u64 address_length;
	__u64 control; /* struct cmsghdr; 0: none */
	__u64 control_length;
	__u32 flags;	 /* of a call that sends */
	__u32 corked;	 /* CORKED_*: the datagram is not sent yet */
	__u32 kinds;   /* KIND_UDP and KIND_DNS if their tracers are on, a bit each */
	__u8 in_kernel;	 /* the address and the vectors are the kernel's copies */
	__u8 all_in_kernel; /* the bytes and the control data are, too */
	__u16 compat;	 /* the vectors are a 32-bit program's */
	__u32 unverified; /* FLAG_UNVERIFIED: the descriptor may have been another socket's */
	__u32 piece;	  /* size of the datagrams that the kernel has put together, if the packet has it */
	struct sockaddr_any source; /* of the packet; family 0: see `address` */
};

/* The position of a search among the files that wait to be closed. */
struct work {
	__u64 next;   /* struct callback_head */
	__u64 wanted; /* the search ends at this file */
	__u64 file;   /* the last one found */
};

/* The file that an exec was asked to run by means of another one. */
struct script {
	__u64 file;
	struct file_id id;
};

/* The space in which a record is put together: too large for a program's stack. */
struct scratch {
	__u32 busy;
	__u32 size; /* of the record so far */
	__u32 slot; /* index in its map */
	__u32 pad;
	struct walk walk;
	struct given given;
	/* State of the rules for this record, see rules.h. */
	__u64 rules;
	__u64 path_sets;
	__u64 cgroup_sets;
	__u64 tree_generation;
	__u64 tree_bits;
	__u32 cgroup_state; /* CGROUP_KNOWN, CGROUP_UNKNOWN or 0 */
	__u32 tree_known;
	__u32 tests_done; /* tests already made */
	__u32 failed; /* a test of the present rule failed */
	__u32 has_path;
	__u32 key_len;
	struct {
		__u32 bits;
		__u8 bytes[2 * KEY_LIMIT + 4]; /* and room for one name more, which the verifier requires */
	} key;
	__u32 name_at[WALK_LIMIT]; /* offsets of the path's names in the record */
	__u32 owners[CGROUP_DEPTH]; /* of a cgroup's folders, from the leaf up */
	__u32 owned; /* number of them up to the topmost that is not root's */
	struct datagram datagram;
	__u64 sock; /* the socket in hand: a number, because a typed pointer cannot be an argument */
	struct work work;
	struct script script;
	struct kept kept; /* followed by the record, because they are stored together */
	__u8 record[RECORD_LIMIT];
};

#define SHORT_NAME 32

/* Copies a short name, and what follows it, eight bytes at a time whatever the alignment. The compiler would
 * copy single bytes, because it cannot know that all supported architectures allow this.
 */
static __always_inline void copy_short(void *to, const void *from)
{
	__u64 *words = to;
	const __u64 *of = from;

	words[0] = of[0];
	words[1] = of[1];
	words[2] = of[2];
	words[3] = of[3];
}

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 << 20);
} lifecycle SEC(".maps");

/* For rare records that matter most, so that a flood of others finds no room here. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} security SEC(".maps");

/* The first settings.data_rings are used, each for its share of the CPUs; the others are as small as possible.
 * A map of maps would have no limit, but would cost a lookup for each record.
 */
#define DATA_RING(name, size)                                                                                \
	struct {                                                                                             \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                                                          \
		__uint(max_entries, size);                                                                   \
	} name SEC(".maps")

DATA_RING(data, 8 << 20);
DATA_RING(data_1, 1 << 16);
DATA_RING(data_2, 1 << 16);
DATA_RING(data_3, 1 << 16);
DATA_RING(data_4, 1 << 16);
DATA_RING(data_5, 1 << 16);
DATA_RING(data_6, 1 << 16);
DATA_RING(data_7, 1 << 16);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* Lost records by user. The agent removes entries that have not grown; what finds no room is counted in `counts`
 * alone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct loss_key);
	__type(value, __u64);
} losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mark);
} mark SEC(".maps");

/* By kind, written by the agent only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNT_SLOTS);
	__type(key, __u32);
	__type(value, struct unstored);
} unstored SEC(".maps");

/* Runs of programs that the kernel skipped, as far as the agent has counted them: those of each program, and their sums
 * by slot of `counts`. A hash, because ids of programs are sparse. Written by the agent only.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} skipped SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* For tests: the kind of tracer with programs that the verifier must refuse. In every other load this is 0 and
 * costs no code.
 */
const volatile __u32 refused_kind = 0;

/* Brings the records into the object's type information, where tests/layout.rs compares them with the Rust
 * structs.
 */
struct wire_types {
	struct open_record open;
	struct exec_record exec;
	struct clone_record clone;
	struct exit_record exit;
	struct sock_record sock;
	struct fs_record fs;
	struct usage_record usage;
	struct usage_key usage_key;
	struct loss_key loss_key;
	struct sweep sweep;
	struct act_record act;
	struct process_record process;
	struct test test;
	struct system_folders system_folders;
	struct path_key path_key;
} * wire_types;

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#endif
