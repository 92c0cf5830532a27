/* SPDX-License-Identifier: (MIT OR GPL-2.0) */
/* What all programs share. Sizes of the rings are set by the loader. */
#ifndef DUETECTOR_MAPS_H
#define DUETECTOR_MAPS_H

#include "compat.h"
#include "wire.h"

/* A resolved path may be longer than the 4096 bytes one may ask for: a deep working folder comes on top. */
#define PATH_LIMIT 6144
#define ASKED_LIMIT 4096
#define ARGV_LIMIT 8192
#define CGROUP_LIMIT 4096
/* The largest record (exec) and room for one name more, which the verifier wants to see. */
#define RECORD_LIMIT 29696
#define NAME_LIMIT 255
#define WALK_LIMIT 256 /* names and mounts of one path */
/* Rounds of an inner loop, in a global function: both loops together are verified in the sum of their rounds and not in
 * their product.
 */
#define STRIDE 16
/* A program can be interrupted by one in a soft interrupt, or (where tracepoints are preemptible) by another.
 */
#define SCRATCH_SLOTS 4

/* The part of a mount that is read, as it lies in memory. */
struct mount_part {
	__u64 parent;
	__u64 mountpoint;
	__u64 root;
};

/* Where a walk up a path is. */
struct walk {
	__u64 mnt;    /* these two as in struct path */
	__u64 dentry; /* of a cgroup the kernfs node */
	__u64 root_dentry;
	__u64 root_mnt;
	struct mount_part mount; /* of `mnt` */
	__u64 inode;		 /* of the first name, 0 if there was none */
	__u32 end;		 /* of the room for names */
	__u32 names;
	__u32 deleted; /* TEXT_DELETED or 0 */
	__u32 pad;
};

#define HAS_PATH 1
#define HAS_PATH2 2
#define HAS_WORD 4
#define IN_KERNEL 8 /* the texts: the kernel has copied them from the caller's memory */

/* What a call was given: where its texts lie, and its descriptors. Without a path `fd` is the file itself. */
struct given {
	__u64 path;
	__u64 path2;
	__u64 word;
	__u64 file; /* the one behind a descriptor without path */
	__s32 fd;
	__s32 fd2;
	__u32 has;
	__u32 pad;
};

/* What else has to be remembered of a request of io_uring from its submission to its completion. */
struct kept {
	__u64 files; /* the owner's descriptors */
	__u64 root_dentry;
	__u64 root_mnt;
	__u32 kind;
	__u32 size; /* of the record so far */
	__u32 slot; /* that an open fills, from 1; 0: a descriptor */
	__u32 held; /* the file is known only once the request has been started */
};

/* A datagram that has gone or come, and where in its sender's or receiver's memory it lies. */
struct datagram {
	__u64 address; /* struct sockaddr, 0: the socket is connected */
	__u64 data;    /* its bytes; 0: where `vectors` say */
	__u64 vectors; /* struct iovec */
	__u64 count;   /* of them */
	__s64 ret;     /* bytes, or negative errno */
	__u64 length;  /* of `data` */
	__u64 left;    /* of the bytes, while they are copied */
	__u32 kinds;   /* KIND_UDP and KIND_DNS: whose tracers are on, a bit each */
	__u16 in_kernel; /* the address and the vectors: copied by the kernel */
	__u16 compat;	 /* the vectors: a 32-bit program's */
};

/* Where a record is put together: too large for a program's stack. */
struct scratch {
	__u32 busy;
	__u32 size; /* of the record so far */
	__u32 slot; /* where it is in its map */
	__u32 pad;
	struct walk walk;
	struct given given;
	/* What filters know of the record, see judge.h. */
	__u64 rules;
	__u64 path_sets;
	__u64 place_sets;
	__u64 tree_generation;
	__u64 tree_bits;
	__u32 place; /* PLACE_* */
	__u32 tree_known;
	__u32 judged; /* tests that were made */
	__u32 failed; /* one of the present rule */
	__u32 has_path;
	__u32 key_len;
	struct {
		__u32 bits;
		__u8 bytes[2 * KEY_LIMIT + 4]; /* and room for one name more, which the verifier wants to see */
	} key;
	__u32 name_at[WALK_LIMIT]; /* of a path: where in the record */
	struct datagram datagram;
	__u64 sock; /* what is looked at: as a number, because a typed pointer is no argument */
	struct kept kept; /* and behind it the record, as they are kept together */
	__u8 record[RECORD_LIMIT];
};

#define SHORT_NAME 32

/* A short name and what is behind it, eight bytes at a time wherever it lies: the compiler would take single bytes, because it
 * can't know that maps may be used so on all architectures there are programs for.
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

/* As many as settings.data_rings says are used, each for its share of the CPUs; the others are as small as can be. A map
 * of maps would have no limit, and a look-up for each record.
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
	__uint(max_entries, COUNT_SLOTS);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* For tests: the kind whose programs the verifier is to refuse. 0 in every other load, and then not even code. */
const volatile __u32 refused_kind = 0;

/* Brings the records into the object's type information, where tests/layout.rs compares them with Rust's. */
struct wire_types {
	struct open_record open;
	struct exec_record exec;
	struct clone_record clone;
	struct exit_record exit;
	struct sock_record sock;
	struct fs_record fs;
	struct usage_record usage;
	struct usage_key usage_key;
	struct sweep sweep;
	struct act_record act;
	struct process_record process;
	struct test test;
	struct path_key path_key;
} * wire_types;

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#endif
